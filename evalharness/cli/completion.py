"""completion: a script for the user's shell, written from the grammar of the commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evalharness.cli.flags import Names, add_command

SHELLS = ("bash", "zsh", "fish")


def add_completion(group: Any) -> None:
    """The grammar of `completion`."""
    parser = add_command(
        group,
        "completion",
        print_completion,
        "print a script that completes commands, flags and names in your shell",
        'eval "$(evalharness completion bash)"     # in ~/.bashrc; the same with zsh\n'
        "  evalharness completion fish | source      # in config.fish",
    )
    parser.add_argument("shell", choices=SHELLS, metavar="|".join(SHELLS))


def print_completion(options: argparse.Namespace) -> int:
    """The script on stdout."""
    from evalharness.cli import build_parser

    nodes = list(_nodes(build_parser(), ""))
    write = {"bash": _bash, "zsh": _zsh, "fish": _fish}[options.shell]
    sys.stdout.write(write(nodes))
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """One command: what can stand behind it."""

    path: str
    """`train rl`; empty for the program itself."""
    flags: tuple[str, ...]
    words: tuple[str, ...]
    """Commands below it, or the names that it takes; file names are always offered too."""
    values: dict[str, tuple[str, ...]]
    """Flag that takes a value -> the known ones; none for a file or a number."""
    lists: frozenset[str]
    """Flags whose value may be several, with commas."""


def _nodes(parser: argparse.ArgumentParser, path: str) -> Iterator[_Node]:
    flags: list[str] = []
    words: list[str] = []
    values: dict[str, tuple[str, ...]] = {}
    lists = set()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            words += action.choices
            for name, below in action.choices.items():
                yield from _nodes(below, f"{path} {name}".strip())
        elif not action.option_strings:
            words += _known(action, path)
        else:
            long = action.option_strings[-1]
            flags += [name for name in action.option_strings if name.startswith("--")]
            if action.nargs != 0:
                values[long] = _known(action, path)
            if isinstance(action, Names):
                lists.add(long)
    yield _Node(
        path=path,
        flags=tuple(flags),
        words=tuple(words),
        values=values,
        lists=frozenset(lists),
    )


def _known(action: argparse.Action, path: str) -> tuple[str, ...]:
    """The names that an argument takes, where they can be told beforehand."""
    from evalharness.benchmarks import definition_paths
    from evalharness.checking import CHECKERS
    from evalharness.engines import engine_names
    from evalharness.paths import shipped_checkpoints
    from evalharness.protocols import protocol_names
    from evalharness.templates import template_names

    if action.choices is not None:
        return tuple(map(str, action.choices))
    kind = action.dest
    if kind == "name":  # of `benchmarks NAME` and `templates NAME`
        kind = path.removesuffix("s")
    match kind:
        case "benchmark":
            names = tuple(each.stem for each in definition_paths())
            return ("check", *names) if path == "benchmarks" else names
        case "template":
            return tuple(template_names())
        case "checker":
            return (*CHECKERS, "all") if path == "score" else tuple(CHECKERS)
        case "protocol":
            return protocol_names()
        case "engine":
            return ("auto", *engine_names())
        case "model" if path in ("run", "templates") or path.startswith("train"):
            return shipped_checkpoints()
    return ()


def _cases(nodes: list[_Node]) -> tuple[str, str]:
    """The lines of the two tables that bash and zsh read alike: by flag, and by command."""
    values, commands = [], []
    for node in nodes:
        for flag, words in node.values.items():
            kind = "list" if flag in node.lists else "one"
            line = f'    "{node.path}:{flag}") kind={kind} found="{" ".join(words)}" ;;'
            values.append(line)
        commands.append(
            f'    "{node.path}") flags="{" ".join(node.flags)}" found="{" ".join(node.words)}" ;;'
        )
    return "\n".join(values), "\n".join(commands)


def _bash(nodes: list[_Node]) -> str:
    values, commands = _cases(nodes)
    return f"""\
# evalharness: completion for bash. Load it with: eval "$(evalharness completion bash)"
_evalharness() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} before= path= kind=command flags= found= prefix=
  if (( COMP_CWORD > 1 )); then before=${{COMP_WORDS[COMP_CWORD-1]}} path=${{COMP_WORDS[1]}}; fi
  if [[ $path == train ]] && (( COMP_CWORD > 2 )); then path="train ${{COMP_WORDS[2]}}"; fi
  # --flag=value comes as three words.
  if [[ $cur == "=" ]]; then cur= ; elif [[ $before == "=" ]]; then
    before=${{COMP_WORDS[COMP_CWORD-2]}}
  fi
  case "$path:$before" in
{values}
  esac
  if [[ $kind == command ]]; then
    case "$path" in
{commands}
    esac
    if [[ $cur == -* ]]; then found=$flags; fi
  elif [[ $kind == list && $cur == *,* ]]; then
    prefix="${{cur%,*}},"
    cur=${{cur##*,}}
  fi
  COMPREPLY=($(compgen -P "$prefix" -W "$found" -- "$cur"))
}}
complete -o default -F _evalharness evalharness
"""


def _zsh(nodes: list[_Node]) -> str:
    values, commands = _cases(nodes)
    return f"""\
# evalharness: completion for zsh. Load it behind compinit: eval "$(evalharness completion zsh)"
_evalharness() {{
  local before= path_= kind=command flags= found=
  if (( CURRENT > 2 )); then before=${{words[CURRENT-1]}} path_=${{words[2]}}; fi
  if [[ $path_ == train ]] && (( CURRENT > 3 )); then path_="train ${{words[3]}}"; fi
  if [[ ${{words[CURRENT]}} == --*=* ]]; then
    before=${{words[CURRENT]%%=*}}
    compset -P '*='
  fi
  case "$path_:$before" in
{values}
  esac
  if [[ $kind == command ]]; then
    case "$path_" in
{commands}
    esac
    if [[ ${{words[CURRENT]}} == -* ]]; then found=$flags; fi
  elif [[ $kind == list ]]; then
    compset -P '*,'
  fi
  compadd -- ${{=found}}
  [[ $kind == command && ( -z $path_ || ${{words[CURRENT]}} == -* ) ]] || _files
}}
compdef _evalharness evalharness
"""


def _fish(nodes: list[_Node]) -> str:
    lines = [
        "# evalharness: completion for fish. Load it with: evalharness completion fish | source"
    ]
    for node in nodes:
        where = _fish_condition(node)
        if node.words:
            files = " -f" if not node.path or node.path == "train" else ""
            lines.append(f'complete -c evalharness{files} -n "{where}" -a "{" ".join(node.words)}"')
        for flag in node.flags:
            line = f'complete -c evalharness -n "{where}" -l {flag[2:]}'
            if flag in node.values:
                words = " ".join(node.values[flag])
                line += f' -x -a "{words}"' if words and "file" not in flag else " -r"
            lines.append(line)
    return "\n".join(lines) + "\n"


def _fish_condition(node: _Node) -> str:
    if not node.path:
        return "__fish_use_subcommand"
    if node.path == "train":
        below = " ".join(node.words)
        return f"__fish_seen_subcommand_from train; and not __fish_seen_subcommand_from {below}"
    *above, last = node.path.split()
    return "; and ".join(f"__fish_seen_subcommand_from {each}" for each in [*above, last])
