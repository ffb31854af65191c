"""Published evaluations as one word."""

import json
from pathlib import Path

import pytest

from evalharness.cli import build_parser, main
from evalharness.cli.config import apply_config
from evalharness.protocols import load_protocol, protocol_names
from tests.scripted import ScriptedEngine


def options(*arguments: str) -> dict[str, object]:
    parser = build_parser()
    apply_config(parser, ["run", *arguments])
    return vars(parser.parse_args(["run", *arguments]))


def test_a_protocol_sets_the_published_evaluation() -> None:
    found = options("--protocol", "drgrpo-2025")
    assert found["benchmark"] == ["aime24", "amc", "math500", "minerva", "olympiadbench"]
    assert found["template"] == ["no", "qwen-math", "r1"]
    assert (found["max_tokens"], found["max_model_len"]) == (3000, 4096)
    assert (found["temperature"], found["top_p"], found["samples"]) == (0.0, 1.0, 1)
    assert (found["checker"], found["dtype"]) == ("drgrpo", "bfloat16")
    assert load_protocol("drgrpo-2025").flag_deviations(found) == []


@pytest.mark.parametrize("name", ["drgrpo-2025", "qwen2.5-math"])
def test_every_shipped_protocol_names_flags_that_exist(name: str) -> None:
    assert name in protocol_names()
    assert load_protocol(name).flag_deviations(options("--protocol", name)) == []


def test_a_flag_wins_over_the_config_which_wins_over_the_protocol(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('protocol = "drgrpo-2025"\nmax-tokens = 100\ndtype = "float32"\n')
    found = options("--config", str(config), "--max-tokens", "50")
    assert (found["max_tokens"], found["dtype"], found["checker"]) == (50, "float32", "drgrpo")
    assert load_protocol("drgrpo-2025").flag_deviations(found) == [
        "--max-tokens 50 (the protocol: 3000)",
        "--dtype float32 (the protocol: bfloat16)",
    ]


def test_a_run_tells_and_records_every_deviation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ScriptedEngine(context_length=4096).use(monkeypatch)
    command = ["run", "--protocol", "drgrpo-2025", "--model", "m=x", "--benchmark", "aime24"]
    command += ["--template", "no", "--limit", "2", "--out", "run", "--quiet", "--json"]
    assert main(command) == 0
    told = capsys.readouterr().err
    spec = json.loads(Path("run/run.json").read_text())
    deviations = spec["protocol"]["deviations"]
    # The scripted engine says that it is "scripted", in float32.
    assert deviations[:5] == [
        "--benchmark aime24 (the protocol: aime24,amc,math500,minerva,olympiadbench)",
        "--template no (the protocol: no,qwen-math,r1)",
        "--limit 2 (the protocol: every problem)",
        "m: engine scripted (the protocol: vllm)",
        "m: dtype float32 (the protocol: bfloat16)",
    ]
    assert all(f"deviation: {line}" in told for line in deviations)
    assert [path.name.partition("@")[0] for path in Path("run/verdicts").iterdir()] == ["drgrpo"]


def test_an_unknown_protocol_is_refused_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["run", "--protocol", "drgrpo"]) == 2
    assert "There are drgrpo-2025, qwen2.5-math" in capsys.readouterr().err


def test_a_protocol_with_a_flag_that_does_not_exist_names_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[flags]\nmax-token = 5\n")
    assert main(["run", "--protocol", str(path)]) == 2
    assert 'mine.toml:2: unknown key "max-token"; did you mean "max-tokens"?' in (
        capsys.readouterr().err
    )
