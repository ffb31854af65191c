"""The configuration file of a command: every flag is a key, and the flag wins."""

from __future__ import annotations

import argparse
import numbers
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from evalharness.cli.flags import Names, Parser
from evalharness.definitions import suggestion
from evalharness.errors import InputError


def apply_config(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Make the keys of `--protocol` and `--config` the defaults of their command: the flag wins.

    The configuration wins over the protocol, which it may name.
    """
    parser, words = _command(parser, arguments)
    actions = {name: action for name, action in _actions(parser).items() if name != "config"}
    known = {action.dest for action in parser._actions if action.option_strings}
    finder = Parser(prog=parser.prog, add_help=False, allow_abbrev=False)
    finder.add_argument("--config", type=Path)
    finder.add_argument("--protocol")
    found, _ = finder.parse_known_args(words)
    config = None
    if found.config is not None and "config" in known:
        from evalharness.definitions import Definition

        config = Definition(found.config)
        config.check_keys(config.table, actions)
    if "protocol" in known:
        named = found.protocol or (config.table.get("protocol") if config else None)
        if isinstance(named, str):
            from evalharness.protocols import load_protocol

            protocol = load_protocol(named)
            protocol.definition.check_keys(protocol.flags, set(actions) - {"protocol"})
            _set_defaults(parser, actions, protocol.definition, protocol.flags)
    if config is not None:
        _set_defaults(parser, actions, config, config.table)


def run_options(keywords: Mapping[str, Any]) -> argparse.Namespace:
    """The options of `run` from Python values instead of words, with the same grammar behind them.

    Args:
        keywords: flag without its dashes, `_` for `-` -> a value as TOML would have it; paths and
            numpy's numbers are taken too. `config` and `protocol` are applied first, as for flags.

    Raises:
        InputError: no such flag, or a value of a wrong type.
    """
    from evalharness.cli import parse

    flags = {name.replace("_", "-"): value for name, value in keywords.items()}
    named = [name for name in ("config", "protocol") if name in flags]
    options = parse(["run", *(f"--{name}={flags[name]}" for name in named)])
    actions = flag_actions("run")
    for name, value in flags.items():
        if name not in actions:
            raise InputError(f'run has no flag "{name}"{suggestion(name, actions)}')

        def wrong(message: str, shown: str = f"{name}={value!r}") -> InputError:
            return InputError(f"{shown}: {message}")

        action = actions[name]
        setattr(options, action.dest, _option_value(name, _plain(value), action, wrong))
    words = [word for name, value in flags.items() for word in _word(name, _plain(value))]
    options.command_line = shlex.join(["evalharness", "run", *words])
    return options


def flags_of(
    parser: argparse.ArgumentParser, arguments: Sequence[str]
) -> tuple[argparse.ArgumentParser, list[str]]:
    """The parser of the command that some arguments begin with, and its flags."""
    found, _ = _command(parser, arguments)
    return found, [f"--{name}" for name in _actions(found)]


def flag_actions(command: str) -> dict[str, argparse.Action]:
    """Flag of a command, without its dashes -> what the parser knows of it."""
    from evalharness.cli import build_parser

    return _actions(_subcommands(build_parser())[command])


def _plain(value: Any) -> Any:
    """A value of Python as TOML would have it."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def _word(name: str, value: Any) -> list[str]:
    """A flag as it would stand on a command line."""
    if value is None or value is False:
        return []
    if value is True:
        return [f"--{name}"]
    values = value if isinstance(value, list) else [value]
    return [word for each in values for word in (f"--{name}", str(each))]


def _set_defaults(
    parser: argparse.ArgumentParser,
    actions: dict[str, argparse.Action],
    definition: Any,
    table: dict[str, Any],
) -> None:
    for key, value in table.items():
        action = actions[key]
        value = _option_value(key, value, action, partial(definition.wrong, key=key))
        parser.set_defaults(**{action.dest: value})


def _command(
    parser: argparse.ArgumentParser, arguments: Sequence[str]
) -> tuple[argparse.ArgumentParser, list[str]]:
    """The parser of the command that the arguments begin with, and the words behind it."""
    words = list(arguments)
    while words and (choices := _subcommands(parser)).keys() & {words[0]}:
        parser = choices[words.pop(0)]
    return parser, words


def _subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for each in parser._actions:
        if isinstance(each, argparse._SubParsersAction):
            return dict(each.choices)
    return {}


def _actions(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {
        action.option_strings[0].removeprefix("--"): action
        for action in parser._actions
        if action.option_strings and action.dest != "help"
    }


def _option_value(
    key: str, value: Any, action: argparse.Action, wrong: Callable[[str], InputError]
) -> Any:
    """A value of a table as the parser would have read it; `wrong` makes the error to raise."""
    if isinstance(action, Names):
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str) for each in values):
            raise wrong(f'"{key}" must be a string or a list of strings')
        return values
    if isinstance(action, argparse._StoreTrueAction | argparse.BooleanOptionalAction):
        if not isinstance(value, bool):
            raise wrong(f'"{key}" must be true or false')
        return value
    if action.type and not isinstance(action.type, type):
        # A grammar of its own, such as "auto" or a number.
        try:
            return action.type(str(value))  # type: ignore[operator]
        except argparse.ArgumentTypeError as error:
            raise wrong(f'"{key}": {error}') from error
    kind = action.type if isinstance(action.type, type) else str
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    wanted = str if kind is Path else kind
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise wrong(f'"{key}" must be of type {wanted.__name__}')
    if action.choices and value not in action.choices:
        raise wrong(f'"{key}" must be one of {", ".join(action.choices)}')
    return kind(value)
