"""train: a model to compare."""

from __future__ import annotations

import argparse
import sys

from evalharness.commands.output import print_line


def train_sft(options: argparse.Namespace) -> int:
    """Train, with one line for each evaluation."""
    from evalharness.templates import load_template
    from evalharness.training.sft import SFTConfig, SFTMetrics, train_sft

    given = {"num_steps": options.steps, "learning_rate": options.learning_rate}
    config = SFTConfig(
        output=options.out,
        templates={name: load_template(name).text for name in ("no", "qwen-math")},
        seed=options.seed,
        **{name: value for name, value in given.items() if value is not None},
    )

    def show(metrics: SFTMetrics) -> None:
        if metrics.exact_match is not None or metrics.step == 1:
            solved = ", ".join(
                f"{name} {100 * share:.0f}%" for name, share in (metrics.exact_match or {}).items()
            )
            print(
                f"step {metrics.step}/{config.num_steps}: loss {metrics.loss:.3f}, "
                f"{metrics.tokens_per_second:,.0f} tokens/s{', solved ' if solved else ''}{solved}",
                file=sys.stderr,
            )

    print_line(str(train_sft(config, progress=show)))
    return 0
