from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra [local] isn't installed")
pytest.importorskip("transformers", reason="the extra [local] isn't installed")

from evalharness.engines import open_engine
from evalharness.engines.base import (
    Completion,
    Engine,
    EngineOptions,
    Request,
    prepare_with_tokenizer,
)
from evalharness.engines.transformers import choose_device
from evalharness.errors import EngineBrokeError, EngineError, InputError
from evalharness.records import Message, Prompt, ResponseKey, Sampling

HOT = Sampling(temperature=1.0)


def requests_of(engine: Engine, num: int = 20, **changes: object) -> list[Request]:
    """Prompts of very different lengths: request i repeats a word i*i/4 times."""
    made = []
    for i in range(num):
        text = f"{i}:" + "xy" * (i * i // 4)
        prompt = engine.prepare(Prompt(template="no", problem_id=f"p/{i}", text=text))
        fields = {"seed": 1000 + i, "max_tokens": 24} | changes
        made.append(Request(key=ResponseKey("m", "no", f"p/{i}", 0), prompt=prompt, **fields))
    return made


def answers(
    engine: Engine, requests: list[Request], sampling: Sampling
) -> dict[ResponseKey, Completion]:
    return {done.key: done for done in engine.generate(requests, sampling)}


def opened(model: str, **options: object) -> Engine:
    engine = open_engine("transformers", EngineOptions(**options))
    engine.load(model)
    return engine


@pytest.fixture(scope="module")
def engine(checkpoints) -> Iterator[Engine]:
    engine = opened(checkpoints.llama, batch_size=7)
    yield engine
    engine.close()


def test_greedy_equals_generate_of_transformers_row_by_row(engine, checkpoints):
    import torch
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(checkpoints.llama)
    for request in (requests := requests_of(engine, 8)):
        prompt = torch.tensor([request.prompt.token_ids])
        tokens = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            temperature=None,
            top_k=None,
            max_new_tokens=24,
        )[0, prompt.shape[1] :].tolist()
        expected = tuple(token for token in tokens if token != 258)
        assert answers(engine, [request], Sampling())[request.key].token_ids == expected
    assert len(requests) == 8


@pytest.mark.parametrize("sampling", [Sampling(), HOT, Sampling(temperature=0.7, top_p=0.9)])
def test_a_response_does_not_depend_on_its_batch_or_the_order(checkpoints, engine, sampling):
    requests = requests_of(engine)
    batched = answers(engine, requests, sampling)
    alone = answers(opened(checkpoints.llama, batch_size=1), requests[::-1], sampling)
    assert alone == batched
    assert len({done.token_ids for done in alone.values()}) > 10


def test_the_seed_decides_the_tokens(engine):
    same = answers(engine, requests_of(engine, 5), HOT)
    assert answers(engine, requests_of(engine, 5), HOT) == same
    other = answers(engine, requests_of(engine, 5, seed=5), HOT)
    assert all(other[key].token_ids != same[key].token_ids for key in same)


def test_stop_strings_are_cut_or_kept(engine):
    [request] = requests_of(engine, 1)
    whole = answers(engine, [request], Sampling())[request.key].text
    stop = whole[5:8]
    start = whole.index(stop)
    for keep, expected in ((False, whole[:start]), (True, whole[: start + 3])):
        [stopping] = requests_of(engine, 1, stop=("never", stop), keep_stop=keep)
        done = answers(engine, [stopping], Sampling())[request.key]
        assert (done.text, done.finish_reason, done.stop_reason) == (expected, "stop", stop)
        # One token a byte: the stop string's tokens were generated, kept or not.
        assert done.num_tokens == start + 3


def test_eos_ends_a_response_and_is_not_counted(engine):
    done = answers(engine, requests_of(engine, 20, max_tokens=200), HOT).values()
    stopped = [one for one in done if one.finish_reason == "stop"]
    assert stopped
    assert all(one.num_tokens == len(one.token_ids) < 200 for one in stopped)
    assert all(258 not in one.token_ids and one.stop_reason is None for one in stopped)
    assert all(one.num_tokens == 200 for one in done if one.finish_reason == "length")


def test_an_overlong_prompt_gives_an_error_and_the_others_are_served(engine):
    requests = requests_of(engine, 4)
    prompt = engine.prepare(Prompt(template="no", problem_id="p/9", text="x" * 600))
    long = Request(key=ResponseKey("m", "no", "p/9", 0), prompt=prompt, seed=0, max_tokens=1)
    done = answers(engine, [long, *requests], Sampling())
    assert done[long.key].finish_reason == "error"
    assert "600 tokens and 1 to generate don't fit the context of 512" in done[long.key].error
    assert [done[one.key].finish_reason for one in requests] == ["length"] * 4


def test_broken_weights_give_error_completions(checkpoints):
    import torch

    engine = opened(checkpoints.llama)
    with torch.no_grad():
        engine._loaded.model.lm_head.weight[7] = float("nan")
    done = answers(engine, requests_of(engine, 3), HOT)
    assert {one.finish_reason for one in done.values()} == {"error"}
    assert all("NaN" in one.error for one in done.values())


def test_a_second_load_replaces_the_first(checkpoints, engine):
    switching = opened(checkpoints.llama)
    for model in (checkpoints.qwen3, checkpoints.other_weights, checkpoints.llama):
        switching.load(model)
        requests = requests_of(switching, 4)
        fresh = answers(opened(model), requests, Sampling())
        assert answers(switching, requests, Sampling()) == fresh
    assert fresh == answers(engine, requests, Sampling())


def test_bos_is_never_doubled(checkpoints):
    engine = opened(checkpoints.with_bos)
    raw = engine.prepare(Prompt(template="no", problem_id="p/0", text="hi"))
    written = engine.prepare(Prompt(template="no", problem_id="p/0", text="<|begin|>hi"))
    chat = engine.prepare(
        Prompt(template="chat", problem_id="p/0", messages=(Message("user", "hi"),))
    )
    assert [ids.token_ids.count(257) for ids in (raw, written, chat)] == [1, 1, 1]
    assert raw.token_ids == written.token_ids


def test_out_of_memory_halves_the_batch_and_changes_nothing(checkpoints, engine):
    import torch

    small = opened(checkpoints.llama, batch_size=16)
    model, sizes = small._loaded.model, []

    def fail_above_four(module, args, kwargs):
        sizes.append(len(kwargs["input_ids"]))
        if sizes[-1] > 4:
            raise torch.OutOfMemoryError("no room")

    model.register_forward_pre_hook(fail_above_four, with_kwargs=True)
    requests = requests_of(engine)
    assert answers(small, requests, HOT) == answers(engine, requests, HOT)
    assert sizes[:3] == [16, 8, 4]


def test_a_model_that_fails_in_a_step_says_how_much_was_unfinished(checkpoints):
    engine = opened(checkpoints.llama, batch_size=2)
    steps = []

    def fail_in_the_second_batch(module, args, kwargs):
        if len(kwargs["input_ids"][0]) > 1 and steps.append(0) is None and len(steps) == 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    engine._loaded.model.register_forward_pre_hook(fail_in_the_second_batch, with_kwargs=True)
    with pytest.raises(EngineBrokeError, match=r"3 requests unfinished \(RuntimeError: DefaultCPU"):
        list(engine.generate(requests_of(engine, 5, max_tokens=4), Sampling()))


@pytest.mark.parametrize(
    ("missing", "said"),
    [("config.json", "no config.json"), ("model.safetensors", "no weights")],
)
def test_an_incomplete_checkpoint_is_named(checkpoints, tmp_path: Path, missing, said):
    for file in Path(checkpoints.llama).iterdir():
        if file.name != missing:
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(EngineError, match=said) as caught:
        opened(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.safetensors", b"", "SafetensorError"),
        # The first kilobyte of a file whose header says that there is more.
        ("model.safetensors", None, "SafetensorError"),
        ("config.json", b"[1]", "TypeError"),
        ("tokenizer.json", b'"text"', "the tokenizer of"),
        ("generation_config.json", b"[1]", "TypeError"),
    ],
)
def test_a_checkpoint_with_a_damaged_file_is_refused_in_one_line(
    checkpoints, tmp_path: Path, name, content, said
):
    for file in Path(checkpoints.llama).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    if content is None:
        content = (tmp_path / name).read_bytes()[:1024]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EngineError, match=said) as caught:
        opened(str(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("device", ["cpu:0", "meta", "gpu", "cuda:-1", ""])
def test_a_device_that_nothing_runs_on_is_refused(checkpoints, device):
    with pytest.raises(InputError, match="give auto, cpu, cuda or cuda:N"):
        opened(checkpoints.llama, device=device)


@pytest.mark.parametrize(
    ("num_gpus", "device", "said"),
    [(0, "cuda", "torch sees no GPU"), (2, "cuda:2", "torch sees 2 GPUs here: give cuda:0 to")],
)
def test_a_gpu_that_isn_t_there_is_refused(monkeypatch, num_gpus, device, said):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: num_gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    with pytest.raises(EngineError, match=said):
        choose_device(device)


def test_a_chat_template_that_refuses_a_turn_is_told_in_its_words(engine):
    tokenizer = copy.deepcopy(engine._loaded.tokenizer)
    tokenizer.chat_template = "{{ raise_exception('System role not supported') }}"
    messages = (Message("system", "Be brief."), Message("user", "hi"))
    prompt = Prompt(template="chat-boxed", problem_id="p/0", messages=messages)
    with pytest.raises(EngineError, match='"chat-boxed" makes of p/0: System role not supported'):
        prepare_with_tokenizer(prompt, tokenizer)


def test_a_folder_that_is_not_there_is_an_error_in_one_line(tmp_path: Path):
    with pytest.raises(EngineError, match="there is no such folder"):
        opened(str(tmp_path / "nowhere"))


def test_more_context_than_the_model_has_is_refused(checkpoints):
    with pytest.raises(EngineError, match="--max-model-len 1000 is more than the 512 positions"):
        opened(checkpoints.llama, max_model_len=1000)


def test_deterministic_is_set_recorded_and_says_what_it_doesn_t_promise(checkpoints, monkeypatch):
    import torch

    asked = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", asked.append)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    engine = open_engine("transformers", EngineOptions(deterministic=True))
    record = engine.load(checkpoints.llama)
    engine.close()
    assert asked == [True]
    assert record.details["deterministic"]
    assert "unless --batch-size is 1" in record.notes[0]
