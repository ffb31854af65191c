"""The commands that show verdicts, tables and texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evalharness.cli.flags import Names, add_checker, add_command
from evalharness.commands import reading


def add_check(group: Any) -> None:
    """The grammar of `check`."""
    parser = add_command(
        group,
        "check",
        reading.check,
        "one verdict, explained",
        r"evalharness check '\frac{1}{2}' 'So the answer is \boxed{0.5}.'",
    )
    parser.add_argument("gold", metavar="GOLD")
    parser.add_argument("response", metavar="RESPONSE", help="or - to read standard input")
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="GOLD",
        help="another gold that is right too; repeatable",
    )
    parser.add_argument("--template", help="whose answer format to apply (default: any format)")
    parser.add_argument(
        "--benchmark",
        metavar="NAME[/ROW]",
        help="whose policy to apply (default: the general one)",
    )
    add_checker(parser)
    parser.add_argument("--json", action="store_true")


def add_report(group: Any) -> None:
    """The grammar of `report`."""
    parser = add_command(
        group,
        "report",
        reading.report,
        "tables of one or several runs",
        "evalharness report runs/a runs/b --format markdown --out table.md",
    )
    parser.add_argument("run", type=Path, nargs="+", metavar="RUN")
    parser.add_argument(
        "--format", choices=("terminal", "html", "markdown", "latex", "csv", "json")
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="instead of stdout; HTML goes to RUN/report.html"
    )
    parser.add_argument(
        "--verdicts", metavar="NAME", help="a table of RUN/verdicts (default: the newest)"
    )
    parser.add_argument(
        "--baseline",
        metavar="MODEL[:TEMPLATE]",
        help="what the others are compared with (default: the first model)",
    )
    parser.add_argument(
        "--details",
        action="store_true",
        help="also lengths by verdict, token budgets, loops and formats, checkpoint series",
    )
    parser.add_argument(
        "--published", metavar="MODEL[:TEMPLATE]", help="lay this row of a paper beside ours"
    )
    parser.add_argument(
        "--steps",
        action=Names,
        default=[],
        metavar="MODEL=STEP",
        help="training steps of checkpoints, repeatable (default: as in a name like step-120)",
    )
    parser.add_argument(
        "--keywords",
        action=Names,
        default=[],
        metavar="WORD",
        help="count these as second thoughts; a final * for any ending; repeatable",
    )
    parser.add_argument("--figures", type=Path, metavar="DIR", help="the charts as files")
    parser.add_argument(
        "--figure-format",
        action="append",
        choices=("svg", "png", "pdf"),
        help="repeatable (default: all three)",
    )
    parser.add_argument(
        "--no-texts", action="store_true", help="HTML with numbers only: nothing a model wrote"
    )
    parser.add_argument(
        "--responses",
        type=int,
        metavar="N",
        help="most responses in the HTML (default: 20000; 100000 with --no-texts; 0: no browser)",
    )
    parser.add_argument("--json", action="store_const", const="json", dest="format")


def add_compare(group: Any) -> None:
    """The grammar of `compare`."""
    parser = add_command(
        group,
        "compare",
        reading.compare,
        "paired differences and length inflation against a baseline",
        "evalharness compare runs/steps --baseline ckpt/0 --common",
    )
    parser.add_argument("run", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--baseline", required=True, metavar="MODEL[:TEMPLATE]")
    parser.add_argument(
        "--model", action=Names, default=[], metavar="M", help="compare only these (default: all)"
    )
    parser.add_argument(
        "--common",
        action="store_true",
        help="where problems, golds or token limits differ, compare what is shared",
    )
    parser.add_argument(
        "--verdicts", metavar="NAME", help="a table of RUN/verdicts (default: the newest)"
    )
    parser.add_argument("--format", choices=("terminal", "markdown", "json"), default="terminal")
    parser.add_argument("--json", action="store_const", const="json", dest="format")


def add_show(group: Any) -> None:
    """The grammar of `show`."""
    parser = add_command(
        group,
        "show",
        reading.show,
        "a problem of a run with its prompts, responses and verdicts",
        "evalharness show runs/mine aime24/7 --template r1",
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("problem_id", nargs="?", metavar="PROBLEM_ID")
    parser.add_argument("--model")
    parser.add_argument("--template")
    parser.add_argument("--verdicts", metavar="NAME")
    parser.add_argument("--json", action="store_true")
