"""The first recipe of docs/training.md, run with fewer steps."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from evalharness.cli import main

pytest.importorskip("torch", reason="needs the extra [local]")

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
SHORTER = {
    "--steps 1200": "--steps 4",
    "--steps 20 ": "--steps 2 ",
    "checkpoint-000020": "checkpoint-000002",
    "--limit 20": "--limit 2",
    # In two steps the model doesn't learn to end.
    "--max-tokens 96": "--max-tokens 8",
}


@pytest.mark.slow
def test_the_laptop_recipe_ends_in_an_evaluation_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = re.search(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert block is not None
    text = block[1].replace("\\\n", " ")
    for long, short in SHORTER.items():
        assert long in text
        text = text.replace(long, short)
    monkeypatch.chdir(tmp_path)
    commands = [shlex.split(line) for line in text.splitlines()]
    assert [command[1] for command in commands] == ["train", "train", "train", "run"]
    for command in commands:
        assert main(command[1:]) == 0
    record = json.loads(Path("runs/trained/run.json").read_text(encoding="utf-8"))
    assert {"base", "trained"} <= set(json.dumps(record).replace('"', " ").split())
