"""Where the server is, and the key that it wants."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from evalharness.errors import InputError


def check_base_url(url: str | None) -> str:
    """The URL without its last slash.

    Raises:
        InputError: it is none, or it holds a password, which would be recorded.
    """
    if not url:
        raise InputError("the openai engine needs --base-url, such as http://localhost:8000/v1")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InputError(f"--base-url: {error}: write http://HOST:PORT/v1") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f'--base-url "{url}": write http://HOST:PORT/v1 or https://HOST/v1')
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InputError(
            "--base-url must hold no user, password or query, because it is recorded: put the key "
            "into an environment variable and name that with --api-key-env"
        )
    return url.rstrip("/")


def check_key_variable(variable: str) -> str:
    """The name of an environment variable; a key given in its place is not repeated.

    Raises:
        InputError: it is no name.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        raise InputError(
            "--api-key-env takes the name of an environment variable, never the key itself: "
            "export SERVER_KEY=... and give --api-key-env SERVER_KEY"
        )
    return variable


def read_key(variable: str | None) -> str | None:
    """The key, from the environment; None where none is to be sent.

    Raises:
        InputError: the variable is unset, or holds what can't be a key.
    """
    if variable is None:
        return None
    key = os.environ.get(check_key_variable(variable), "").strip()
    if not key:
        raise InputError(
            f"--api-key-env {variable}: the environment has no such variable, or it is empty; the "
            "flag takes the name of a variable, never the key itself"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(f"--api-key-env {variable}: it holds characters that no key has")
    return key
