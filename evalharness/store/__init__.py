"""The run folder: append, resume, compact, read.

`responses.jsonl` is the truth: appended to, flushed to the disk batch by batch, never rewritten but
to take a damaged line out. `responses.parquet` is made from it when a run is complete. Everything
else can be made again.
"""

from evalharness.store.files import (
    DAMAGED,
    FORMAT,
    JSONL,
    LABELS,
    METRICS,
    PARQUET,
    PROBLEMS,
    PROMPTS,
    SPEC,
    write_atomically,
)
from evalharness.store.index import StoredResponses
from evalharness.store.lock import LOCK, FolderLock
from evalharness.store.reading import (
    read_problems,
    read_prompts,
    read_responses,
    read_spec,
    read_verdicts,
    response_batches,
    responses_frame,
    run_id,
    verdict_names,
    verdict_places,
    verdict_versions,
    verdicts_frame,
)
from evalharness.store.rows import by_key, by_problem
from evalharness.store.writing import RecoveredResponses, RunWriter

__all__ = [
    "DAMAGED",
    "FORMAT",
    "JSONL",
    "LABELS",
    "LOCK",
    "METRICS",
    "PARQUET",
    "PROBLEMS",
    "PROMPTS",
    "SPEC",
    "FolderLock",
    "RecoveredResponses",
    "RunWriter",
    "StoredResponses",
    "by_key",
    "by_problem",
    "read_problems",
    "read_prompts",
    "read_responses",
    "read_spec",
    "read_verdicts",
    "response_batches",
    "responses_frame",
    "run_id",
    "verdict_names",
    "verdict_places",
    "verdict_versions",
    "verdicts_frame",
    "write_atomically",
]
