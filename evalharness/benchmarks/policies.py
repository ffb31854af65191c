"""Reads what a benchmark's definition says of the same answer: one policy, and rows that differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evalharness.checking.policy import Policy
from evalharness.definitions import Definition, suggestion
from evalharness.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The policy of a benchmark, and of the rows that need another one."""

    general: Policy = field(default_factory=Policy)
    rows: Mapping[int, Policy] = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)
    """By row, why it needs its own."""

    def of(self, row: int) -> Policy:
        """The policy of one row of the published file."""
        return self.rows.get(row, self.general)


def read_policies(file: Definition, num_problems: int | None) -> Policies:
    """The `[policy]` table of a definition and its `[[policy_rows]]`.

    A `[[policy_rows]]` table has `rows`, a `reason`, and the keys in which these rows differ from
    the `[policy]` table.

    Raises:
        InputError: a key is unknown or wrong, with file and line; a row twice or out of range.
    """
    general = _table(file, file.get(file.table, "policy", dict, {}))
    policies: dict[int, Policy] = {}
    reasons: dict[int, str] = {}
    for entry in file.tables("policy_rows"):
        rows = file.need(entry, "rows", list)
        reason = file.need(entry, "reason", str).strip()
        changes = {key: value for key, value in entry.items() if key not in ("rows", "reason")}
        if not reason or not changes or not rows:
            raise file.wrong(
                'a [[policy_rows]] table needs "rows", a "reason" and what is different there',
                "policy_rows",
            )
        policy = _table(file, general.changes() | changes)
        for row in rows:
            if isinstance(row, bool) or not isinstance(row, int) or row < 0:
                raise file.wrong(f'"rows" must be row numbers from 0, not {row!r}', "rows")
            if num_problems is not None and row >= num_problems:
                raise file.wrong(f"row {row}: the rows go from 0 to {num_problems - 1}", "rows")
            if row in policies:
                raise file.wrong(f"two policies for row {row}: put them together", "rows")
            policies[row], reasons[row] = policy, reason
    return Policies(general=general, rows=policies, reasons=reasons)


def _table(file: Definition, table: Mapping[str, Any]) -> Policy:
    for key, value in table.items():
        try:
            Policy.from_table({key: value})
        except ValueError as error:
            raise _wrong(file, key, error) from error
    return Policy.from_table(table)


def _wrong(file: Definition, key: str, error: ValueError) -> InputError:
    known = Policy().to_table()
    if key in known:
        return file.wrong(f"policy: {error}", key)
    return file.wrong(f'policy: unknown key "{key}"{suggestion(key, known)}', key)
