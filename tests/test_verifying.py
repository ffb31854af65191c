"""A sample of a run is drawn again: what repeats, what differs, and where."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from evalharness import verifying
from evalharness.cli import main
from evalharness.engines.base import Completion, EngineOptions, Request
from evalharness.errors import InputError
from evalharness.store import read_spec
from evalharness.verifying import SampleSize
from tests.scripted import ScriptedEngine, answer_two


def hash_of(folder: Path) -> list[tuple[str, bytes]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path.name, path.read_bytes()) for path in files]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A run of 20 problems in `out`; its arguments."""
    monkeypatch.chdir(tmp_path)
    rows = [{"problem": f"What is {gold}+0?", "gold": str(gold)} for gold in range(20)]
    Path("sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ScriptedEngine().use(monkeypatch)
    arguments = ["run", "--engine", "scripted", "--model", "m", "--benchmark", "sums.jsonl"]
    arguments += ["--template", "r1", "--seed", "3", "--batch-size", "7", "--quiet"]
    arguments += ["--max-tokens", "64", "--out", "out"]
    assert main(arguments) == 0
    return arguments


@pytest.fixture
def engine(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Callable[[Request], Completion]], ScriptedEngine]:
    """Makes the engine that draws again."""

    def make(answer: Callable[[Request], Completion] = answer_two) -> ScriptedEngine:
        made = ScriptedEngine(answer)

        def open_it(name: str, options: EngineOptions) -> ScriptedEngine:
            made.opened = (name, options)  # type: ignore[attr-defined]
            return made

        monkeypatch.setattr(verifying, "open_engine", open_it)
        return made

    return make


def test_a_run_that_repeats_is_said_so_and_left_as_it_is(made, engine, capsys):
    before = hash_of(Path("out"))
    again = engine()
    assert main(["verify", "out", "--quiet"]) == 0
    assert capsys.readouterr().out == "20 of 20 responses drawn again: 0 differ (0.0%)\n"
    assert hash_of(Path("out")) == before
    assert again.is_closed


def test_the_recorded_engine_seeds_stops_and_limits_are_used(made, engine):
    again = engine()
    assert main(["verify", "out", "--limit", "3", "--quiet"]) == 0
    name, options = again.opened  # type: ignore[attr-defined]
    assert name == "scripted"
    assert options.batch_size == 7
    lines = [json.loads(line) for line in Path("out/responses.jsonl").read_text().splitlines()]
    stored = {line["problem_id"]: line for line in lines}
    assert len(again.asked) == 3
    for request in again.asked:
        assert request.seed == stored[request.key.problem_id]["seed"]
        assert request.max_tokens == stored[request.key.problem_id]["token_limit"] == 64
        assert (request.stop, request.keep_stop) == (("</answer>",), True)


def test_differences_are_counted_and_placed_and_the_status_is_1(made, engine, capsys):
    def sometimes_three(request: Request) -> Completion:
        answer = answer_two(request)
        if request.key.problem_id == "sums/4":
            return replace(answer, text="so \\boxed{3}")
        if request.key.problem_id == "sums/5":
            return replace(answer, finish_reason="length")
        if request.key.problem_id == "sums/6":
            return replace(answer, finish_reason="error", error="out of luck")
        return answer

    engine(sometimes_three)
    assert main(["verify", "out", "--quiet", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["num_checked"], found["num_different"]) == (20, 3)
    text, end, error = found["differences"]
    # "so \boxed{2}": the digit is the 11th character.
    assert (text["problem_id"], text["kind"], text["position"]) == ("sums/4", "text", 10)
    assert (text["stored"], text["now"]) == ("2}", "3}")
    assert (end["kind"], end["stored"]) == ("end", "stop, EOS or limit, 5 tokens")
    assert (error["kind"], error["now"]) == ("error", "out of luck")


def test_a_prompt_that_has_changed_is_a_difference(made, engine, capsys):
    spec = read_spec(Path("out"))
    spec["templates"]["r1"]["text"] = "Other words: {{problem}}"
    Path("out/run.json").write_text(json.dumps(spec))
    again = engine()
    assert main(["verify", "out", "--limit", "2", "--quiet"]) == 1
    assert capsys.readouterr().out.count("the prompt is another one now: sha256") == 2
    assert again.asked == []


def test_the_same_command_draws_the_same_sample(made, engine):
    samples = []
    for _ in range(2):
        again = engine()
        assert main(["verify", "out", "--fraction", "0.22", "--quiet"]) == 0
        samples.append([request.key for request in again.asked])
    # ceil(0.22 * 20) = 5
    assert len(samples[0]) == 5
    assert samples[0] == samples[1]
    # Not the first five: the lot falls by the key.
    assert {key.problem_id for key in samples[0]} != {f"sums/{row}" for row in range(5)}


@pytest.mark.parametrize(("num_responses", "expected"), [(1000, 100), (7, 7)])
def test_without_a_size_a_hundred_are_drawn(num_responses, expected):
    assert SampleSize().of(num_responses) == expected


@pytest.mark.parametrize("size", [{"fraction": 0.0}, {"fraction": 1.5}, {"limit": 0}])
def test_a_sample_that_can_t_be_is_refused(size):
    with pytest.raises(InputError, match=r"--fraction|--limit"):
        SampleSize(**size)


def test_another_checkpoint_is_refused(made, engine, capsys):
    engine().revision = "r2"
    assert main(["verify", "out", "--quiet"]) == 2
    assert "revision was r1, now r2" in capsys.readouterr().err


def test_an_imported_run_can_t_be_verified(made, capsys):
    row = {"benchmark": "sums", "problem_id": "sums/0", "problem": "1+1?", "gold": "2"}
    row |= {"response": "2", "model": "m", "template": "t", "sample_index": 0, "n_tokens": 1}
    Path("theirs.jsonl").write_text(json.dumps(row) + "\n")
    assert main(["import", "theirs.jsonl", "--out", "theirs"]) == 0
    assert main(["verify", "theirs"]) == 2
    assert "no response that an engine here drew" in capsys.readouterr().err


def test_flags_replace_the_recorded_options(made, engine):
    again = engine()
    assert main(["verify", "out", "--batch-size", "2", "--limit", "1", "--quiet"]) == 0
    assert again.opened[1].batch_size == 2  # type: ignore[attr-defined]


def test_deterministic_is_part_of_what_makes_a_run(made, capsys):
    assert "deterministic" not in read_spec(Path("out"))["identity"]
    assert main([*made, "--deterministic"]) == 2
    assert "deterministic: nothing -> True" in capsys.readouterr().err
