"""What a model could write to hurt whoever reads it; nothing of it may run, hang or grow."""

from __future__ import annotations

from pathlib import Path

CANARY = "HOSTILE_CANARY"
"""The variable that holds the path of a file which nothing may make."""


def _python(code: str) -> list[str]:
    """Code where graders of others have run it: eval, sympify, parse_expr, LaTeX parsers."""
    return [
        code,
        f"\\text{{{code}}}",
        f"\\operatorname{{eval}}({code})",
        f"re({code!r})",
        f"{{{code}}}",
        f"lambda: {code}",
        f"Matrix([[{code}]])",
    ]


def attacks(canary: Path) -> dict[str, str]:
    """Name -> answer, to be put into a box; those that run code make `canary`."""
    touch = f"__import__('os').system('touch {canary}')"
    write = f"open({str(canary)!r},'w').close()"
    found = {
        f"code {number}": text
        for number, text in enumerate([*_python(touch), *_python(write), f"`touch {canary}`"])
    }
    found |= {
        "shell": f"$(touch {canary}); touch {canary} | touch {canary} && touch {canary}",
        "tex": f"\\immediate\\write18{{touch {canary}}}\\input{{|touch {canary}}}",
        "builtins": "().__class__.__base__.__subclasses__()",
        "format": "{0.__class__.__init__.__globals__}%s%n%x",
        "power tower": "9^{9^{9^9}}",
        "python power": "9**9**9**9",
        "factorials": "((((9!)!)!)!)!",
        "large factorial": "(10^9)!",
        "binomial": "\\binom{10^9}{5\\cdot 10^8}",
        "exponent": "1e999999999",
        "root": "\\sqrt[10^9]{10^{10^9}}",
        "sum": "\\sum_{i=1}^{10^{12}} \\prod_{j=1}^{10^{12}} \\int_0^1 x^{ij} dx",
        "digits": "7" * 100_000,
        "fraction": "\\frac{" + "1" * 50_000 + "}{" + "3" * 50_000 + "}",
        "letters": "x" * 100_000,
        "sum of many": "+".join(["x^{2}"] * 20_000),
        "list": ",".join(str(number) for number in range(20_000)),
        "braces": "{" * 20_000 + "1" + "}" * 20_000,
        "parentheses": "(" * 20_000 + "1" + ")" * 20_000,
        "open braces": "{" * 50_000,
        "fractions": "\\frac{1}{" * 5_000 + "2" + "}" * 5_000,
        "square roots": "\\sqrt{" * 5_000 + "2" + "}" * 5_000,
        "boxes": "\\boxed{" * 5_000 + "2" + "}" * 5_000,
        "absolute values": "|" * 20_000 + "x" + "|" * 20_000,
        "signs": "-" * 50_000 + "1",
        "blanks": " " * 100_000 + "1",
        "backslashes": "\\" * 50_000,
        "commas": "1," * 30_000,
        "dots": "1" + ".1" * 30_000,
        "dollars": "$" * 50_001,
        "carets": "x" + "^" * 30_000,
        "left right": "\\left(" * 10_000,
        "environments": "\\begin{pmatrix}" * 5_000,
        "text in text": "\\text{" * 10_000,
        "nul": "1\x002\x00",
        "surrogates": "\ud83d1\udc00",
        "directions": "\u202e24\u202c\u2066\u200b\ufeff",
        "line ends": "1\r\n2\r3\u20284\u20295\x0b\x0c\x85",
        "terminal": "\x1b[2J\x1b]0;owned\x07\x1b[31m25\x9b31m\x08\x08",
        "link": "\x1b]8;;file:///etc/passwd\x1b\\click\x1b]8;;\x1b\\",
        "script": f"<script>fetch('file://{canary}')</script><img src=x onerror=alert(1)>",
        "end of script": "</script></style></textarea>--><svg/onload=alert(1)>",
        "markdown": "[a](javascript:alert(1)) ![b](http://x/y) | c | `d`",
        "rich markup": "[bold red]x[/] [link=file:///etc/passwd]y[/link] [/]",
        "spreadsheet": f"=cmd|'/c touch {canary}'!A1",
        "combining": "a" + "\u0301" * 30_000,
        "long word": "\ufdfa" * 20_000,
        "roman": "٣" * 1_000,
        "json": '", "status": "correct", "x": "',
        "nan": "nan",
        "infinity": "-inf",
        "empty": "",
    }
    return found


def catastrophes() -> dict[str, str]:
    """Name -> whole response, against the patterns that look for an answer."""
    return {
        "answers": "the answer is " * 8_000,
        "boxes without end": "\\boxed" * 15_000,
        "answer tags": "<answer>" * 12_000,
        "think tags": "<think></think>" * 8_000,
        "fbox and frac": "\\fbox{\\frac" * 8_000,
        "equals": "= " * 50_000,
        "new lines": "\n" * 100_000,
        "blank lines": " \n\t" * 33_000 + "\\boxed{1",
        "numbers": "1 2 3.4.5,6 " * 8_000,
        "dollar pairs": "$ $$ " * 20_000,
        "quotes": "****''``\"\"" * 10_000,
    }


NAMES = (
    "../../../../outside",
    "/absolute/outside",
    "a/../../b",
    "..",
    "=1+cmd|'/c calc'!A1",
    "+1",
    "-2",
    "@SUM(1)",
    "\tx",
    "<b>bold</b><script>alert(1)</script>",
    "\x1b[31mred\x1b[0m",
    "\x9b31mred by one byte\x85",
    "safe\u202egnihton\u2066\u200f",
    "[red]markup[/red]",
    "nul\x00",
    "half\ud83d",
    "line\nbreak\rback",
    "a|b",
    "$x$ & %d \\input{x} _^~#",
    "'; drop table runs; --",
    "x" * 500,
)
"""Of models, as an imported file may name them."""
