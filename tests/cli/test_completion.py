"""Completion scripts, tried in the real shells where they are installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from evalharness.cli import main

CASES = [
    # (the words so far, the last one unfinished; some that are offered; some that are not)
    (["evalharness", ""], ["run", "compare", "train", "completion"], ["--model", "aime24"]),
    (["evalharness", "be"], ["benchmarks"], ["run"]),
    (["evalharness", "run", "--be"], ["--benchmark"], ["--baseline"]),
    (["evalharness", "run", "--benchmark", "a"], ["aime24", "amc"], ["math500"]),
    (["evalharness", "run", "--benchmark", "aime24,ma"], ["aime24,math500"], ["math500"]),
    (["evalharness", "run", "--template", "qw"], ["qwen-math"], ["qwen2.5-math"]),
    (["evalharness", "run", "--protocol", ""], ["drgrpo-2025", "qwen2.5-math"], []),
    (["evalharness", "run", "--engine", "t"], ["transformers"], ["vllm"]),
    (["evalharness", "run", "--model", "tiny-g"], ["tiny-grpo"], ["tiny-base"]),
    (["evalharness", "run", "--golds", ""], ["published", "corrected"], []),
    (["evalharness", "score", "r", "--checker", ""], ["drgrpo-fast", "all"], []),
    (["evalharness", "check", "1", "1", "--checker", ""], ["math-verify"], ["all"]),
    (["evalharness", "benchmarks", ""], ["check", "minerva"], []),
    (["evalharness", "templates", "r"], ["r1"], ["no"]),
    (["evalharness", "fetch", "m"], ["math500", "minerva"], ["aime24"]),
    (["evalharness", "train", ""], ["sft", "rl", "compare"], ["score"]),
    (["evalharness", "train", "rl", "--alg"], ["--algorithm"], ["--engine"]),
    (["evalharness", "report", "r", "--format", "m"], ["markdown"], ["latex"]),
    (["evalharness", "completion", ""], ["bash", "zsh", "fish"], []),
]


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_completes_commands_flags_and_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.bash").write_text(script("bash", capsys))
    lines = ["source ./c.bash"]
    for words, _, _ in CASES:
        quoted = " ".join(f"'{word}'" for word in words)
        lines += [
            f"COMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1}; _evalharness",
            'echo "${COMPREPLY[*]}"',
        ]
    # --benchmark=mi comes to bash as three words.
    lines += [
        "COMP_WORDS=(evalharness run --benchmark = mi) COMP_CWORD=4; _evalharness",
        'echo "${COMPREPLY[*]}"',
        "complete -p evalharness",
    ]
    done = subprocess.run(
        [str(shutil.which("bash")), "--norc", "-eu", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    *answers, with_sign, registered = done.stdout.splitlines()
    for (words, offered, absent), answer in zip(CASES, answers, strict=True):
        assert set(offered) <= set(answer.split()), words
        assert not set(absent) & set(answer.split()), words
    assert with_sign == "minerva"
    assert registered == "complete -o default -F _evalharness evalharness"


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_offers_what_bash_offers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.zsh").write_text(script("zsh", capsys))
    # Outside the line editor its builtins don't exist: they print what they are given.
    lines = [
        "compdef() { : }; compset() { : }; _files() { : }",
        'compadd() { shift; print -r -- "$@" }',
        "source ./c.zsh",
    ]
    plain = [case for case in CASES if "," not in case[0][-1]]
    for words, _, _ in plain:
        quoted = " ".join(f"'{word}'" for word in words)
        lines.append(f"words=({quoted}) CURRENT={len(words)}; _evalharness")
    done = subprocess.run(
        [str(shutil.which("zsh")), "-f", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    for (words, offered, absent), answer in zip(plain, done.stdout.splitlines(), strict=True):
        # zsh itself leaves out what doesn't begin like the last word.
        found = {each for each in answer.split() if each.startswith(words[-1])}
        assert set(offered) <= found, words
        assert not set(absent) & found, words


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_offers_what_bash_offers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.fish").write_text(script("fish", capsys))
    for words, offered, absent in CASES:
        if "," in words[-1]:
            continue
        line = " ".join(words)
        done = subprocess.run(
            [
                str(shutil.which("fish")),
                "--no-config",
                "-c",
                f"source c.fish; complete -C '{line}'",
            ],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        )
        found = {each.split("\t")[0] for each in done.stdout.splitlines()}
        assert set(offered) <= found, words
        assert not set(absent) & found, words


def test_an_unknown_shell_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["completion", "tcsh"])
    assert "invalid choice: 'tcsh'" in capsys.readouterr().err
