"""The command line: arguments to functions, nothing else."""

from __future__ import annotations

import argparse
import errno
import io
import os
import shlex
import sys
from collections.abc import Sequence

from evalharness import __version__
from evalharness.cli.completion import add_completion
from evalharness.cli.config import apply_config, flags_of
from evalharness.cli.flags import Parser
from evalharness.cli.reading import add_check, add_compare, add_report, add_show
from evalharness.cli.running import add_merge, add_run, add_score, add_suite, add_verify
from evalharness.cli.sources import add_benchmarks, add_export, add_fetch, add_import, add_templates
from evalharness.cli.train import add_train
from evalharness.definitions import suggestion
from evalharness.errors import EvalHarnessError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal of another encoding gets what it has no letter for as its number.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        options = parse(arguments)
        options.parse_arguments = parse
        status: int = options.function(options)
        sys.stdout.flush()
    except EvalHarnessError as error:
        from evalharness.report.terminal import visible  # a name in a file may drive a terminal

        print(f"evalharness: {visible(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "evalharness: interrupted; what was stored is kept, the same command goes on there",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        print(
            f"evalharness: {error.filename or 'the disk'}: {error.strerror}; what was stored is "
            "kept: free space, then run the same command again",
            file=sys.stderr,
        )
        return 2
    return status


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of one command, its configuration and its protocol applied.

    Raises:
        InputError: the configuration or the protocol is wrong.
    """
    parser = build_parser()
    # Behind its -- a suite takes the flags of another command, which argparse wouldn't let through.
    is_suite = list(arguments[:1]) == ["suite"] and "--" in arguments
    place = list(arguments).index("--") if is_suite else len(arguments)
    own = list(arguments[:place])
    apply_config(parser, own)
    options, unknown = parser.parse_known_args(own)
    if unknown:
        command, flags = flags_of(parser, own)
        hint = suggestion(unknown[0].partition("=")[0], flags).rstrip(".")
        command.error(f"there is no {unknown[0]}{hint}")
    options.more = list(arguments[place + 1 :])
    options.command_line = shlex.join(["evalharness", *arguments])
    return options


def build_parser() -> argparse.ArgumentParser:
    """The whole grammar; no package beyond the standard library is imported."""
    parser = Parser(
        prog="evalharness",
        description="Did the checkpoint get better at mathematics, or only longer?",
        epilog="`evalharness COMMAND --help` shows a command with an example.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"evalharness {__version__}")
    group = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (
        add_run,
        add_suite,
        add_check,
        add_score,
        add_merge,
        add_verify,
        add_report,
        add_compare,
        add_show,
        add_benchmarks,
        add_templates,
        add_fetch,
        add_import,
        add_export,
        add_train,
        add_completion,
    ):
        add(group)
    return parser
