"""A published row beside ours."""

from __future__ import annotations

from evalharness.analysis.published import PublishedTable, beside_published, load_published
from evalharness.definitions import suggestion
from evalharness.errors import InputError
from evalharness.paths import shipped_folder
from evalharness.report.gather import Gathered
from evalharness.report.tables import Table, short_names


def published_table(gathered: Gathered, name: str) -> Table:
    """The accuracies of every model and template of some runs, beside one published row.

    Args:
        gathered: the runs.
        name: `MODEL:TEMPLATE` of a row in `reports/published`; without the template, where the
            model has one row.

    Raises:
        InputError: no published table has that row, or no benchmark is in common.
    """
    table, model, template = _find_row(name)
    row = next(each for each in table.rows if (each.model, each.template) == (model, template))
    names = short_names(cell[0] for cell in gathered.cells)
    rows = []
    notes: dict[str, None] = {}
    for cell in gathered.cells:
        for each in beside_published(table, model, template, gathered.metrics, *cell):
            interval = ""
            if each.low is not None and each.high is not None:
                interval = f" [{100 * each.low:+.1f}, {100 * each.high:+.1f}]"
            rows.append(
                (
                    names[cell[0]],
                    cell[1],
                    gathered.titles.get(each.benchmark, each.benchmark),
                    f"{100 * each.published:.1f}",
                    f"{100 * each.ours:.1f}",
                    f"{100 * (each.ours - each.published):+.1f}{interval}",
                )
            )
            notes |= dict.fromkeys(each.notes)
    if not rows:
        raise InputError(f"--published {name}: these runs have none of {', '.join(row.accuracies)}")
    notes |= dict.fromkeys(row.errors)
    return Table(
        title=f"Beside {model} under {template}, as published, in %",
        columns=("model", "template", "benchmark", "published", "ours", "difference"),
        rows=tuple(rows),
        num_labels=3,
        notes=(
            f"{table.title}: {table.source}.",
            *(f"{note[0].upper()}{note[1:].removesuffix('.')}." for note in notes),
            *table.notes,
        ),
    )


def _find_row(name: str) -> tuple[PublishedTable, str, str]:
    """The table and the row meant."""
    known: dict[str, tuple[PublishedTable, str, str]] = {}
    by_model: dict[str, list[str]] = {}
    for path in sorted((shipped_folder("reports") / "published").glob("*.toml")):
        table = load_published(path)
        for row in table.rows:
            full = f"{row.model}:{row.template}"
            known[full] = (table, row.model, row.template)
            by_model.setdefault(row.model, []).append(full)
    if name in by_model:
        if len(by_model[name]) > 1:
            raise InputError(
                f"--published {name} has several rows: write {' or '.join(by_model[name])}"
            )
        name = by_model[name][0]
    if name not in known:
        hint = suggestion(name, known)
        hint = hint if "?" in hint else f"; there are {', '.join(known)}"
        raise InputError(f"--published {name}: no such row{hint}")
    return known[name]
