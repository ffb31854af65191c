"""What may be said about a report beside its runs and its format."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evalharness.analysis.text import REFLECTION_KEYWORDS
from evalharness.definitions import suggestion
from evalharness.errors import InputError
from evalharness.report.tables import short_names


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """Everything has a default."""

    verdicts: str | None = None
    """A verdict table of the runs; the newest where None."""
    with_texts: bool = True
    """Of the HTML: prompts, responses and answers."""
    baseline: str | None = None
    """What the others are compared with; the first model where None."""
    with_details: bool = False
    """Of terminal, Markdown and LaTeX: also lengths by verdict, budgets, texts and series."""
    published: str | None = None
    """`MODEL[:TEMPLATE]` of a published row to lay beside ours."""
    num_responses: int | None = None
    """Of the HTML: how many responses its browser holds at most."""
    steps: Mapping[str, int] = field(default_factory=dict)
    """Model, as the report shows it or in full -> its training step; empty: as in the names."""
    keywords: Sequence[str] = REFLECTION_KEYWORDS
    """Of second thoughts; one that ends in `*` is the beginning of a word."""

    def for_models(self, models: Sequence[str]) -> ReportOptions:
        """The same with the steps of the full names.

        Raises:
            InputError: there is no such model.
        """
        known = {short: name for name, short in short_names(models).items()}
        known |= {name: name for name in models}
        for name in self.steps:
            if name not in known:
                raise InputError(f"--steps {name}: no such model{suggestion(name, known)}")
        return dataclasses.replace(
            self, steps={known[name]: step for name, step in self.steps.items()}
        )
