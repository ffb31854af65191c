"""Our verdicts beside those of the harness that an imported file comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalharness.report.tables import Table, percent, short_names
from evalharness.store import LABELS, verdict_names, verdicts_frame

_GROUP = ["model", "template", "benchmark"]
_KEY = [*_GROUP, "problem_id", "sample_index"]
_MOST_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelComparison:
    """The responses that have both verdicts."""

    rows: tuple[dict[str, Any], ...]
    """One a model, template and benchmark: `num_responses`, `both_correct`, `only_ours`,
    `only_theirs`, `both_wrong`."""
    disagreements: tuple[dict[str, Any], ...]
    """One a response: its key, `ours` and `theirs` (status), and our `extracted`, `gold`,
    `reason`."""

    def table(self) -> Table:
        """For a terminal; the first disagreements stand in its notes."""
        names = short_names(row["model"] for row in self.rows)
        rows = []
        for row in self.rows:
            theirs = (row["both_correct"] + row["only_theirs"]) / row["num_responses"]
            ours = (row["both_correct"] + row["only_ours"]) / row["num_responses"]
            rows.append(
                (
                    names[row["model"]],
                    row["template"],
                    row["benchmark"],
                    str(row["num_responses"]),
                    percent(theirs),
                    percent(ours),
                    *(
                        str(row[name])
                        for name in ("both_correct", "only_ours", "only_theirs", "both_wrong")
                    ),
                )
            )
        total = sum(row["num_responses"] for row in self.rows)
        agreed = total - len(self.disagreements)
        notes = [
            f"The two verdicts agree on {agreed} of {total} responses. Accuracy in percent, over "
            "the responses that the source judged."
        ]
        notes += [_sentence(each) for each in self.disagreements[:_MOST_SHOWN]]
        if len(self.disagreements) > _MOST_SHOWN:
            notes.append(
                f"and {len(self.disagreements) - _MOST_SHOWN} more: "
                "evalharness export RUN --format csv has both verdicts on every response"
            )
        return Table(
            title="Our verdicts beside the source's own",
            columns=(*_GROUP, "n", "theirs", "ours", "both", "only ours", "only theirs", "neither"),
            rows=tuple(rows),
            num_labels=len(_GROUP),
            notes=tuple(notes),
        )


def compare_labels(folder: Path, verdicts: str) -> LabelComparison | None:
    """Lay one of our verdict tables beside the source's; None where the run has no such verdicts.

    A status other than `correct` counts as not correct.

    Raises:
        StoreError: the run has no such table.
    """
    if LABELS not in verdict_names(folder):
        return None
    explained = ["extracted", "gold", "reason"]
    ours = verdicts_frame(folder, verdicts, [*_KEY, "status", *explained])
    theirs = verdicts_frame(folder, LABELS, [*_KEY, "status"])
    both = ours.merge(theirs, on=_KEY, how="inner", suffixes=("_ours", "_theirs"))
    if len(both) == 0:
        return None
    both["we"] = both["status_ours"] == "correct"
    both["they"] = both["status_theirs"] == "correct"
    rows = []
    for key, part in both.groupby(_GROUP, sort=False):
        rows.append(
            dict(zip(_GROUP, key, strict=True))
            | {
                "num_responses": len(part),
                "both_correct": int((part["we"] & part["they"]).sum()),
                "only_ours": int((part["we"] & ~part["they"]).sum()),
                "only_theirs": int((~part["we"] & part["they"]).sum()),
                "both_wrong": int((~part["we"] & ~part["they"]).sum()),
            }
        )
    differing = both[both["we"] != both["they"]]
    disagreements = [
        {name: row[name] for name in _KEY}
        | {"ours": row["status_ours"], "theirs": row["status_theirs"]}
        | {name: row[name] for name in explained}
        for row in differing.to_dict("records")
    ]
    return LabelComparison(rows=tuple(rows), disagreements=tuple(disagreements))


def _sentence(row: dict[str, Any]) -> str:
    answer = row["extracted"] if isinstance(row["extracted"], str) else "no answer"
    return (
        f"{row['problem_id']}#{row['sample_index']}: they say {row['theirs']}, we say "
        f"{row['ours']}: {answer} for {row['gold']} ({row['reason']})"
    )
