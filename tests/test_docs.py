"""Every command that the documentation shows is one that the command line takes."""

import re
import shlex
from pathlib import Path

import pytest

from evalharness.cli import build_parser, main

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "reports").glob("*/README.md")),
]
ENVIRONMENT = re.compile(r"^(?:[A-Z_]+=\S+ )+")


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in re.findall(r"^```(?:bash|sh)\n(.*?)^```", page.read_text(), re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                for part in line.split("&&"):
                    words = ENVIRONMENT.sub("", part.strip())
                    if words.startswith("evalharness "):
                        found.append((str(page.relative_to(ROOT)), words))
    return found


def test_the_documentation_shows_commands() -> None:
    assert len(commands()) >= 8


@pytest.mark.parametrize(("page", "command"), commands())
def test_a_documented_command_is_understood(page: str, command: str) -> None:
    words = shlex.split(command, comments=True)
    options = build_parser().parse_args(words[1:])
    assert callable(options.function)


def test_the_readme_s_check_is_correct(capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = {
        text
        for page, text in commands()
        if page == "README.md" and text.startswith("evalharness check")
    }
    assert main(shlex.split(command, comments=True)[1:]) == 0
    assert capsys.readouterr().out.startswith("correct")


def test_the_readme_names_the_commands_that_ci_runs() -> None:
    readme = (ROOT / "README.md").read_text()
    for mark, ending in [("run command", "&& evalharness run"), ("test command", "&& pytest")]:
        (command,) = re.findall(rf"<!-- {mark} -->\n```bash\n(.*)\n```", readme)
        assert command.startswith("pip install -c constraints-cpu.txt -e ")
        assert command.endswith(ending)
