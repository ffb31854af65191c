"""What the response browser of the HTML report shows: an index of responses, and their texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalharness.analysis.text import find_loop
from evalharness.records import STATUSES
from evalharness.report.gather import Gathered, RunSource
from evalharness.store import (
    read_problems,
    read_prompts,
    response_batches,
    verdicts_frame,
)

if TYPE_CHECKING:
    import pandas as pd

_KEY = ["model", "template", "problem_id", "sample_index"]
_TEXT_COLUMNS = ["response", "prompt_sha256", "finish_reason", "stop_reason", "error"]
_VERDICT_COLUMNS = ["extracted", "extraction", "gold", "method", "reason"]
_SHOWN_COLUMNS = [*_TEXT_COLUMNS, *_VERDICT_COLUMNS, "lenient_status"]
_CHUNK_LETTERS = 400_000
"""Letters of text that are unpacked at once when a response is opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserData:
    """JSON values for the page."""

    index: dict[str, Any]
    """Columns over responses, sorted by problem, and the names that they count into."""
    chunks: tuple[dict[str, Any], ...]
    """Texts of consecutive responses; empty where the report leaves texts out."""


def browser_data(gathered: Gathered, rows: pd.DataFrame, with_texts: bool) -> BrowserData:
    """What the page needs of the rows, from `chosen_rows`, or `chosen_texts` if they have texts."""
    problems = _problem_order(gathered)
    cells = {cell: number for number, cell in enumerate(gathered.cells)}
    benchmarks = {name: number for number, name in enumerate(gathered.benchmarks)}
    rows = rows.assign(
        cell=[cells[pair] for pair in zip(rows["model"], rows["template"], strict=True)],
        place=rows["problem_id"].map({each: place for place, each in enumerate(problems)}),
        status=rows["status"].map({status: number for number, status in enumerate(STATUSES)}),
        order=rows["benchmark"].map(benchmarks),
    ).sort_values(["order", "place", "cell", "sample_index"], ignore_index=True)
    shown = {place: number for number, place in enumerate(rows["place"].drop_duplicates())}
    starts, chunks = _chunks(gathered, rows) if with_texts else ([], [])
    names = list(problems)
    columns = {
        "problem": rows["place"].map(shown).tolist(),
        "cell": rows["cell"].tolist(),
        "sample": rows["sample_index"].tolist(),
        "status": rows["status"].tolist(),
        "tokens": [None if value != value else int(value) for value in rows["num_tokens"]],
        "truncated": (rows["finish_reason"] == "length").astype(int).tolist(),
    }
    if "response" in rows:
        columns["loop"] = [int(find_loop(text) is not None) for text in rows["response"]]
    index = {
        "models": [model for model, _ in cells],
        "templates": [template for _, template in cells],
        "benchmarks": list(benchmarks),
        "statuses": list(STATUSES),
        "problems": [names[place] for place in shown],
        "problem_benchmarks": [benchmarks[problems[names[place]]] for place in shown],
        "starts": starts,
        "total": len(gathered.frame),
        "columns": columns,
    }
    return BrowserData(index=index, chunks=tuple(chunks))


def chosen_rows(gathered: Gathered, limit: int) -> pd.DataFrame:
    """At most `limit` responses, equally many of each model and template, first samples first."""
    frame = gathered.frame
    if len(frame) <= limit:
        return frame
    by_sample = frame.sort_values("sample_index", kind="stable")
    rank = by_sample.groupby(["model", "template"], sort=False).cumcount()
    return by_sample[(rank < max(limit // len(gathered.cells), 1)).to_numpy()]


def chosen_texts(gathered: Gathered, limit: int) -> pd.DataFrame:
    """The same with what was asked, said and judged."""
    import pandas as pd

    rows = chosen_rows(gathered, limit).reset_index(drop=True)
    parts = []
    for number, run in enumerate(gathered.runs):
        mine = rows.loc[rows["run"] == number, _KEY]
        original = {new: old for old, new in run.renamed.items()}
        keys = mine.assign(model=mine["model"].map(lambda name, old=original: old.get(name, name)))
        keys = keys.assign(position=mine.index)
        found = [
            batch.merge(keys, on=_KEY)
            for batch in response_batches(run.folder, [*_KEY, *_TEXT_COLUMNS])
        ]
        texts = pd.concat(found).merge(
            verdicts_frame(run.folder, run.verdicts, [*_KEY, *_VERDICT_COLUMNS, "lenient_status"]),
            on=_KEY,
        )
        parts.append(texts.set_index("position")[_SHOWN_COLUMNS])
    return rows.drop(columns=_SHOWN_COLUMNS, errors="ignore").join(pd.concat(parts))


def _problem_order(gathered: Gathered) -> dict[str, str]:
    """Problem id -> its benchmark, in the order of the runs."""
    order: dict[str, str] = {}
    for run in gathered.runs:
        for problem in read_problems(run.folder).values():
            order[problem.problem_id] = problem.benchmark
    return order


def _chunks(gathered: Gathered, rows: pd.DataFrame) -> tuple[list[int], list[dict[str, Any]]]:
    """First row of each chunk, and the chunks; all responses to a problem are in one chunk."""
    asked = [_Asked(run) for run in gathered.runs]
    starts: list[int] = []
    chunks: list[dict[str, Any]] = []
    letters = _CHUNK_LETTERS
    previous = None
    for position, row in enumerate(rows.to_dict("records")):
        problem_id = row["problem_id"]
        if problem_id != previous and letters >= _CHUNK_LETTERS:
            starts.append(position)
            chunks.append({"problems": {}, "prompts": [], "rows": []})
            known: dict[str, int] = {}
            letters = 0
        previous = problem_id
        chunk = chunks[-1]
        run = asked[row["run"]]
        if problem_id not in chunk["problems"]:
            chunk["problems"][problem_id] = run.problem(problem_id)
        sha256 = _given(row["prompt_sha256"])
        prompt = run.prompts.get(sha256) if sha256 else None
        if prompt is not None and sha256 not in known:
            known[sha256] = len(chunk["prompts"])
            chunk["prompts"].append(prompt)
            letters += len(prompt)
        chunk["rows"].append(
            {
                "response": row["response"],
                "prompt": known.get(sha256) if sha256 else None,
                **{
                    name: _given(row[name])
                    for name in ("finish_reason", "stop_reason", "error", *_VERDICT_COLUMNS)
                },
            }
        )
        letters += len(row["response"])
    return starts, chunks


class _Asked:
    """Problems and prompts of one run."""

    def __init__(self, run: RunSource) -> None:
        self._problems = read_problems(run.folder)
        self.prompts = read_prompts(run.folder)

    def problem(self, problem_id: str) -> dict[str, Any]:
        problem = self._problems[problem_id]
        return {
            "text": problem.text,
            "golds": list(problem.golds),
            "corrected": None if problem.corrected_golds is None else list(problem.corrected_golds),
            "erratum": problem.erratum,
        }


def _given(value: Any) -> Any:
    """None for what a frame holds instead of None."""
    return None if value is None or value != value else value
