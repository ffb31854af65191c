import json
import os
from pathlib import Path

import pytest

from evalharness.errors import InputError
from evalharness.records import Message, Problem
from evalharness.templates import load_template, template_names

PROBLEM = Problem(benchmark="own", problem_id="own/0", text="What is {1+1}\\%?", golds=("2",))


def test_the_paper_s_templates_are_reproduced_byte_for_byte() -> None:
    folder = os.environ.get("EVALHARNESS_DATA")
    if not folder:
        pytest.skip("EVALHARNESS_DATA names no folder with templates.json")
    published = json.loads((Path(folder) / "templates.json").read_text(encoding="utf-8"))
    assert set(published["templates"]) <= set(template_names())
    for name, protocol in published["templates"].items():
        template = load_template(name)
        assert template.mode == protocol["mode"]
        assert template.text == protocol.get("text", protocol.get("user")), name
        assert list(template.stop) == protocol["stop"], name
        assert template.keep_stop == protocol.get("include_stop_str_in_output", False), name


def test_qwen_math_prompt_is_exact() -> None:
    prompt = load_template("qwen-math").render(PROBLEM)
    assert prompt.messages is None
    assert prompt.text == (
        "<|im_start|>system\nPlease reason step by step, and put your final answer within "
        "\\boxed{}.<|im_end|>\n<|im_start|>user\nWhat is {1+1}\\%?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_r1_stops_at_the_closing_tag_keeps_it_and_reads_the_tag() -> None:
    template = load_template("r1")
    assert (template.stop, template.keep_stop) == (("</answer>",), True)
    assert template.answer_format == ("answer-tag",)


def test_no_template_is_the_question_alone() -> None:
    assert load_template("no").render(PROBLEM).text == PROBLEM.text


def test_chat_template_gives_messages_for_the_tokenizer_to_render() -> None:
    prompt = load_template("chat-boxed").render(PROBLEM)
    assert prompt.text is None
    assert prompt.messages == (
        Message(
            "user",
            "What is {1+1}\\%?\nPlease reason step by step, and put your final answer within "
            "\\boxed{}.\n\n",
        ),
    )


def test_the_hash_covers_the_contract_and_not_the_description(tmp_path: Path) -> None:
    text = 'mode = "raw"\ntext = "Q: {{problem}}"\nanswer_format = ["box"]\n'
    hashes = []
    for name, extra in [("a", ""), ("b", 'description = "x"\n'), ("c", 'stop = ["Q:"]\n')]:
        path = tmp_path / f"{name}.toml"
        path.write_text(text + extra, encoding="utf-8")
        hashes.append(load_template(str(path)).sha256)
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            'mode = "raw"\ntext = "{{problem}}"\nstops = []\n',
            'own.toml:3: unknown key "stops"; did',
        ),
        ('mode = "raw"\ntext = "no place"\n', 'own.toml:2: "text" must hold {{problem}} once'),
        ('mode = "tags"\n', 'own.toml:1: "mode" must be "raw" or "chat"'),
        ('mode = "chat"\ntext = "{{problem}}"\n', 'own.toml:2: "text" has no place in mode "chat"'),
        ('mode = "raw"\n\ntext = "{{problem}}', "own.toml:3: not valid TOML"),
        ('mode = "raw"\ntext = "{{problem}}"\n', 'own.toml: "answer_format" must list'),
        (
            'mode = "raw"\ntext = "{{problem}}"\nanswer_format = ["boxed"]\n',
            'own.toml:3: unknown answer place "boxed"; did you mean "box"?',
        ),
        (
            'mode = "raw"\ntext = "{{problem}}"\nanswer_format = ["box"]\nstop = [""]\n',
            "own.toml:4: an empty stop string",
        ),
        (
            'mode = "raw"\ntext = "{{problem}}"\nanswer_format = ["box"]\nstop = "Q"\n',
            'own.toml:4: "stop" must be a list of strings',
        ),
    ],
)
def test_a_wrong_template_file_is_refused_with_its_line(
    tmp_path: Path, body: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.toml").write_text(body, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        load_template("own.toml")
    assert str(caught.value).startswith(message)


def test_an_unknown_template_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(
        InputError, match=r'unknown template "qwen_math"; did you mean "qwen-math"\?'
    ):
        load_template("qwen_math")
    with pytest.raises(InputError, match="there is no such file"):
        load_template("elsewhere/mine.toml")
