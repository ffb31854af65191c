"""Verdicts that are read along with the responses are those of the whole table."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from evalharness import store
from evalharness.exporting import export_run, judged
from evalharness.exporting.judged import VerdictTable
from evalharness.store import LABELS, tables
from evalharness.store.rows import as_verdict_row, verdict_schema
from tests.exchange.test_exporting import made, row

MODELS, TEMPLATES = ("m/b", "a", "z"), ("r1", "no")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three models, two templates, two problems, two samples: 24 responses, in groups of five."""
    monkeypatch.setattr(tables, "BATCH_ROWS", 5)
    rows = [
        row(at, sample, f"\\boxed{{{10 + sample}}}", model=model, template=template, label=at == 0)
        for model, template, at, sample in product(MODELS, TEMPLATES, (0, 1), (0, 1))
    ]
    return made(tmp_path / "runs" / "x", *rows)


def ours(run: Path) -> str:
    return next(name for name in store.verdict_names(run) if name != LABELS)


def rewrite(run: Path, verdicts: list[Any]) -> None:
    """The same table with other rows, in the order given."""
    rows = map(as_verdict_row, verdicts)
    tables.write_table(run / "verdicts" / f"{ours(run)}.parquet", rows, verdict_schema(), {})


def exported(run: Path, form: str, name: str) -> bytes:
    out = run.with_name(name)
    export_run(run, form, out)
    return out.read_bytes()


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("missing", [0, 1, 3])
def test_a_flat_table_is_the_same_and_no_verdict_table_is_read_whole(
    run: Path, monkeypatch: pytest.MonkeyPatch, form: str, missing: int
) -> None:
    # Every so many verdicts are left out, and a response of the first model has none.
    verdicts = list(store.read_verdicts(run, ours(run)))
    if missing:
        rewrite(run, [each for at, each in enumerate(verdicts) if at % (missing + 1)])
    whole = exported(run, form, "whole")

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(judged, "_HELD_ROWS", 1)
    monkeypatch.setattr(VerdictTable, "get", refuse)
    assert exported(run, form, "streamed") == whole


def test_verdicts_on_responses_that_are_gone_are_passed_over(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judged, "_HELD_ROWS", 1)
    responses = list(store.StoredResponses(run))
    expected = {each.key: each for each in store.read_verdicts(run, ours(run))}
    for kept in (responses[::3], responses[5:6], responses[20:], []):
        found = list(VerdictTable(run, ours(run)).along(kept))
        assert found == [expected[each.key] for each in kept]


@pytest.mark.parametrize("change", ["reversed", "by problem", "twice"])
def test_a_table_in_another_order_is_read_whole(
    run: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    verdicts = list(store.read_verdicts(run, ours(run)))
    if change == "reversed":
        verdicts.reverse()
    elif change == "by problem":
        verdicts.sort(key=lambda each: each.problem_id)
    else:
        verdicts.append(verdicts[-1])
    rewrite(run, verdicts)
    whole = exported(run, "csv", "whole")
    monkeypatch.setattr(judged, "_HELD_ROWS", 1)
    assert exported(run, "csv", "streamed") == whole


@pytest.mark.parametrize("start", [0, 1, 4, 5, 6, 10, 23, 24, 30])
def test_a_table_is_read_from_any_row_on(run: Path, start: int) -> None:
    # Groups of 5 rows: 24 of them end within the fifth.
    everything = list(store.read_verdicts(run, ours(run)))
    assert len(everything) == 24
    assert list(store.read_verdicts(run, ours(run), start=start)) == everything[start:]


def test_a_small_table_of_many_models_is_read_whole(run: Path) -> None:
    # A place is held for each of six models and templates, of 4,096 rows each: more than there are.
    table = VerdictTable(run, ours(run))
    assert table._blocks() is None
    assert len([each for each in table.along(store.StoredResponses(run)) if each]) == 24
