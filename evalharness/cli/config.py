"""The configuration file of a command: every flag is a key, and the flag wins."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalharness.cli.flags import Names


def apply_config(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Make the keys of `--config` the defaults of its command: the flag wins."""
    words = list(arguments)
    while words and (choices := _subcommands(parser)).keys() & {words[0]}:
        parser = choices[words.pop(0)]
    actions = {
        action.option_strings[0].removeprefix("--"): action
        for action in parser._actions
        if action.option_strings and action.dest not in ("help", "config")
    }
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config", type=Path)
    found, _ = finder.parse_known_args(words)
    has_config = any(
        action.dest == "config" and action.option_strings for action in parser._actions
    )
    if found.config is None or not has_config:
        return
    from evalharness.definitions import Definition

    definition = Definition(found.config)
    definition.check_keys(definition.table, actions)
    for key, value in definition.table.items():
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
