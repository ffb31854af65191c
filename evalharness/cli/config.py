"""The configuration file of a command: every flag is a key, and the flag wins."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalharness.cli.flags import Names


def apply_config(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Make the keys of `--protocol` and `--config` the defaults of their command: the flag wins.

    The configuration wins over the protocol, which it may name.
    """
    words = list(arguments)
    while words and (choices := _subcommands(parser)).keys() & {words[0]}:
        parser = choices[words.pop(0)]
    actions = {
        action.option_strings[0].removeprefix("--"): action
        for action in parser._actions
        if action.option_strings and action.dest not in ("help", "config")
    }
    known = {action.dest for action in parser._actions if action.option_strings}
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
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


def _set_defaults(
    parser: argparse.ArgumentParser,
    actions: dict[str, argparse.Action],
    definition: Any,
    table: dict[str, Any],
) -> None:
    for key, value in table.items():
        action = actions[key]
        parser.set_defaults(**{action.dest: _config_value(definition, key, value, action)})


def _subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for each in parser._actions:
        if isinstance(each, argparse._SubParsersAction):
            return dict(each.choices)
    return {}


def _config_value(definition: Any, key: str, value: Any, action: argparse.Action) -> Any:
    if isinstance(action, Names):
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str) for each in values):
            raise definition.wrong(f'"{key}" must be a string or a list of strings', key)
        return values
    if isinstance(action, argparse._StoreTrueAction | argparse.BooleanOptionalAction):
        if not isinstance(value, bool):
            raise definition.wrong(f'"{key}" must be true or false', key)
        return value
    if action.type and not isinstance(action.type, type):
        # A grammar of its own, such as "auto" or a number.
        try:
            return action.type(str(value))  # type: ignore[operator]
        except argparse.ArgumentTypeError as error:
            raise definition.wrong(f'"{key}": {error}', key) from error
    kind = action.type if isinstance(action.type, type) else str
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    wanted = str if kind is Path else kind
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise definition.wrong(f'"{key}" must be of type {wanted.__name__}', key)
    if action.choices and value not in action.choices:
        raise definition.wrong(f'"{key}" must be one of {", ".join(action.choices)}', key)
    return kind(value)
