from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalharness.engines import open_engine
from evalharness.engines.base import EngineOptions, PreparedPrompt, Request
from evalharness.errors import EngineError, InputError
from evalharness.records import Message, Prompt, ResponseKey, Sampling

ROW = {
    "model": "m",
    "template": "no",
    "benchmark": "b",
    "problem_id": "b/0",
    "sample_index": 0,
    "seed": 1,
    "prompt_sha256": PreparedPrompt(text="1+1?", token_ids=None).sha256,
    "prompt_tokens": 4,
    "response": "\\boxed{2}",
    "num_tokens": 9,
    "token_limit": 100,
    "finish_reason": "stop",
    "stop_reason": "</answer>",
    "error": None,
}


def write(folder: Path, *rows: dict, torn: str = "") -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows) + torn
    (folder / "responses.jsonl").write_text(text)
    return folder


def opened(folder: Path):
    engine = open_engine("replay", EngineOptions(replay_from=folder))
    engine.load("m")
    return engine


def ask(engine, problem_id: str = "b/0", text: str = "1+1?"):
    prompt = engine.prepare(Prompt(template="no", problem_id=problem_id, text=text))
    key = ResponseKey("m", "no", problem_id, 0)
    request = Request(key=key, prompt=prompt, seed=0, max_tokens=5)
    [done] = engine.generate([request], Sampling())
    return done


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_stored_response_comes_back_whole(tmp_path, form):
    if form == "jsonl":
        write(tmp_path, ROW)
    else:
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.Table.from_pylist([ROW])
        pyarrow.parquet.write_table(table, tmp_path / "responses.parquet")
    done = ask(opened(tmp_path))
    assert (done.text, done.num_tokens, done.prompt_tokens) == ("\\boxed{2}", 9, 4)
    assert (done.finish_reason, done.stop_reason, done.error) == ("stop", "</answer>", None)
    # The limit that it was drawn under, whatever this command would have allowed (5).
    assert done.token_limit == 100


def test_a_changed_prompt_is_an_error_not_an_answer(tmp_path):
    done = ask(opened(write(tmp_path, ROW)), text="1+2?")
    assert (done.finish_reason, done.text) == ("error", "")
    assert "the prompt of m, no, b/0, sample 0 has changed" in done.error


def test_a_missing_response_is_an_error_that_names_it(tmp_path):
    done = ask(opened(write(tmp_path, ROW)), "b/1")
    assert done.finish_reason == "error"
    assert "no response for m, no, b/1, sample 0" in done.error


def test_a_model_that_the_run_lacks_is_refused_with_those_it_has(tmp_path):
    engine = opened(write(tmp_path, ROW, ROW | {"model": "z"}))
    with pytest.raises(EngineError, match=r"no responses of q: it has m, z"):
        engine.load("q")


def test_a_torn_last_line_is_dropped_and_a_torn_other_line_is_named(tmp_path):
    assert ask(opened(write(tmp_path, ROW, torn='{"model": "m", "te'))).text == "\\boxed{2}"
    with (tmp_path / "responses.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(InputError, match=r"responses\.jsonl:2: not valid JSON"):
        opened(tmp_path)


def test_a_chat_is_rendered_as_lines(tmp_path):
    messages = (Message("system", "Be brief."), Message("user", "1+1?"))
    prompt = Prompt(template="chat", problem_id="b/0", messages=messages)
    prepared = opened(write(tmp_path, ROW)).prepare(prompt)
    assert prepared.text == "system: Be brief.\nuser: 1+1?"
    assert prepared.token_ids is None


def test_a_chat_is_replayed_as_the_tokenizer_of_the_stored_run_rendered_it(tmp_path):
    seen = PreparedPrompt(text="<|user|>1+1?<|assistant|>", token_ids=None)
    write(tmp_path, ROW | {"prompt_sha256": seen.sha256})
    line = json.dumps({"prompt_sha256": seen.sha256, "prompt": seen.text})
    (tmp_path / "prompts.jsonl").write_text(line + "\n")
    engine = opened(tmp_path)
    key = ResponseKey("m", "no", "b/0", 0)
    for text, finish in [("1+1? ", "stop"), ("1+2?", "error")]:
        chat = Prompt(template="no", problem_id="b/0", messages=(Message("user", text),))
        request = Request(key=key, prompt=engine.prepare(chat), seed=0, max_tokens=5)
        [done] = engine.generate([request], Sampling())
        assert done.finish_reason == finish


def test_a_run_without_token_counts_has_no_context_that_its_prompts_could_fill(tmp_path):
    write(tmp_path, ROW | {"prompt_tokens": None, "token_limit": None})
    engine = open_engine("replay", EngineOptions(replay_from=tmp_path))
    assert engine.load("m").context_length is None


def test_a_folder_without_responses_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no responses"):
        opened(tmp_path)
