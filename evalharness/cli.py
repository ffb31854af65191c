"""The command line: arguments to functions, nothing else."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalharness import __version__, commands
from evalharness.errors import EvalHarnessError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser()
    try:
        _apply_config(parser, arguments)
        options = parser.parse_args(arguments)
        options.command_line = shlex.join(["evalharness", *arguments])
        status: int = options.function(options)
        sys.stdout.flush()
    except EvalHarnessError as error:
        print(f"evalharness: {error}", file=sys.stderr)
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
    return status


def build_parser() -> argparse.ArgumentParser:
    """The whole grammar; no package beyond the standard library is imported."""
    parser = argparse.ArgumentParser(
        prog="evalharness",
        description="Did the checkpoint get better at mathematics, or only longer?",
        epilog="`evalharness COMMAND --help` shows a command with an example.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"evalharness {__version__}")
    group = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (
        _add_run,
        _add_check,
        _add_score,
        _add_report,
        _add_compare,
        _add_show,
        _add_benchmarks,
        _add_templates,
        _add_fetch,
        _add_import,
        _add_train,
    ):
        add(group)
    return parser


class _Names(argparse.Action):
    """A repeatable flag that also takes comma lists; the first use replaces a config's value."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - argparse passes it
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,  # noqa: ARG002 - the same
    ) -> None:
        given = getattr(namespace, f"_{self.dest}", [])
        given += [part for part in str(values).split(",") if part]
        setattr(namespace, f"_{self.dest}", given)
        setattr(namespace, self.dest, given)


def _command(
    group: Any, name: str, function: Any, summary: str, example: str
) -> argparse.ArgumentParser:
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


def _add_golds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--golds",
        choices=("published", "corrected"),
        default="published",
        help="published (default) is comparable with papers; corrected applies the errata",
    )


def _add_checker(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checker",
        default="evalharness",
        metavar="NAME",
        help="evalharness (default), or math-verify to compare with",
    )


def _add_benchmark_columns(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--problem-column", help="of your own benchmark file")
    parser.add_argument("--gold-column", help="of your own benchmark file")


def _add_run(group: Any) -> None:
    parser = _command(
        group,
        "run",
        commands.run_models,
        "score models on benchmarks under templates",
        "evalharness run --model ckpt/100,ckpt/200 --benchmark aime24,math500 --template qwen-math",
    )
    parser.add_argument(
        "--model",
        action=_Names,
        metavar="M",
        help="folder or hub id, or NAME=FOLDER; repeatable (default: the shipped tiny checkpoint)",
    )
    parser.add_argument(
        "--benchmark",
        action=_Names,
        metavar="B",
        help="name, or a JSONL/JSON/CSV/Parquet file, a TOML or a hub id (default: practice)",
    )
    parser.add_argument(
        "--template",
        action=_Names,
        metavar="T",
        help="name or the path of a TOML (default: qwen-math; no,qwen-math for the tiny model)",
    )
    parser.add_argument("--engine", default="auto", help="auto, vllm, transformers or replay")
    parser.add_argument(
        "--samples", type=int, default=1, metavar="K", help="a problem (default: 1)"
    )
    parser.add_argument("--temperature", type=float, default=0.0, help="0, the default, is greedy")
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--top-k", type=int, default=0, help="0, the default, is off")
    parser.add_argument("--max-tokens", type=int, help="default: 3000, as in the paper")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, metavar="N", help="first N problems of each benchmark")
    _add_golds(parser)
    _add_checker(parser)
    _add_benchmark_columns(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/...)")
    parser.add_argument(
        "--overlong",
        choices=("refuse", "record"),
        default="refuse",
        help="prompts that fill the context: refuse to start, or record them as failed",
    )
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="any of these flags")
    parser.add_argument("--json", action="store_true", help="print the metrics as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    engine = parser.add_argument_group("engine options")
    engine.add_argument("--dtype", default="auto", help="auto: float32 on a CPU, else bfloat16")
    engine.add_argument("--device", default="auto")
    engine.add_argument(
        "--max-model-len", type=int, help="context in tokens (default: the model's)"
    )
    engine.add_argument("--batch-size", type=int, default=64, help="of the transformers engine")
    engine.add_argument("--tensor-parallel-size", type=int, default=1)
    engine.add_argument("--gpu-memory-utilization", type=float, default=0.9)
    engine.add_argument("--enforce-eager", action="store_true")
    engine.add_argument("--trust-remote-code", action="store_true")
    engine.add_argument("--replay-from", type=Path, metavar="RUN", help="of the replay engine")


def _add_check(group: Any) -> None:
    parser = _command(
        group,
        "check",
        commands.check,
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
    _add_checker(parser)
    parser.add_argument("--json", action="store_true")


def _add_score(group: Any) -> None:
    parser = _command(
        group,
        "score",
        commands.score,
        "check the responses of a run again, without generating",
        "evalharness score runs/mine --golds corrected",
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    _add_golds(parser)
    _add_checker(parser)
    parser.add_argument("--json", action="store_true")


def _add_report(group: Any) -> None:
    parser = _command(
        group,
        "report",
        commands.report,
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
        action=_Names,
        default=[],
        metavar="MODEL=STEP",
        help="training steps of checkpoints, repeatable (default: as in a name like step-120)",
    )
    parser.add_argument(
        "--keywords",
        action=_Names,
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


def _add_compare(group: Any) -> None:
    parser = _command(
        group,
        "compare",
        commands.compare,
        "paired differences and length inflation against a baseline",
        "evalharness compare runs/steps --baseline ckpt/0 --common",
    )
    parser.add_argument("run", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--baseline", required=True, metavar="MODEL[:TEMPLATE]")
    parser.add_argument(
        "--model", action=_Names, default=[], metavar="M", help="compare only these (default: all)"
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


def _add_show(group: Any) -> None:
    parser = _command(
        group,
        "show",
        commands.show,
        "a problem of a run with its prompts, responses and verdicts",
        "evalharness show runs/mine aime24/7 --template r1",
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("problem_id", nargs="?", metavar="PROBLEM_ID")
    parser.add_argument("--model")
    parser.add_argument("--template")
    parser.add_argument("--verdicts", metavar="NAME")
    parser.add_argument("--json", action="store_true")


def _add_benchmarks(group: Any) -> None:
    parser = _command(
        group,
        "benchmarks",
        commands.benchmarks,
        "the benchmarks, or one of them with an example",
        "evalharness benchmarks minerva",
    )
    parser.add_argument("name", nargs="?", metavar="NAME")
    _add_benchmark_columns(parser)
    parser.add_argument("--json", action="store_true")


def _add_templates(group: Any) -> None:
    parser = _command(
        group,
        "templates",
        commands.templates,
        "the templates, or the exact prompt that one of them makes",
        "evalharness templates r1 --benchmark aime24",
    )
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("--benchmark", default="practice", help="whose problem (default: practice)")
    parser.add_argument("--problem", type=int, default=0, metavar="ROW", help="0-based")
    parser.add_argument("--model", help="whose tokenizer renders a chat template")
    _add_benchmark_columns(parser)
    parser.add_argument("--json", action="store_true")


def _add_fetch(group: Any) -> None:
    parser = _command(
        group,
        "fetch",
        commands.fetch,
        "download and verify benchmarks ahead of time",
        "evalharness fetch aime24 math500",
    )
    parser.add_argument("benchmark", nargs="*", metavar="BENCHMARK", help="default: all")


def _add_import(group: Any) -> None:
    parser = _command(
        group,
        "import",
        commands.import_files,
        "make a run of responses that were generated elsewhere",
        "evalharness import outputs.jsonl --map response=completion --set model=mine --out runs/x",
    )
    parser.add_argument("file", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--map",
        action=_Names,
        default=[],
        metavar="OURS=THEIRS",
        help="rename a column; repeatable",
    )
    parser.add_argument(
        "--set", action=_Names, default=[], metavar="COLUMN=VALUE", help="a value for all rows"
    )
    parser.add_argument("--tokenizer", help="counts tokens where the file doesn't")
    _add_golds(parser)
    parser.add_argument("--json", action="store_true")


def _add_train(group: Any) -> None:
    parser = _command(
        group,
        "train",
        None,
        "make a model to compare",
        "evalharness train sft --out checkpoints/mine --steps 200",
    )
    algorithms = parser.add_subparsers(required=True, metavar="ALGORITHM")
    sft = _command(
        algorithms,
        "sft",
        commands.train_sft,
        "supervised training of a tiny model on worked practice problems",
        "evalharness train sft --out checkpoints/mine --steps 200",
    )
    sft.add_argument("--out", type=Path, required=True, metavar="DIR", help="checkpoint folder")
    sft.add_argument("--steps", type=int, help="default: as the shipped checkpoint was made")
    sft.add_argument("--learning-rate", type=float)
    sft.add_argument("--seed", type=int, default=0)


def _apply_config(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Make the keys of `--config` the defaults of `run`: the flag wins."""
    if not arguments or arguments[0] != "run":
        return
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config", type=Path)
    found, _ = finder.parse_known_args(list(arguments[1:]))
    if found.config is None:
        return
    from evalharness.definitions import Definition

    definition = Definition(found.config)
    subparsers = next(
        each for each in parser._actions if isinstance(each, argparse._SubParsersAction)
    )
    run_parser = subparsers.choices["run"]
    actions = {
        action.option_strings[0].removeprefix("--"): action
        for action in run_parser._actions
        if action.option_strings and action.dest not in ("help", "config")
    }
    definition.check_keys(definition.table, actions)
    for key, value in definition.table.items():
        run_parser.set_defaults(
            **{actions[key].dest: _config_value(definition, key, value, actions[key])}
        )


def _config_value(definition: Any, key: str, value: Any, action: argparse.Action) -> Any:
    if isinstance(action, _Names):
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str) for each in values):
            raise definition.wrong(f'"{key}" must be a string or a list of strings', key)
        return values
    if isinstance(action, argparse._StoreTrueAction):
        if not isinstance(value, bool):
            raise definition.wrong(f'"{key}" must be true or false', key)
        return value
    kind = action.type if isinstance(action.type, type) else str
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    wanted = str if kind is Path else kind
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise definition.wrong(f'"{key}" must be of type {wanted.__name__}', key)
    if action.choices and value not in action.choices:
        raise definition.wrong(f'"{key}" must be one of {", ".join(action.choices)}', key)
    return kind(value)
