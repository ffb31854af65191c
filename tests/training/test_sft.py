"""Supervised training: the loss counts what it says, and a run repeats."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from evalharness.errors import InputError, TrainingError
from evalharness.training.batches import (
    Example,
    backpropagate_mean_loss,
    greedy_completions,
    groups_by_length,
    is_solved,
    make_batch,
    make_example,
    render,
    summed_loss,
)
from evalharness.training.practice import PracticeProblem
from evalharness.training.rollout import Drawn
from evalharness.training.sft import SFTMetrics, train_sft
from evalharness.training.sft_config import SFTConfig, learning_rate_at
from evalharness.training.sft_rows import TrainingRows
from evalharness.training.solutions import Worked
from evalharness.training.state import STATE, checkpoints
from evalharness.training.tokenizer import TURN_START, byte_tokenizer
from evalharness.training.toy import ToyModel, make_toy_model

torch = pytest.importorskip("torch", reason="needs the extra [local]")

MICRO = ToyModel(
    hidden_size=32, intermediate_size=64, num_layers=1, num_heads=1, num_kv_heads=1, head_size=32
)
TEMPLATES = {"no": "{{problem}}", "marked": "Q: {{problem}}\nA:\n"}
SUM = PracticeProblem(
    kind="small-sum",
    operands=(2, 3),
    text="What is 2 + 3?",
    solution=r"2 + 3 = 5. \boxed{5}",
    gold="5",
)

WORKED = Worked(SUM.text, SUM.solution)


def _config(output: Path, **changes: object) -> SFTConfig:
    config = SFTConfig(
        output=output,
        templates=TEMPLATES,
        shares={"no": 0.5, "marked": 0.5},
        model=MICRO,
        num_steps=5,
        rows_per_step=8,
        warmup_steps=2,
        evaluate_every=5,
        num_validation_per_kind=1,
    )
    return replace(config, **changes)


def _rows(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _untimed(folder: Path) -> list[dict[str, object]]:
    return [{**row, "tokens_per_second": None} for row in _rows(folder)]


def _interrupting(*steps: int) -> Callable[[SFTMetrics], None]:
    """Progress that ends the run after any of these steps, as Ctrl-C does."""

    def show(metrics: SFTMetrics) -> None:
        if metrics.step in steps:
            raise KeyboardInterrupt

    return show


def test_completion_starts_on_its_own_line_and_ends_with_eos() -> None:
    tokenizer = byte_tokenizer(max_length=512)
    raw = make_example(tokenizer, TEMPLATES["no"], WORKED)
    assert bytes(raw.prompt_ids) == b"What is 2 + 3?"
    assert bytes(raw.completion_ids[:-1]) == b"\n2 + 3 = 5. \\boxed{5}"
    assert raw.completion_ids[-1] == 257
    marked = make_example(tokenizer, TEMPLATES["marked"], WORKED)
    assert bytes(marked.prompt_ids) == b"Q: What is 2 + 3?\nA:\n"
    assert bytes(marked.completion_ids[:-1]) == b"2 + 3 = 5. \\boxed{5}"


def test_batch_counts_completions_and_pads_on_the_right() -> None:
    batch = make_batch([Example([5, 6], [7, 257]), Example([8], [9, 10, 11, 257])], 258)
    assert batch.input_ids_BT.tolist() == [[5, 6, 7, 257, 258], [8, 9, 10, 11, 257]]
    assert batch.loss_mask_BT.int().tolist() == [[0, 0, 1, 1, 0], [0, 1, 1, 1, 1]]
    assert (batch.num_tokens, batch.num_counted) == (9, 6)


def test_loss_is_the_cross_entropy_of_the_completion_tokens_alone() -> None:
    model = make_toy_model(MICRO, byte_tokenizer(max_length=512), seed=1)
    rows = [Example([5, 6], [7, 257]), Example([8], [9, 10, 11, 257])]
    with torch.no_grad():
        loss = summed_loss(model, make_batch(rows, 258))
        # Each row alone, unpadded: -log p(token | everything before it), completion tokens only.
        expected = 0.0
        for row in rows:
            ids = row.prompt_ids + row.completion_ids
            logprobs_TV = model(torch.tensor([ids])).logits[0].log_softmax(-1)
            for position in range(len(row.prompt_ids), len(ids)):
                expected -= logprobs_TV[position - 1, ids[position]].item()
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    # An untrained model is near uniform over 288 tokens: 6 tokens cost about 6 ln 288 = 33.98.
    assert loss.item() == pytest.approx(33.98, rel=0.05)


def test_gradient_does_not_depend_on_how_rows_are_batched() -> None:
    rows = [Example([5, 6], [7, 257]), Example([8], [9, 10, 11, 257]), Example([3] * 9, [4, 257])]

    def gradient(groups: list[list[Example]]) -> tuple[float, torch.Tensor]:
        model = make_toy_model(MICRO, byte_tokenizer(max_length=512), seed=1)
        loss = backpropagate_mean_loss(model, [make_batch(group, 258) for group in groups])
        return loss, torch.cat([weight.grad.flatten() for weight in model.parameters()])

    one_loss, one = gradient([rows])
    split_loss, split = gradient([rows[:1], rows[1:]])
    assert split_loss == pytest.approx(one_loss, rel=1e-6)
    assert one.norm() > 0.1
    torch.testing.assert_close(split, one, rtol=1e-4, atol=1e-6)


def test_rows_are_grouped_by_length_and_none_is_lost() -> None:
    rows = [Example([1] * length, [257]) for length in (40, 9, 15, 16, 10)]
    lengths = [[row.num_tokens for row in group] for group in groups_by_length(rows)]
    # 10 * 1.6 = 16 is still in the first group; 17 * 1.6 = 27.2 leaves 41 to a third.
    assert lengths == [[10, 11, 16], [17], [41]]


def test_learning_rate_warms_up_then_falls_to_a_tenth(tmp_path: Path) -> None:
    config = _config(tmp_path / "x", num_steps=110, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate_at(step, config) for step in (1, 5, 10, 60, 110)]
    # Half way down the cosine: 0.1 + 0.9 / 2.
    assert rates == pytest.approx([0.1, 0.5, 1.0, 0.55, 0.1])


def test_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    folders = [
        train_sft(_config(tmp_path / "a")),
        train_sft(_config(tmp_path / "b")),
        train_sft(_config(tmp_path / "c", seed=1)),
    ]
    first, second, other = ((folder / "model.safetensors").read_bytes() for folder in folders)
    assert first == second
    assert first != other
    assert (folders[0] / "training.json").read_bytes() == (
        folders[1] / "training.json"
    ).read_bytes()


def test_loss_falls_and_every_step_is_on_record(tmp_path: Path) -> None:
    seen: list[int] = []
    config = _config(
        tmp_path / "run", num_steps=40, warmup_steps=5, learning_rate=1e-2, evaluate_every=30
    )
    folder = train_sft(config, progress=lambda metrics: seen.append(metrics.step))
    rows = _rows(folder)
    assert seen == [row["step"] for row in rows] == list(range(1, 41))
    # It starts near ln 288 = 5.66.
    assert rows[0]["loss"] == pytest.approx(5.66, abs=0.3)
    assert sum(row["loss"] for row in rows[-5:]) / 5 < 3.0
    evaluated = [row["step"] for row in rows if row["exact_match"] is not None]
    assert evaluated == [30, 40]
    assert set(rows[-1]["exact_match"]) == {"no", "marked"}
    record = json.loads((folder / "training.json").read_text("utf-8"))
    assert record["final_loss"] == rows[-1]["loss"]
    assert record["config"]["templates"] == TEMPLATES


def _own_file(folder: Path) -> str:
    path = folder / "mine.jsonl"
    rows = [{"problem": f"{n} + 1", "solution": rf"\boxed{{{n + 1}}}"} for n in range(5)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


@pytest.mark.parametrize("start", ["tiny", None])
@pytest.mark.parametrize("source", ["practice", "mine"])
def test_a_run_that_was_interrupted_ends_as_one_that_was_not(
    tmp_path: Path, start: str | None, source: str
) -> None:
    # Of the five rows of `mine`, a step of 3 takes some of two epochs at every second step.
    problems = source if source == "practice" else _own_file(tmp_path)
    changes = {"start": start, "problems": problems, "rows_per_step": 3, "num_steps": 6}
    whole = train_sft(_config(tmp_path / "whole", evaluate_every=3, save_every=100, **changes))
    config = _config(tmp_path / "run", evaluate_every=3, save_every=2, **changes)
    told: list[str] = []
    # After step 1 there is no checkpoint yet; after step 3 there is that of step 2; and so on.
    for step in (1, 3, 4, 5, 6):
        with pytest.raises(KeyboardInterrupt):
            train_sft(config, progress=_interrupting(step), note=told.append)
        assert not (config.output / "config.json").exists()
        assert list(checkpoints(config.output)) == ([step // 2 * 2] if step > 1 else [])
    seen: list[int] = []
    train_sft(config, progress=lambda metrics: seen.append(metrics.step), note=told.append)
    assert seen == []
    assert [text.split(" of ")[0] for text in told] == [
        f"going on after step {step}" for step in (2, 4, 4, 6)
    ]
    names = sorted(path.name for path in whole.iterdir())
    assert sorted(path.name for path in config.output.iterdir()) == names
    for name in set(names) - {".lock", "metrics.jsonl", "training.json"}:
        assert (config.output / name).read_bytes() == (whole / name).read_bytes(), name
    assert _untimed(config.output) == _untimed(whole)
    records = [json.loads((each / "training.json").read_text()) for each in (whole, config.output)]
    assert [record["config"].pop("save_every") for record in records] == [100, 2]
    assert records[0] == records[1]


def test_a_run_that_was_killed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    # SIGKILL while the checkpoint of step 4 is being written: that of step 2 is whole.
    script = """
import os, signal, sys
from pathlib import Path
import torch
from evalharness.training.sft import train_sft
from evalharness.training.sft_config import SFTConfig

kept = torch.save
def save(state, path):
    kept(state, path)
    if "checkpoint-000004" in str(path):
        os.kill(os.getpid(), signal.SIGKILL)
torch.save = save
train_sft(SFTConfig(output=Path(sys.argv[1]), start="tiny", templates={"no": "{{problem}}"},
    shares={"no": 1.0}, num_steps=5, rows_per_step=4, warmup_steps=2, save_every=2,
    num_validation_per_kind=1))
"""
    killed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "run")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert [path.name for path in (tmp_path / "run").glob("*checkpoint-*") if path.is_dir()] != []
    assert list(checkpoints(tmp_path / "run")) == [2]
    config = SFTConfig(
        output=tmp_path / "run",
        start="tiny",
        templates={"no": "{{problem}}"},
        shares={"no": 1.0},
        num_steps=5,
        rows_per_step=4,
        warmup_steps=2,
        save_every=2,
        num_validation_per_kind=1,
    )
    seen: list[int] = []
    train_sft(config, progress=lambda metrics: seen.append(metrics.step))
    assert seen == [3, 4, 5]
    whole = train_sft(replace(config, output=tmp_path / "whole"))
    weights = [(each / "model.safetensors").read_bytes() for each in (whole, config.output)]
    assert weights[0] == weights[1]
    assert _untimed(config.output) == _untimed(whole)
    assert list(config.output.glob(".checkpoint-*")) == []


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    config = _config(tmp_path / "run")
    weights = train_sft(config) / "model.safetensors"
    before = (weights.read_bytes(), weights.stat().st_mtime_ns)
    told: list[str] = []
    assert train_sft(config, progress=_interrupting(*range(9)), note=told.append) == config.output
    assert told == [f"{config.output} is trained already: nothing was left to do"]
    assert (weights.read_bytes(), weights.stat().st_mtime_ns) == before


def test_other_settings_are_another_run_and_how_often_to_save_is_not(tmp_path: Path) -> None:
    problems = _own_file(tmp_path)
    config = _config(tmp_path / "run", save_every=2, problems=problems)
    with pytest.raises(KeyboardInterrupt):
        train_sft(config, progress=_interrupting(3))
    for change, message in (
        ({"learning_rate": 1e-3}, r"learning_rate: 0\.003 -> 0\.001"),
        ({"rows_per_step": 7}, "rows_per_step: 8 -> 7"),
        # The rate falls towards the last step, so that more steps are other steps.
        ({"num_steps": 6}, "num_steps: 5 -> 6"),
    ):
        with pytest.raises(InputError, match=f"holds another run. What changed:\n.*{message}"):
            train_sft(replace(config, **change))
    with (tmp_path / "mine.jsonl").open("a") as file:
        file.write('{"problem": "6 + 1", "solution": "7"}\n')
    with pytest.raises(InputError, match="problems_fingerprint: "):
        train_sft(config)
    _own_file(tmp_path)
    train_sft(replace(config, save_every=1))
    assert [row["step"] for row in _rows(config.output)] == [1, 2, 3, 4, 5]
    # The end is compared too.
    with pytest.raises(InputError, match="seed: 0 -> 1"):
        train_sft(replace(config, seed=1))


def test_checkpoints_of_a_supervised_run_are_kept_for_a_series_when_asked(tmp_path: Path) -> None:
    config = _config(tmp_path / "run", save_every=2, keep_checkpoints="all")
    train_sft(config)
    kept = checkpoints(config.output)
    assert list(kept) == [2, 4, 5]
    weights = [(folder / "model.safetensors").read_bytes() for folder in kept.values()]
    assert len(set(weights)) == 3
    assert weights[-1] == (config.output / "model.safetensors").read_bytes()
    # Nothing goes on from any of them: the run is at its end.
    assert not any((folder / STATE).exists() for folder in kept.values())


def test_a_training_that_fails_before_its_first_step_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("evalharness.training.sft._train_step", interrupted)
    (tmp_path / "run.metrics.jsonl").write_text("of another training")
    for output in (tmp_path / "run", tmp_path / "new" / "run"):
        with pytest.raises(KeyboardInterrupt):
            train_sft(_config(output))
    assert [path.name for path in tmp_path.iterdir()] == ["run.metrics.jsonl"]
    assert (tmp_path / "run.metrics.jsonl").read_text() == "of another training"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shares": {"n": 1.0}}, 'no text for the template "n" \\(known: no, marked\\)'),
        ({"shares": {"no": 0.0}}, 'the share of "no" is 0.0: it must be above 0'),
        ({"shares": {}}, "shares: empty"),
        ({"num_steps": 0}, "num_steps is 0: it must be at least 1"),
        ({"save_every": 0}, "save_every is 0: it must be at least 1"),
        ({"keep_checkpoints": "some"}, 'keep_checkpoints is "some": it must be all or last'),
        ({"learning_rate": -1.0}, "learning_rate is -1.0: it must be a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"weight_decay": float("inf")}, "weight_decay is inf: it must be a number of at least 0"),
        ({"warmup_steps": 5}, "warmup_steps is 5: it must be below num_steps, which is 5"),
        ({"overlong": "cut"}, 'overlong is "cut": it must be refuse or drop'),
        ({"templates": {"no": "Solve.", "marked": "?"}}, "'Solve.' has no {{problem}}: add it"),
    ],
)
def test_a_config_that_cannot_be_trained_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train_sft(_config(tmp_path / "run", **changes))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"model.safetensors": ""}, "isn't empty and holds no run: name another --out"),
        (
            {"training.json": '{"method": "sft", "config": {}}'},
            "holds a checkpoint, not the run of one: name another --out",
        ),
        (
            {"training.json": '{"method": "rl", "identity": {}}'},
            "holds a run of train rl: name another --out",
        ),
        (
            {"training.json": '{"method": "sft", "backend": "trl"}'},
            "holds a run by TRL, which isn't continued: name another --out",
        ),
    ],
)
def test_what_is_there_already_is_never_written_over(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    with pytest.raises(InputError, match=message):
        train_sft(_config(folder))
    assert {path.name: path.read_text("utf-8") for path in folder.iterdir()} == files


def _of_lengths(folder: Path, *lengths: int) -> str:
    """A file whose rows have so many tokens, one a byte, under the template `no`."""
    path = folder / "mine.jsonl"
    # 2 of the problem, 1 of the line break before the solution, 1 of EOS.
    rows = [{"problem": "1?", "solution": "x" * (length - 4)} for length in lengths]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def _narrow(folder: Path, problems: str, **changes: object) -> SFTConfig:
    """A context of 64 tokens and the template `no`."""
    model = replace(MICRO, context_length=64)
    return _config(folder / "run", model=model, problems=problems, shares={"no": 1.0}, **changes)


def test_a_row_that_fills_the_context_to_the_last_token_is_trained_on(tmp_path: Path) -> None:
    problems = _of_lengths(tmp_path, 30, 64)
    told: list[str] = []
    train_sft(_narrow(tmp_path, problems), note=told.append)
    assert told == []


def test_rows_longer_than_the_context_are_refused_with_the_first_and_the_count(
    tmp_path: Path,
) -> None:
    problems = _of_lengths(tmp_path, 30, 65, 64, 300)
    expected = (
        rf"2 of the 4 rows of {problems} don't fit the model's context of 64 tokens; the first is "
        rf".*mine.jsonl:2 with 65 \(prompt, solution and EOS\). Shorten them, .* --overlong drop"
    )
    with pytest.raises(InputError, match=expected):
        train_sft(_narrow(tmp_path, problems))
    assert not (tmp_path / "run").exists()
    # `marked` has 7 tokens of its own and the solution loses its line break: 65 + 7 - 1.
    with pytest.raises(InputError, match=r"3 of the 4 rows .* first is .*:2 with 71 "):
        train_sft(replace(_narrow(tmp_path, problems), shares={"no": 1.0, "marked": 0.01}))


def test_rows_longer_than_the_context_are_left_out_where_asked(tmp_path: Path) -> None:
    problems = _of_lengths(tmp_path, 30, 65, 20, 300)
    told: list[str] = []
    config = _narrow(tmp_path, problems, overlong="drop", rows_per_step=2)
    folder = train_sft(config, note=told.append)
    assert told == [
        f"2 of the 4 rows of {problems} don't fit the model's context of 64 tokens; the first is "
        f"{problems}:2 with 65 (prompt, solution and EOS). They are left out"
    ]
    # As if they weren't in the file.
    weights = (folder / "model.safetensors").read_bytes()
    without = replace(config, output=tmp_path / "without", overlong="refuse")
    _of_lengths(tmp_path, 30, 20)
    assert (train_sft(without) / "model.safetensors").read_bytes() == weights
    _of_lengths(tmp_path, 65)
    with pytest.raises(InputError, match=r"1 of the 1 rows .*\. Nothing is left to train on"):
        train_sft(replace(config, output=tmp_path / "none"))


def test_a_generated_row_longer_than_the_context_is_found_before_training(tmp_path: Path) -> None:
    seen: list[SFTMetrics] = []
    config = _narrow(tmp_path, "rambling", num_steps=50, overlong="drop")
    rows = TrainingRows(
        replace(config, model=MICRO), byte_tokenizer(max_length=512), context=512, note=print
    )
    lengths = [row.num_tokens for row in islice(rows.examples(), 50 * 8)]
    numbers = [number for number, length in enumerate(lengths, start=1) if length > 64]
    assert 1 < len(numbers) < 400
    expected = (
        f"{len(numbers)} of the 400 rows that rambling makes .* the first is row {numbers[0]} with "
        f"{lengths[numbers[0] - 1]} "
    )
    with pytest.raises(InputError, match=expected):
        train_sft(config, progress=seen.append)
    assert seen == []


def test_greedy_decoding_does_not_depend_on_the_batch() -> None:
    tokenizer = byte_tokenizer(max_length=512)
    model = make_toy_model(MICRO, tokenizer, seed=3)
    prompts = ["What is 2 + 3?", "4", "Find the largest of 3, 4 and 5."]
    together = greedy_completions(model, tokenizer, prompts, max_tokens=8)
    alone = [greedy_completions(model, tokenizer, [each], max_tokens=8)[0] for each in prompts]
    assert together == alone
    assert len({each.token_ids for each in together}) > 1


@pytest.mark.parametrize(
    ("text", "is_truncated", "solved"),
    [
        (r"2 + 3 = 5. \boxed{5}", False, True),
        (r"2 + 3 = 6. \boxed{6}", False, False),
        (r"2 + 3 = 5. \boxed{5}", True, False),
        (r"\boxed{5} or \boxed{6}", False, False),
    ],
)
def test_solved_means_that_it_stopped_after_the_right_box(
    text: str, is_truncated: bool, solved: bool
) -> None:
    drawn = Drawn(token_ids=(), text=text, is_truncated=is_truncated)
    assert is_solved(drawn, SUM) is solved


def test_bos_stands_before_the_prompt_once_and_nowhere_else() -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = byte_tokenizer(max_length=512)
    tokenizer.add_special_tokens({"bos_token": TURN_START})
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", 256)]
    )
    plain = make_example(tokenizer, "{{problem}}", WORKED)
    assert plain.prompt_ids == [256, *WORKED.text.encode()]
    assert plain.completion_ids == [*f"\n{WORKED.solution}".encode(), 257]
    written = make_example(tokenizer, "<|im_start|>{{problem}}", WORKED)
    assert written.prompt_ids == plain.prompt_ids


def test_a_gradient_that_is_no_number_ends_the_training_with_its_step(tmp_path: Path) -> None:
    config = _config(tmp_path / "run", num_steps=12, warmup_steps=0, learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"step \d+: the gradient is (nan|inf): lower the"):
        train_sft(config)
    assert not (tmp_path / "run" / "config.json").exists()


def test_training_on_evaluated_problems_is_told_where_it_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"problem": "What is 2?", "solution": "2", "answer": "2"}\n', "utf-8")
    evaluated = tmp_path / "held.jsonl"
    evaluated.write_text('{"problem": "what is 2", "answer": "2"}\n', "utf-8")
    config = _config(
        tmp_path / "run",
        num_steps=1,
        warmup_steps=0,
        problems=str(path),
        evaluate_on=(str(evaluated),),
        allow_contamination=True,
    )
    told: list[str] = []
    train_sft(config, note=told.append)
    assert told == ["contamination: held/0 is mine/0"]


def test_problem_text_is_put_into_the_template_verbatim() -> None:
    assert render("Q: {{problem}}\nA:", r"\frac{1}{2} \1 {x}") == "Q: \\frac{1}{2} \\1 {x}\nA:"
