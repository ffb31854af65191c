"""Puts data and scripts into an HTML page so that nothing in them can become markup."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
from typing import Any


def json_text(value: Any) -> str:
    """JSON that can stand inside a `<script>` element: no `<`, no U+2028, no NaN.

    A NaN or an infinity becomes null.
    """
    text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def packed(value: Any) -> str:
    """JSON, gzipped, in base64: what `DecompressionStream` in the page unpacks."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    data = text.encode("utf-8", "replace")
    return base64.b64encode(gzip.compress(data, compresslevel=6, mtime=0)).decode("ascii")


def script_text(code: str) -> str:
    """JavaScript that can stand inside a `<script>` element; strings in it keep their meaning."""
    return code.replace("\r\n", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")


def script_hash(code: str) -> str:
    """What a content security policy names an inline script by."""
    digest = hashlib.sha256(code.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
