"""From rows to problems, and the check that a copy of a benchmark is the published one."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalharness.benchmarks.definition import BenchmarkDefinition
from evalharness.benchmarks.files import Row
from evalharness.benchmarks.golds import GOLD_RULES, CanonicalRow, fingerprint
from evalharness.definitions import display_path, suggestion
from evalharness.errors import DataError, EvalHarnessError, InputError
from evalharness.records import Problem

PROBLEM_COLUMNS = ("problem", "question", "prompt")
GOLD_COLUMNS = ("gold", "answer", "final_answer", "expected_answer", "target")
ID_COLUMN = "problem_id"
_NUM_SHOWN = 3


class Columns(NamedTuple):
    """Which columns of a file hold the problem and the gold."""

    problem: str
    gold: str


def choose_columns(rows: Sequence[Row], problem: str | None, gold: str | None) -> Columns:
    """The columns that the user named, else the first known ones, whatever their case.

    Two known columns that agree in every row are one; where they differ the user has to say.

    Raises:
        InputError: no such column, or several that differ; names those that exist.
    """
    return Columns(
        _choose(rows, problem, PROBLEM_COLUMNS, "problem"),
        _choose(rows, gold, GOLD_COLUMNS, "gold"),
    )


def problem_texts(name: str, rows: Sequence[Row], column: str | None) -> tuple[Problem, ...]:
    """The problems of rows whose golds nobody asks for: training data, which may lack some.

    Raises:
        InputError: no rows, no such column, or a row whose problem is no text.
    """
    if not rows:
        raise InputError(f"{name}: no rows")
    chosen = _choose(rows, column, PROBLEM_COLUMNS, "problem")
    problems = []
    for number, row in enumerate(rows):
        text = row.cells.get(chosen)
        if not isinstance(text, str) or not text.strip():
            raise InputError(f'{row.place}: column "{chosen}": the problem is no text')
        problem_id = f"{name}/{number}"
        problems.append(Problem(benchmark=name, problem_id=problem_id, text=text, golds=()))
    return tuple(problems)


def _choose(rows: Sequence[Row], named: str | None, known: Sequence[str], kind: str) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row.cells))
    place = rows[0].place
    existing = f"the columns are {', '.join(map(str, columns))}"
    if named is not None:
        if named not in columns:
            raise InputError(
                f'{place}: no {kind} column "{named}"{suggestion(named, columns).rstrip(".")}: '
                f"{existing}"
            )
        return named
    order = {name: position for position, name in enumerate(known)}
    found = [column for column in columns if str(column).lower() in order]
    found.sort(key=lambda column: order[column.lower()])
    if not found:
        raise InputError(
            f"{place}: no {kind} column ({', '.join(known)}): {existing}; "
            f"name it with --{kind}-column"
        )
    for other in found[1:]:
        if any(row.cells.get(other) != row.cells.get(found[0]) for row in rows):
            raise InputError(
                f'{place}: both "{found[0]}" and "{other}" could be the {kind} and they differ: '
                f"name one with --{kind}-column; {existing}"
            )
    return found[0]


def canonical_rows(
    rows: Sequence[Row], columns: Columns, rule: str, error_kind: type[EvalHarnessError]
) -> list[CanonicalRow]:
    """Texts as they stand and golds normalised by rule.

    Raises:
        EvalHarnessError: of the given kind, with the place of the row and what it lacks.
    """
    found = []
    for row in rows:
        text = row.cells.get(columns.problem)
        if not isinstance(text, str) or not text.strip():
            raise error_kind(
                f'{row.place}: no problem text in column "{columns.problem}"; '
                f"the columns are {', '.join(map(str, row.cells))}"
            )
        try:
            golds = GOLD_RULES[rule](row.cells.get(columns.gold))
        except ValueError as error:
            raise error_kind(f'{row.place}: column "{columns.gold}": {error}') from error
        found.append(CanonicalRow(text, golds))
    return found


def own_ids(name: str, rows: Sequence[Row]) -> list[str]:
    """`<name>/<problem_id>` where the rows have that column, else `<name>/<row>`.

    Raises:
        InputError: an id is missing or stands twice; names both rows.
    """
    if not any(ID_COLUMN in row.cells for row in rows):
        return [f"{name}/{index}" for index in range(len(rows))]
    places: dict[str, str] = {}
    for row in rows:
        value = row.cells.get(ID_COLUMN)
        if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
            raise InputError(f'{row.place}: column "{ID_COLUMN}": no id, or not a text or integer')
        identifier = str(value).strip()
        if not identifier.startswith(f"{name}/"):
            identifier = f"{name}/{identifier}"
        if identifier in places:
            raise InputError(
                f'{row.place}: the {ID_COLUMN} "{value}" stands at {places[identifier]} already'
            )
        places[identifier] = row.place
    return list(places)


def problems_of(name: str, rows: Sequence[CanonicalRow], ids: Sequence[str]) -> tuple[Problem, ...]:
    """One problem a row, its text verbatim."""
    return tuple(
        Problem(benchmark=name, problem_id=identifier, text=row.text, golds=row.golds)
        for row, identifier in zip(rows, ids, strict=True)
    )


def published_problems(
    definition: BenchmarkDefinition, rows: Sequence[CanonicalRow]
) -> tuple[Problem, ...]:
    """One problem a row, its text verbatim, both readings of its golds.

    Raises:
        InputError: the definition says something of a row that isn't there.
    """
    for key, named in (("errata", definition.errata), ("policy_rows", definition.policies.rows)):
        if max(named, default=-1) >= len(rows):
            raise InputError(
                f"{display_path(definition.path)}: {key}: row {max(named)}: the rows go from 0 to "
                f"{len(rows) - 1}"
            )
    problems = []
    for index, row in enumerate(rows):
        erratum = definition.errata.get(index)
        problems.append(
            Problem(
                benchmark=definition.name,
                problem_id=f"{definition.name}/{index}",
                text=row.text,
                golds=row.golds,
                corrected_golds=erratum.golds if erratum else None,
                erratum=f"{erratum.reason} ({erratum.source})" if erratum else "",
                policy=definition.policies.of(index).changes(),
            )
        )
    return tuple(problems)


def in_published_order(
    definition: BenchmarkDefinition, rows: Sequence[CanonicalRow], source: str
) -> list[CanonicalRow]:
    """The rows as the definition's fingerprint has them; another order is put right.

    Raises:
        DataError: rows are missing, too many or different; shows the first of them.
    """
    rows = list(rows)
    expected = definition.num_problems
    is_counted = expected is None or len(rows) == expected
    if is_counted and definition.fingerprint in (None, fingerprint(rows)):
        return rows
    what = f"{definition.name}: {source} isn't the benchmark that {definition.path.name} describes"
    if definition.row_hashes is None:
        differs = [] if is_counted else [f"{len(rows)} rows for {expected}"]
        if definition.fingerprint is not None:
            differs.append(f"fingerprint {fingerprint(rows)} for {definition.fingerprint}")
        raise DataError(f"{what}: {', '.join(differs)}")
    pool: dict[str, list[CanonicalRow]] = defaultdict(list)
    for row in reversed(rows):
        pool[row.hashes].append(row)
    ordered = [pool[hashes].pop() if pool[hashes] else None for hashes in definition.row_hashes]
    complete = [row for row in ordered if row is not None]
    if len(complete) == len(rows) == len(ordered):
        if fingerprint(complete) == definition.fingerprint:
            return complete
        raise DataError(
            f"{what}: every row has its hash, but the fingerprint is {fingerprint(complete)} "
            f"for {definition.fingerprint}: the definition and its .rows file disagree"
        )
    unmatched = {id(row) for remaining in pool.values() for row in remaining}
    strangers = {index: row for index, row in enumerate(rows) if id(row) in unmatched}
    missing = {
        index: definition.row_hashes[index] for index, row in enumerate(ordered) if row is None
    }
    is_in_order = len(rows) == len(ordered) and all(
        row is None or row is rows[index] for index, row in enumerate(ordered)
    )
    lines = _differences(missing, strangers, is_in_order)
    shown = "\n".join(f"  {line}" for line in lines[:_NUM_SHOWN])
    more = f"\n  and {len(lines) - _NUM_SHOWN} more" if len(lines) > _NUM_SHOWN else ""
    raise DataError(
        f"{what}: {len(rows)} rows for {len(ordered)}, {len(complete)} agree:\n{shown}{more}\n"
        "Use the published file, or give this copy a definition of its own"
    )


def _differences(
    missing: Mapping[int, str], strangers: Mapping[int, CanonicalRow], is_in_order: bool
) -> list[str]:
    """One line for each published row that a copy lacks, and for each row it has besides.

    A row of the copy is the published one with a difference where it has the text of it, or (alone
    in that) the golds of it, or its place in a copy whose other rows are all in their places.
    """
    lines: dict[int, str] = {}
    unused = dict(strangers)
    for row, hashes in missing.items():
        text_hash = hashes.split(" ")[0]
        same = [index for index, other in unused.items() if other.text_hash == text_hash]
        if same:
            golds = json.dumps(unused.pop(same[0]).golds, ensure_ascii=False)
            lines[row] = f"row {row}: another gold: here {golds}"
    golds_hashes = [hashes.split(" ")[1] for row, hashes in missing.items() if row not in lines]
    for row, hashes in missing.items():
        if row in lines:
            continue
        golds_hash = hashes.split(" ")[1]
        same = [index for index, other in unused.items() if other.golds_hash == golds_hash]
        is_alone = len(same) == golds_hashes.count(golds_hash) == 1
        if is_alone or (is_in_order and row in unused):
            text = unused.pop(same[0] if is_alone else row).text
            lines[row] = f"row {row}: another text: here {_excerpt(text)}"
        else:
            lines[row] = f"row {row}: missing"
    extra = [
        f"not in the benchmark: row {index} here, {_excerpt(row.text)}"
        for index, row in unused.items()
    ]
    return [lines[row] for row in sorted(lines)] + extra


def _excerpt(text: str) -> str:
    flat = " ".join(text.split())
    return json.dumps(flat if len(flat) <= 100 else flat[:97] + "...", ensure_ascii=False)
