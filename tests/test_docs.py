"""Every command that the documentation shows is one that the command line takes."""

import argparse
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
ENVIRONMENT = re.compile(r"^(?:srun )?(?:[A-Z_]+=\S+ )*")


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


def test_no_block_of_commands_escapes_the_tests_above() -> None:
    # CI runs pip, make and pytest; the completion scripts are tried in their shells.
    others = {"pip", "python3", "make", "pytest", "eval"}
    for page in PAGES:
        for block in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.M | re.S):
            lines = block[1].replace("\\\n", " ").splitlines()
            if block[0] not in ("bash", "sh"):
                assert not [each for each in lines if each.startswith("evalharness ")], page
                continue
            for line in lines:
                words = ENVIRONMENT.sub("", line.split("#")[0].strip()).split()
                assert not words or words[0] in {*others, "evalharness"}, (page, line)


def inline_commands() -> list[tuple[str, str]]:
    """`evalharness COMMAND --flag` in the middle of a sentence."""
    return sorted(
        {
            (str(page.relative_to(ROOT)), found)
            for page in PAGES
            for found in re.findall(r"`evalharness ([a-z]+[^`]*)`", page.read_text())
        }
    )


@pytest.mark.parametrize(("page", "words"), inline_commands())
def test_a_command_within_a_sentence_has_the_flags_it_names(page: str, words: str) -> None:
    name, *rest = words.split()
    parser = build_parser()
    (group,) = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    known = group.choices[name].format_help()
    for flag in (each for each in rest if each.startswith("--")):
        assert f"{flag} " in known or f"{flag}\n" in known, (page, words)


def test_every_page_is_in_the_index_and_every_link_leads_somewhere() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    for page in [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "guide").glob("*.md")]:
        name = str(page.relative_to(ROOT / "docs"))
        assert name == "README.md" or f"({name})" in index
    for page in PAGES:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), (page, link)


def test_the_numbers_of_the_readme_s_table_are_those_of_the_reports() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[.*?\]\((reports/[\w-]+)\)(.*)$", readme, re.M)
    assert len(rows) == 5
    for folder, text in rows:
        found = "".join(
            path.read_text(encoding="utf-8") for path in sorted((ROOT / folder).glob("*.md"))
        )
        numbers = re.findall(r"[+-]?\d+\.\d+(?: \[[^]]+\])?", text.partition(" | ")[2])
        assert numbers
        for number in numbers:
            assert number in found, (folder, number)


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
