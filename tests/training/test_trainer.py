"""A run from start to end: what it writes, how it goes on, what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from evalharness.errors import InputError, StoreError, TrainingError
from evalharness.records import Problem
from evalharness.training.algorithms import algorithm
from evalharness.training.config import RLConfig
from evalharness.training.metrics import Clock, StepMetrics, step_metrics
from evalharness.training.state import STATE, checkpoints
from evalharness.training.tokenizer import byte_tokenizer
from evalharness.training.toy import ToyModel, make_toy_model
from evalharness.training.trainer import train

torch = pytest.importorskip("torch", reason="needs the extra [local]")

MICRO = ToyModel(
    hidden_size=32,
    intermediate_size=64,
    num_layers=1,
    num_heads=1,
    num_kv_heads=1,
    head_size=32,
    context_length=128,
)


@pytest.fixture(scope="module")
def parrot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    r"""A model that ends soon and answers `\boxed{0}` or `\boxed{1}` about as often."""
    folder = tmp_path_factory.mktemp("models") / "parrot"
    tokenizer = byte_tokenizer(max_length=128)
    model = make_toy_model(MICRO, tokenizer, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    rows = [
        [*tokenizer(f"{a}?\\boxed{{{digit}}}")["input_ids"], tokenizer.eos_token_id]
        for a in "abcd"
        for digit in (0, 1)
    ]
    ids_BT = torch.tensor(rows)
    for _ in range(120):
        logits_BTV = model(ids_BT[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits_BTV.flatten(0, 1), ids_BT[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    byte_tokenizer(max_length=128).save_pretrained(folder)
    return folder


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    path = tmp_path / "coins.jsonl"
    rows = [{"problem": f"{letter}?", "gold": "1"} for letter in "abcd"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _config(output: Path, model: Path, problems: Path, **changes: object) -> RLConfig:
    config = RLConfig(
        output=output,
        model=str(model),
        algorithm=algorithm("dr_grpo"),
        problems=str(problems),
        num_steps=6,
        problems_per_step=4,
        group_size=4,
        max_tokens=12,
        learning_rate=3e-3,
        save_every=2,
    )
    return replace(config, **changes)


def _losses(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        {name: value for name, value in row.items() if not name.startswith("seconds")}
        for row in rows
    ]


def _weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["grpo", "ppo", "prime", "rloo"])
def test_an_interrupted_run_goes_on_to_the_same_losses_and_weights_bit_for_bit(
    tmp_path: Path, parrot: Path, problems: Path, name: str
) -> None:
    method = algorithm(name, kl_coefficient=0.01)
    whole = train(_config(tmp_path / "whole", parrot, problems, algorithm=method))
    # Stopped by an exception after step 5: the checkpoint of step 4 is the last.
    interrupted = _config(tmp_path / "parts", parrot, problems, algorithm=method)

    def stop(metrics: StepMetrics) -> None:
        if metrics.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(interrupted, progress=stop)
    assert list(checkpoints(interrupted.output)) == [4]
    assert len(_losses(interrupted.output)) == 5
    notes: list[str] = []
    parts = train(interrupted, note=notes.append)
    assert notes == [f"going on after step 4 of {interrupted.output}"]
    assert parts.num_steps == 2
    assert _losses(tmp_path / "parts") == _losses(tmp_path / "whole")
    assert _weights(parts.checkpoint) == _weights(whole.checkpoint)


def test_reward_rises_and_the_checkpoint_runs_in_the_harness(
    tmp_path: Path, parrot: Path, problems: Path
) -> None:
    config = _config(
        tmp_path / "run",
        parrot,
        problems,
        num_steps=30,
        evaluate_every=30,
        evaluate_on=(str(problems),),
        allow_contamination=True,
        save_every=30,
    )
    notes: list[str] = []
    train(config, note=notes.append)
    rows = _losses(config.output)
    # Half of the answers are right at first.
    assert 0.1 < sum(float(str(row["reward"])) for row in rows[:5]) / 5 < 0.75
    assert float(str(rows[-1]["reward"])) > 0.9
    assert rows[-1]["evaluation"]["coins"]["accuracy"] == 1.0  # type: ignore[index]
    assert notes[0] == "contamination: coins/0 is coins/0"


def test_training_on_an_evaluated_problem_is_refused(
    tmp_path: Path, parrot: Path, problems: Path
) -> None:
    config = _config(tmp_path / "run", parrot, problems, evaluate_on=(str(problems),))
    with pytest.raises(InputError, match="4 training problems are in an evaluated benchmark"):
        train(config)
    assert not config.output.exists()


def test_the_inference_batch_does_not_change_what_is_learned(
    tmp_path: Path, parrot: Path, problems: Path
) -> None:
    one = _config(tmp_path / "one", parrot, problems, num_steps=2)
    many = replace(one, output=tmp_path / "many", preemptive_sampling=False, micro_batch_rows=3)
    train(one)
    train(many)
    rewards = [[row["reward"] for row in _losses(each.output)] for each in (one, many)]
    assert rewards[0] == rewards[1]


def test_changed_settings_are_refused_with_what_changed(
    tmp_path: Path, parrot: Path, problems: Path
) -> None:
    config = _config(tmp_path / "run", parrot, problems, num_steps=1)
    train(config)
    with pytest.raises(InputError, match=r"holds another run(?s:.*)learning_rate: 0.003 -> 0.1"):
        train(replace(config, learning_rate=0.1))
    # More steps are no other run.
    assert train(replace(config, num_steps=2)).num_steps == 1
    # A run that is done stays as it is.
    assert train(replace(config, num_steps=2)).num_steps == 0


def test_a_run_that_is_killed_in_an_evaluation_keeps_the_metrics_and_evaluates_later(
    tmp_path: Path, parrot: Path, problems: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config(
        tmp_path / "run",
        parrot,
        problems,
        num_steps=3,
        evaluate_every=2,
        evaluate_on=(str(problems),),
        allow_contamination=True,
    )

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("evalharness.training.trainer.evaluate_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    assert list(checkpoints(config.output)) == [2]
    monkeypatch.undo()
    train(config)
    rows = _losses(config.output)
    assert [row["step"] for row in rows] == [1, 2, 3]
    # The evaluation that was cut off is made up for before the run goes on.
    assert [row["evaluation"] is not None for row in rows] == [False, True, True]


def test_an_evaluation_begun_with_other_settings_does_not_hold_the_run_up(
    tmp_path: Path, parrot: Path, problems: Path
) -> None:
    config = _config(
        tmp_path / "run",
        parrot,
        problems,
        num_steps=1,
        evaluate_every=1,
        evaluate_on=(str(problems),),
        allow_contamination=True,
    )
    train(config)
    path = config.output / "metrics.jsonl"
    row = json.loads(path.read_text(encoding="utf-8")) | {"evaluation": None}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    notes: list[str] = []
    train(replace(config, num_steps=2, evaluate_samples=2), note=notes.append)
    assert [note for note in notes if note.startswith("step 1 stays without its evaluation: ")]
    assert [row["evaluation"] is not None for row in _losses(config.output)] == [False, True]


@pytest.mark.parametrize("name", ["keep_checkpoints", "rollout_engine"])
def test_a_choice_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    # A mistyped keep_checkpoints would let checkpoints go that were to be kept.
    with pytest.raises(InputError, match=f'{name} is "al": it must be '):
        _config(tmp_path / "run", tmp_path, tmp_path, **{name: "al"})


def test_a_mistyped_first_command_can_be_corrected(
    tmp_path: Path, parrot: Path, problems: Path
) -> None:
    wrong = _config(tmp_path / "run", parrot, problems, num_steps=1, max_tokens=127)
    with pytest.raises(InputError, match="don't fit the model's context"):
        train(wrong)
    assert not wrong.output.exists()
    # What a killed one leaves: it had no time to take its record back.
    wrong.output.mkdir()
    (wrong.output / "training.json").write_text('{"method": "rl", "identity": {}}')
    with pytest.raises(InputError, match="don't fit the model's context"):
        train(wrong)
    assert [path.name for path in wrong.output.iterdir()] == ["training.json"]
    assert train(replace(wrong, max_tokens=12)).num_steps == 1


def test_a_run_that_fails_before_its_first_step_leaves_nothing(
    tmp_path: Path, parrot: Path, problems: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("evalharness.training.rollout.decode", interrupted)
    for output in (tmp_path / "a" / "run", tmp_path / "mine"):
        (tmp_path / "mine").mkdir(exist_ok=True)
        with pytest.raises(KeyboardInterrupt):
            train(_config(output, parrot, problems))
    assert {path.name for path in tmp_path.iterdir()} == {"coins.jsonl", "mine"}
    assert list((tmp_path / "mine").iterdir()) == []


def test_other_weights_under_the_same_name_are_another_run(
    tmp_path: Path, parrot: Path, problems: Path
) -> None:
    import shutil

    base = tmp_path / "base"
    shutil.copytree(parrot, base)
    config = _config(tmp_path / "run", base, problems, num_steps=1)
    train(config)
    shutil.copytree(config.output / "checkpoint-000001", base, dirs_exist_ok=True)
    with pytest.raises(InputError, match=r"(?s)What changed:\n  model_revision: files:"):
        train(replace(config, num_steps=2))


def test_an_interrupted_save_leaves_the_last_good_checkpoint(
    tmp_path: Path, parrot: Path, problems: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config(tmp_path / "run", parrot, problems)
    saves = []
    real_save = torch.save

    def full_disk(*args: object, **more: object) -> None:
        saves.append(1)
        if len(saves) == 2:
            raise OSError(28, "No space left on device")
        real_save(*args, **more)

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(
        TrainingError, match=r"No space left on device.*Older checkpoints are intact"
    ):
        train(config)
    assert list(checkpoints(config.output)) == [2]
    assert sorted(path.name for path in config.output.iterdir()) == [
        ".lock",
        "checkpoint-000002",
        "metrics.jsonl",
        "training.json",
    ]
    monkeypatch.undo()
    assert train(config).num_steps == 4


def test_a_reward_that_never_varies_is_called_off(tmp_path: Path, parrot: Path) -> None:
    path = tmp_path / "hard.jsonl"
    path.write_text('{"problem": "a?", "gold": "7"}\n', encoding="utf-8")
    config = _config(tmp_path / "run", parrot, path, num_steps=20)
    with pytest.raises(
        TrainingError, match=r"in 10 steps all completions of every .*\(in the last"
    ):
        train(config)
    assert list(checkpoints(config.output))


def test_a_filter_that_leaves_nothing_is_called_off(
    tmp_path: Path, parrot: Path, problems: Path
) -> None:
    # Groups of 4 have the shares 0, 1/4, ... 1: none lies between 0.3 and 0.4.
    config = _config(
        tmp_path / "run", parrot, problems, num_steps=20, accuracy_low=0.3, accuracy_high=0.4
    )
    with pytest.raises(TrainingError, match=r"in 10 steps the filters left no completion .*--acc"):
        train(config)
    assert {row["num_trained"] for row in _losses(config.output)} == {0}


def test_problems_that_are_too_easy_or_too_hard_are_drawn_and_not_learned_from(
    tmp_path: Path, parrot: Path, problems: Path
) -> None:
    config = _config(
        tmp_path / "run", parrot, problems, num_steps=2, accuracy_low=0.25, accuracy_high=0.75
    )
    train(config)
    rows = _losses(config.output)
    # A group of 4 leaves where its rewards are all equal, and only there.
    assert [row["num_trained"] for row in rows] == [
        16 - 16 * float(str(row["uniform_groups"])) for row in rows
    ]
    with pytest.raises(InputError, match=r"accuracy_low: 0\.25 -> nothing"):
        train(replace(config, accuracy_low=0.0, accuracy_high=1.0))


def test_a_cap_that_truncates_everything_is_called_off(
    tmp_path: Path, parrot: Path, problems: Path
) -> None:
    config = _config(tmp_path / "run", parrot, problems, max_tokens=3, num_steps=20)
    with pytest.raises(TrainingError, match="every completion of 10 steps was cut at max_tokens 3"):
        train(config)


def test_a_tokenizer_without_eos_is_refused(tmp_path: Path, parrot: Path, problems: Path) -> None:
    import shutil

    endless = tmp_path / "endless"
    shutil.copytree(parrot, endless)
    for name, key in (
        ("tokenizer_config.json", "eos_token"),
        ("generation_config.json", "eos_token_id"),
    ):
        table = json.loads((endless / name).read_text(encoding="utf-8"))
        table.pop(key, None)
        (endless / name).write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(InputError, match="has no EOS token, so a completion never ends"):
        train(_config(tmp_path / "run", endless, problems))


def test_a_prompt_that_leaves_no_room_is_refused(
    tmp_path: Path, parrot: Path, problems: Path
) -> None:
    config = _config(tmp_path / "run", parrot, problems, max_tokens=127)
    with pytest.raises(InputError, match="a prompt of 2 tokens and max_tokens 127 don't fit"):
        train(config)


def test_older_checkpoints_are_kept_for_a_series_when_asked(
    tmp_path: Path, parrot: Path, problems: Path
) -> None:
    config = _config(tmp_path / "run", parrot, problems, keep_checkpoints="all")
    train(config)
    assert list(checkpoints(config.output)) == [2, 4, 6]
    # Only the last can be continued: the others are weights to evaluate.
    assert [(path / STATE).exists() for path in checkpoints(config.output).values()] == [
        False,
        False,
        True,
    ]


def test_a_folder_with_something_else_in_it_is_refused(
    tmp_path: Path, parrot: Path, problems: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="isn't empty and holds no run: name another --out"):
        train(_config(tmp_path / "run", parrot, problems))


def test_a_checkpoint_s_folder_is_never_made_a_run(
    tmp_path: Path, parrot: Path, problems: Path
) -> None:
    import shutil

    made = tmp_path / "sft"
    shutil.copytree(parrot, made)
    record = '{"method": "sft", "config": {}}'
    (made / "training.json").write_text(record, encoding="utf-8")
    before = sorted(path.name for path in made.iterdir())
    with pytest.raises(InputError, match="sft holds a checkpoint, not the run of one: name anoth"):
        train(_config(made, parrot, problems))
    assert (made / "training.json").read_text(encoding="utf-8") == record
    assert sorted(path.name for path in made.iterdir()) == before
    run = _config(tmp_path / "run", parrot, problems, num_steps=1)
    checkpoint = train(run).checkpoint
    with pytest.raises(InputError, match="checkpoint-000001 holds a checkpoint, not the run"):
        train(replace(run, output=checkpoint))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "training.json isn't what a run writes"),
        ("[]", "training.json isn't what a run writes"),
        ('{"method": "rl", "identity": {}, "backend": "trl"}', "by TRL, which isn't continued"),
    ],
)
def test_a_record_that_no_run_of_ours_wrote_is_refused(
    tmp_path: Path, parrot: Path, problems: Path, text: str, message: str
) -> None:
    output = tmp_path / "run"
    output.mkdir()
    (output / "training.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        train(_config(output, parrot, problems))
    assert (output / "training.json").read_text(encoding="utf-8") == text


def test_fewer_steps_than_were_taken_are_refused(
    tmp_path: Path, parrot: Path, problems: Path
) -> None:
    config = _config(tmp_path / "run", parrot, problems, num_steps=3)
    train(config)
    with pytest.raises(InputError, match="is at step 3 already, beyond --steps 2: give 3 or more"):
        train(replace(config, num_steps=2))


def test_a_run_has_one_writer(tmp_path: Path, parrot: Path, problems: Path) -> None:
    config = _config(tmp_path / "run", parrot, problems, num_steps=1)

    def meddle(_: StepMetrics) -> None:
        train(config)

    with pytest.raises(StoreError, match="another process is writing this run"):
        train(config, progress=meddle)
    assert len(_losses(config.output)) == 1
    assert train(config).num_steps == 0  # the lock is free again


def test_what_a_killed_save_left_is_removed(tmp_path: Path, parrot: Path, problems: Path) -> None:
    config = _config(tmp_path / "run", parrot, problems, num_steps=1)
    train(config)
    left = config.output / ".checkpoint-000002.x7"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    train(replace(config, num_steps=2))
    assert not left.exists()


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"PK\x03\x04cut"])
def test_a_damaged_state_is_named(
    tmp_path: Path, parrot: Path, problems: Path, content: bytes
) -> None:
    config = _config(tmp_path / "run", parrot, problems, num_steps=1)
    (train(config).checkpoint / STATE).write_bytes(content)
    with pytest.raises(TrainingError, match=r"trainer_state.pt can't be read: .*start again in"):
        train(replace(config, num_steps=2))


def test_metrics_count_what_the_rollouts_say() -> None:
    from evalharness.training.forward import TokenRow
    from evalharness.training.learner import UpdateMetrics
    from evalharness.training.rollout import Rollout

    problem = Problem(benchmark="b", problem_id="b/0", text="?", golds=("1",))

    def rollout(num_tokens: int, reward: float, is_truncated: bool = False) -> Rollout:
        row = TokenRow([1], list(range(num_tokens)))
        return Rollout(problem=problem, row=row, text="", is_truncated=is_truncated, reward=reward)

    rollouts = [rollout(4, 1.0), rollout(8, 0.0), rollout(12, 0.0, True), rollout(16, 0.0)]
    found = step_metrics(1, rollouts, UpdateMetrics(), Clock(), 2)
    assert (found.reward, found.tokens, found.truncated) == (0.25, 10.0, 0.25)
    assert (found.tokens_correct, found.tokens_incorrect) == (4.0, 12.0)
    assert found.uniform_groups == 0.5  # the second group: both wrong


def test_half_precision_in_which_small_gradients_vanish_is_refused(
    parrot: Path, problems: Path, tmp_path: Path
) -> None:
    # 256 completions of at most 16384 tokens weigh 1 / 4194304 each: a gradient of 0 in it.
    with pytest.raises(InputError, match=r"--dtype float16: .* take bfloat16 or float32"):
        train(_config(tmp_path / "run", parrot, problems, dtype="float16"))
