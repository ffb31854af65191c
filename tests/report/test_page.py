"""The HTML report in a real browser, with the network off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evalharness.report.runs import write_page
from tests.report.conftest import Page
from tests.report.made import Said, make_run, problem

pytestmark = pytest.mark.browser
HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
AIME = [problem("aime", row, f"What is ${row}+1$? It costs $5 or $7.") for row in range(4)]
SUMS = [problem("sums", row, HOSTILE) for row in range(2)]


def _said() -> Iterator[Said]:
    # model a solves rows 0 and 1, model b rows 0 and 2: fixed 2, broken 1, kept 0, missed 3
    for each, is_a, is_b in zip(
        AIME, (True, True, False, False), (True, False, True, False), strict=True
    ):
        for model, is_right in (("a", is_a), ("b", is_b)):
            yield Said(
                model=model,
                template="no",
                problem=each,
                sample=0,
                text=f"Then $x^2 = \\frac{{1}}{{2}}$ says {model}, so \\boxed{{1}} $\\nosuch{{",
                status="correct" if is_right else "incorrect",
                tokens=100 if each.problem_id == "aime/3" else 20,
                finish="length" if each.problem_id == "aime/3" else "stop",
            )
    for each in SUMS:
        for model in ("a", "b"):
            yield Said(
                model=model,
                template=HOSTILE,
                problem=each,
                sample=0,
                text=f"needle {HOSTILE} ${HOSTILE}$ \\href{{javascript:window.hacked=3}}{{x}} "
                "$\\href{javascript:window.hacked=3}{x}$ \u2028",
                status="incorrect",
                extracted=HOSTILE,
                prompt=HOSTILE,
            )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("run") / "made", _said())
    return write_page(folder)


@pytest.fixture
def page(chromium: Any, report: Path) -> Page:
    return Page(chromium, report)


def test_a_report_opens_without_a_network_and_without_a_complaint(page: Page) -> None:
    page.wait("return document.documentElement.dataset.charts === 'drawn'")
    assert page.run("return document.querySelectorAll('.chart svg.marks').length") == page.run(
        "return document.querySelectorAll('.chart').length"
    )
    assert page.run("return document.querySelectorAll('.chart svg.marks').length") > 3
    assert page.run("return performance.getEntriesByType('resource').length") == 0
    assert page.complaints() == []


def test_text_of_models_and_problems_is_shown_and_never_run(page: Page) -> None:
    page.choose(benchmark="sums")
    page.wait("return document.querySelector('#detail h3').textContent.startsWith('sums')")
    shown = page.shown()
    assert shown.count("<script>window.hacked = 1</script>") >= 4  # asked, answer, name, response
    page.run("document.querySelector('#detail details').open = true")
    assert page.text("#detail pre") == HOSTILE
    assert page.run("return window.hacked") is None
    assert page.run("return document.querySelectorAll('#detail a, #detail img').length") == 0
    assert page.complaints() == []


def test_filters_narrow_the_list(page: Page) -> None:
    assert page.text("#count") == "12 responses"
    page.choose(benchmark="aime")
    assert page.text("#count") == "8 responses"
    page.choose(left="a · no")
    assert page.problems() == ["aime/0", "aime/1", "aime/2", "aime/3"]
    page.choose(status="correct")
    assert page.problems() == ["aime/0", "aime/1"]
    page.choose(status="any", truncated="yes")
    assert page.problems() == ["aime/3"]
    page.choose(truncated="no")
    assert page.problems() == ["aime/0", "aime/1", "aime/2"]


@pytest.mark.parametrize(
    ("transition", "expected"),
    [
        ("correct → not correct", ["aime/1"]),
        ("not correct → correct", ["aime/2"]),
        ("correct in both", ["aime/0"]),
        ("correct in neither", ["aime/3"]),
    ],
)
def test_two_models_stand_side_by_side_and_transitions_filter_them(
    page: Page, transition: str, expected: list[str]
) -> None:
    page.choose(left="a · no", right="b · no")
    assert page.text("#count") == "4 pairs"
    page.choose(transition=transition)
    assert page.problems() == expected
    page.wait(f"return document.querySelector('#detail h3').textContent === {expected[0]!r}")
    page.wait("return document.querySelectorAll('#detail .said').length === 2")
    shown = page.shown()
    assert "says a" in shown
    assert "says b" in shown


def test_keys_move_search_and_switch(page: Page) -> None:
    page.press("j", "j", "k")
    page.wait("return document.querySelector('#detail').textContent.includes('b · no')")
    assert page.run("return location.hash") == "#r=aime%2F0&a=2&s=0"
    page.press("?")
    assert page.run("return document.getElementById('keys').open")
    page.press("\ue00c")  # Escape
    assert not page.run("return document.getElementById('keys').open")
    before = page.run("return document.documentElement.dataset.theme")
    page.press("t")
    after = page.run("return document.documentElement.dataset.theme")
    assert {before, after} == {"light", "dark"}
    page.press("t")
    page.press("/")
    page.press("needle", "\ue007")  # Enter: also in the texts
    page.wait("return document.getElementById('count').textContent.includes('in their texts')")
    assert page.text("#count") == "4 responses with “needle” in their texts"


def test_moving_to_another_response_does_not_end_a_search(page: Page) -> None:
    page.run(
        "document.querySelector('[name=search]').value = 'needle';"
        "document.getElementById('filters').requestSubmit();"
        "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'j'}));"
    )
    page.wait("return document.getElementById('count').textContent.includes('in their texts')")
    assert page.text("#count") == "4 responses with “needle” in their texts"


def test_mathematics_is_rendered_and_can_be_read_as_written(page: Page) -> None:
    page.shown()
    assert page.run("return document.querySelectorAll('#detail .said math').length") == 2
    assert page.run("return document.querySelector('#detail .said mfrac').textContent") == "12"
    assert "$\\nosuch{" in page.text("#detail .said")  # what never closes stays text
    assert "costs $5 or $7" in page.text("#detail .asked")  # prices are no formula
    page.press("m")
    page.wait("return document.querySelectorAll('#detail math').length === 0")
    assert "$x^2 = \\frac{1}{2}$" in page.text("#detail .said")


def test_a_link_to_a_response_opens_it(chromium: Any, report: Path) -> None:
    page = Page(chromium, report)
    page.run("location.hash = '#r=aime%2F2&a=0&b=2&s=0'")
    page.wait("return document.querySelector('#detail h3')?.textContent === 'aime/2'")
    page.wait("return document.querySelectorAll('#detail .said').length === 2")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(
    chromium: Any, report: Path, theme: str
) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    screen = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        page = Page(chromium, report)
        page.wait("return document.documentElement.dataset.charts === 'drawn'")
        assert page.run("return document.documentElement.dataset.theme") == theme
        assert page.run("return document.documentElement.scrollWidth") == 400
        widths = page.run(
            "return [...document.querySelectorAll('.chart svg.marks')]"
            ".map(each => each.getBoundingClientRect().right)"
        )
        assert max(widths) <= 400
    finally:
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
