"""What the flags of several commands have in common."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from evalharness.definitions import suggestion


class Parser(argparse.ArgumentParser):
    """One line for a wrong word, with the right one where it is close; the usage is in the help."""

    def error(self, message: str) -> NoReturn:
        found = _CHOICES.search(message)
        if found:
            hint = suggestion(found["word"], re.findall(r"[^\s,']+", found["known"])).rstrip(".")
            message = f"{message}{hint}"
        self.exit(2, f"{self.prog}: {message} (see `{self.prog} --help`)\n")


_CHOICES = re.compile(r"invalid choice: '(?P<word>[^']*)' \(choose from (?P<known>[^)]*)\)")


class Names(argparse.Action):
    """A repeatable flag that also takes comma lists; the first use replaces a config's value."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - argparse passes it
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,  # noqa: ARG002 - the same
    ) -> None:
        given = getattr(namespace, f"_{self.dest}", [])
        named = [part for part in str(values).split(",") if part]
        if not named:
            # An unset variable of a script: without a name a default would be taken.
            raise argparse.ArgumentError(self, "is empty")
        given += named
        setattr(namespace, f"_{self.dest}", given)
        setattr(namespace, self.dest, given)


def add_command(
    group: Any, name: str, function: Any, summary: str, example: str
) -> argparse.ArgumentParser:
    """A command with its example; `function` gets the parsed options."""
    parser: argparse.ArgumentParser = group.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if function:
        parser.set_defaults(function=function)
    return parser


def add_golds(parser: argparse.ArgumentParser) -> None:
    """Which golds count."""
    parser.add_argument(
        "--golds",
        choices=("published", "corrected"),
        default="published",
        help="published (default) is comparable with papers; corrected applies the errata",
    )


def add_checker(parser: argparse.ArgumentParser, more: str = "") -> None:
    """Which checker judges; `more` ends the help."""
    parser.add_argument(
        "--checker",
        default="evalharness",
        metavar="NAME",
        help="evalharness (default); math-verify, or the rules of a published evaluation: drgrpo, "
        f"drgrpo-fast, drgrpo-orz, qwen2.5-math{more}",
    )


def add_benchmark_columns(parser: argparse.ArgumentParser) -> None:
    """The columns of a benchmark file of the user's own."""
    parser.add_argument("--problem-column", help="of your own benchmark file")
    parser.add_argument("--gold-column", help="of your own benchmark file")


def add_server(parser: argparse.ArgumentParser) -> None:
    """Where the openai engine finds its server."""
    server = parser.add_argument_group("server (--engine openai)")
    server.add_argument("--base-url", metavar="URL", help="such as http://localhost:8000/v1")
    server.add_argument(
        "--api-key-env",
        metavar="NAME",
        help="the environment variable that holds the key (default: no key is sent)",
    )
    server.add_argument(
        "--concurrency",
        type=concurrency,
        metavar="N|auto",
        help="requests at a time; auto, the default, follows the server",
    )
    server.add_argument(
        "--request-timeout",
        type=float,
        metavar="SECONDS",
        help="for one answer (default: as long as the server lives)",
    )


def concurrency(text: str) -> int | None:
    """`auto` is None."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is neither auto nor a number from 1')
    return int(text)
