"""The commands around benchmarks, templates and outside responses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evalharness.cli.flags import Names, add_benchmark_columns, add_command, add_golds
from evalharness.commands import sources


def add_benchmarks(group: Any) -> None:
    """The grammar of `benchmarks`."""
    parser = add_command(
        group,
        "benchmarks",
        sources.benchmarks,
        "the benchmarks, one of them with an example, or what is wrong with them",
        "evalharness benchmarks minerva\n"
        "  evalharness benchmarks check aime24 math500 --training mine.jsonl",
    )
    parser.add_argument(
        "name",
        nargs="*",
        metavar="NAME",
        help="one to show; after `check` those to check (default: all that are here)",
    )
    parser.add_argument(
        "--training",
        metavar="FILE",
        help="of check: data that no benchmark may hold; a file, a name or a hub id",
    )
    add_benchmark_columns(parser)
    parser.add_argument("--json", action="store_true")


def add_templates(group: Any) -> None:
    """The grammar of `templates`."""
    parser = add_command(
        group,
        "templates",
        sources.templates,
        "the templates, or the exact prompt that one of them makes",
        "evalharness templates r1 --benchmark aime24",
    )
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("--benchmark", default="practice", help="whose problem (default: practice)")
    parser.add_argument("--problem", type=int, default=0, metavar="ROW", help="0-based")
    parser.add_argument("--model", help="whose tokenizer renders a chat template")
    add_benchmark_columns(parser)
    parser.add_argument("--json", action="store_true")


def add_fetch(group: Any) -> None:
    """The grammar of `fetch`."""
    parser = add_command(
        group,
        "fetch",
        sources.fetch,
        "download and verify benchmarks ahead of time",
        "evalharness fetch aime24 math500",
    )
    parser.add_argument("benchmark", nargs="*", metavar="BENCHMARK", help="default: all")


def add_import(group: Any) -> None:
    """The grammar of `import`."""
    parser = add_command(
        group,
        "import",
        sources.import_files,
        "make a run of responses that were generated elsewhere",
        "evalharness import outputs.jsonl --map response=completion --set model=mine --out runs/x\n"
        "  evalharness import lm-eval-results/ --out runs/theirs",
    )
    parser.add_argument(
        "file",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="of lm-eval, lighteval, Inspect or the Qwen2.5-Math harness, or with columns of ours; "
        "of a folder all such files",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--map",
        action=Names,
        default=[],
        metavar="OURS=THEIRS",
        help="rename a column; repeatable",
    )
    parser.add_argument(
        "--set",
        action=Names,
        default=[],
        metavar="COLUMN=VALUE",
        help="a value for all rows; an empty one takes the file's away",
    )
    parser.add_argument(
        "--from",
        dest="source_format",
        choices=("lm-eval", "lighteval", "inspect", "qwen-math", "plain"),
        help="which harness wrote the files (default: seen from their content)",
    )
    parser.add_argument(
        "--score",
        metavar="NAME[:FILTER]",
        help="which of the source's scores is its verdict (default: the usual one, which is told)",
    )
    parser.add_argument("--tokenizer", help="counts tokens where the file doesn't")
    add_golds(parser)
    parser.add_argument("--json", action="store_true")


def add_export(group: Any) -> None:
    """The grammar of `export`."""
    parser = add_command(
        group,
        "export",
        sources.export,
        "write a run in the files of another tool",
        "evalharness export runs/x --format lm-eval --out theirs/",
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument(
        "--format",
        required=True,
        choices=("lm-eval", "inspect", "hf", "csv", "parquet"),
        help="hf: .eval_results of a model's repository on the hub; inspect needs the extra "
        "[inspect]",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PLACE",
        help="a file for csv and parquet, else a folder (default: beside the run)",
    )
    parser.add_argument("--force", action="store_true", help="write over files that are there")
    parser.add_argument(
        "--verdicts", metavar="NAME", help="a table of RUN/verdicts (default: the newest)"
    )
    parser.add_argument("--json", action="store_true", help="the paths and notes as one document")
