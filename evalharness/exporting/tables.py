"""One flat table, a response a row in the order of responses.parquet, as CSV or Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import tee
from typing import Any

from evalharness.exporting.gathering import ExportedRun
from evalharness.exporting.places import Target
from evalharness.records import Response, Verdict
from evalharness.report.tables import harmless
from evalharness.store.files import disk_in_words, rename_for_good, sync, temporary_beside
from evalharness.store.rows import RESPONSE_FIELDS, clean
from evalharness.store.tables import write_table

_JUDGED = (
    "status",
    "extracted",
    "extraction",
    "gold",
    "method",
    "reason",
    "note",
    "lenient_status",
    "lenient_extracted",
    "answer_group",
)
COLUMNS = (*RESPONSE_FIELDS, "problem", "golds", "prompt", *_JUDGED, "checker", "source_status")
"""Those of responses.parquet, the problem with its golds and its prompt, the verdict on it, the
table that the verdict is from, and the status that the source of an import gave."""
_WHOLE = {"sample_index", "seed", "prompt_tokens", "num_tokens", "token_limit", "answer_group"}


def export_csv(run: ExportedRun, target: Target) -> list[str]:
    """CSV; a cell that a spreadsheet would run as a formula is quoted with `'`, golds are JSON."""
    num_quoted = 0
    path = target.claim()
    with disk_in_words(path), temporary_beside(path) as temporary:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=COLUMNS, lineterminator="\n")
            writer.writeheader()
            for row in _rows(run):
                row["golds"] = json.dumps(row["golds"], ensure_ascii=False)
                safe = {name: harmless(value) for name, value in row.items()}
                num_quoted += sum(safe[name] != row[name] for name in safe)
                writer.writerow(safe)
        sync(temporary)
        rename_for_good(temporary, path)
    target.written.append(path)
    if num_quoted:
        return [
            f"{num_quoted} cells begin like a formula of a spreadsheet and got a ' before them: "
            "--format parquet has them as they are"
        ]
    return []


def export_parquet(run: ExportedRun, target: Target) -> list[str]:
    """Parquet with zstd; `golds` is a list."""
    import pyarrow as pa

    kinds = dict.fromkeys(_WHOLE, pa.int64()) | {"golds": pa.list_(pa.string())}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
    path = target.claim()
    write_table(path, _rows(run), schema, {})
    target.written.append(path)
    return []


def _rows(run: ExportedRun) -> Iterator[dict[str, Any]]:
    """Of every response."""
    here, for_verdicts, for_labels = tee(run.responses, 3)
    verdicts, labels = run.verdicts.along(for_verdicts), run.labels.along(for_labels)
    for response, verdict, label in zip(here, verdicts, labels, strict=True):
        yield _row(run, response, verdict, label)


def _row(
    run: ExportedRun, response: Response, verdict: Verdict | None, label: Verdict | None
) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(response, name) for name in RESPONSE_FIELDS}
    row |= {
        "problem": run.problems[response.problem_id].text,
        "golds": list(run.golds_of(response)),
        "prompt": run.prompt(response),
        "checker": run.checker,
        "source_status": label.status if label else None,
    }
    row |= {name: getattr(verdict, name) if verdict else None for name in _JUDGED}
    return {name: clean(value) if isinstance(value, str) else value for name, value in row.items()}
