"""TRL as a backend: what it is told, what it can't do, and real runs on the CPU."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import evalharness
from evalharness.engines.checkpoints import find_checkpoint, load_tokenizer
from evalharness.errors import InputError, MissingExtraError
from evalharness.paths import tiny_checkpoint
from evalharness.records import Message, Problem, Prompt
from evalharness.templates import load_template
from evalharness.training.algorithms import Algorithm, algorithm
from evalharness.training.config import RLConfig
from evalharness.training.problems import load_problems
from evalharness.training.rollout import Asker, Drawn
from evalharness.training.sft import train_sft
from evalharness.training.sft_config import SFTConfig
from evalharness.training.tokenizer import byte_tokenizer
from evalharness.training.trl_arguments import TRLOptions, sft_arguments, trl_arguments
from evalharness.training.trl_backend import (
    make_trl_reward,
    train_sft_with_trl,
    train_with_trl,
    trl_prompt,
)

torch = pytest.importorskip("torch", reason="needs the extra [local]")
transformers = pytest.importorskip("transformers", reason="needs the extra [local]")
pytest.importorskip("trl", reason="needs the extra [train]")

EOS, PADDING = 257, 258


def _config(folder: Path, method: Algorithm, **changes: Any) -> RLConfig:
    config = RLConfig(
        output=folder,
        model=str(tiny_checkpoint()),
        algorithm=method,
        # One of the harder kinds: some of its samples at temperature 1 are right, some are wrong.
        kinds=("order",),
        num_steps=2,
        problems_per_step=4,
        group_size=4,
        max_tokens=48,
        learning_rate=1e-4,
        device="cpu",
    )
    return replace(config, **changes)


def _supervised(folder: Path) -> SFTConfig:
    return SFTConfig(
        output=folder,
        start=str(tiny_checkpoint()),
        templates={"no": "{{problem}}"},
        shares={"no": 1.0},
        num_steps=3,
        rows_per_step=8,
        warmup_steps=2,
        learning_rate=3e-4,
    )


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    return dict(model.named_parameters())


def _metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "rloo"])
def test_two_steps_move_the_weights_and_leave_a_checkpoint(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    final = train_with_trl(_config(tmp_path / "run", algorithm(name), warmup_steps=2))
    assert capfd.readouterr().out == ""
    metrics = _metrics(tmp_path / "run")
    assert [row["step"] for row in metrics] == [1, 2]
    assert [row["learning_rate"] for row in metrics] == pytest.approx([5e-5, 1e-4])
    assert any(0 < row["reward"] < 1 for row in metrics)
    before, after = _weights(tiny_checkpoint()), _weights(final)
    moved = max((after[key] - weight).abs().max().item() for key, weight in before.items())
    # Adam's first steps are of the size of the learning rate: 1.5e-4 together.
    assert 5e-5 < moved < 3e-4
    tokenizer = load_tokenizer(find_checkpoint(str(final)), trust_remote_code=False)
    assert tokenizer("½")["input_ids"] == [0xC2, 0xBD]
    assert tokenizer.eos_token_id == EOS


@pytest.mark.slow
def test_lora_leaves_a_whole_checkpoint_with_the_adapter_in_it(tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="needs the extra [train]")
    config = _config(tmp_path / "run", algorithm("grpo", kl_coefficient=0.05), learning_rate=1e-3)
    after = _weights(train_with_trl(config, TRLOptions(lora_rank=4)))
    before = _weights(tiny_checkpoint())
    assert after.keys() == before.keys()
    moved = {name for name, weight in before.items() if not torch.equal(weight, after[name])}
    assert "model.layers.0.self_attn.q_proj.weight" in moved
    assert all(name.endswith("_proj.weight") for name in moved)


@pytest.mark.slow
def test_two_processes_share_a_step(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from evalharness.paths import tiny_checkpoint\n"
        "from evalharness.training.algorithms import algorithm\n"
        "from evalharness.training.config import RLConfig\n"
        "from evalharness.training.trl_backend import train_with_trl\n"
        "train_with_trl(RLConfig(output=Path('run'), model=str(tiny_checkpoint()),\n"
        "    algorithm=algorithm('dr_grpo'), kinds=('order',), num_steps=1, problems_per_step=2,\n"
        "    group_size=4, max_tokens=48, learning_rate=1e-4, device='cpu'))\n",
        encoding="utf-8",
    )
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {
        "PYTHONPATH": str(Path(evalharness.__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
    }
    finished = subprocess.run(
        [sys.executable, "-m", *launcher, str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    record = json.loads((tmp_path / "run" / "training.json").read_text("utf-8"))
    # 8 rows: 4 for each process, at once.
    assert record["trl"]["per_device_train_batch_size"] == 4
    assert record["trl"]["gradient_accumulation_steps"] == 1
    assert [row["step"] for row in _metrics(tmp_path / "run")] == [1]
    assert _weights(tmp_path / "run" / "final").keys() == _weights(tiny_checkpoint()).keys()


@pytest.mark.slow
def test_supervised_run_is_our_own_run(tmp_path: Path) -> None:
    # The same rows, rates and losses, in one and in two parts a step.
    train_sft(_supervised(tmp_path / "own"))
    final = train_sft_with_trl(_supervised(tmp_path / "trl"), TRLOptions(rows_per_device=4))
    found = _metrics(tmp_path / "trl")
    assert [row["step"] for row in found] == [1, 2, 3]
    for ours, theirs in zip(_metrics(tmp_path / "own"), found, strict=True):
        assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-3)
        assert theirs["learning_rate"] == pytest.approx(ours["learning_rate"])
        assert theirs["grad_norm"] == pytest.approx(ours["grad_norm"], rel=1e-3)
    # Adam makes a full step of the rate, 3e-4, of any gradient, however small: rounding shows.
    expected = _weights(tmp_path / "own")
    for name, weight in _weights(final).items():
        torch.testing.assert_close(weight, expected[name], atol=1e-4, rtol=0)


def test_supervised_run_by_trl_starts_from_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="starts from a checkpoint: name it with --model"):
        train_sft_with_trl(replace(_supervised(tmp_path / "run"), start=None))


def test_rows_that_do_not_fit_are_refused_before_trl_sees_them(tmp_path: Path) -> None:
    long = tmp_path / "long.jsonl"
    row = {"problem": "1?", "solution": "x" * 17000}
    long.write_text(json.dumps({**row, "solution": "1"}) + "\n" + json.dumps(row) + "\n")
    # 2 of the problem, the line break, the solution, EOS: 17004 of 16384.
    with pytest.raises(InputError, match=r"1 of the 2 rows .*long.jsonl:2 with 17004 \(prompt"):
        train_sft_with_trl(replace(_supervised(tmp_path / "run"), problems=str(long)))
    assert not (tmp_path / "run").exists()


def test_grpo_and_dr_grpo_are_spelled_out(tmp_path: Path) -> None:
    options = TRLOptions()
    chosen = ("loss_type", "scale_rewards", "beta", "epsilon", "epsilon_high")
    expected = {
        "grpo": ("grpo", "group", 0.0, 0.2, 0.2),
        "dr_grpo": ("dr_grpo", "none", 0.0, 0.2, 0.2),
        "dapo": ("dapo", "group", 0.0, 0.2, 0.28),
        "grpo_no_std": ("grpo", "none", 0.0, 0.2, 0.2),
        "grpo_no_length": ("dr_grpo", "group", 0.0, 0.2, 0.2),
    }
    for name, values in expected.items():
        kind, arguments = trl_arguments(_config(tmp_path, algorithm(name)), options)
        assert (kind, *(arguments[key] for key in chosen)) == ("grpo", *values)
        assert arguments["mask_truncated_completions"] is False
        assert arguments["use_bias_correction_kl"] is False
    kind, arguments = trl_arguments(_config(tmp_path, algorithm("rloo")), options)
    assert (kind, arguments["beta"], arguments["normalize_advantages"]) == ("rloo", 0.0, False)
    supervised = sft_arguments(replace(_supervised(tmp_path), save_every=7), options)
    assert supervised["completion_only_loss"] is True
    saving = ("save_strategy", "save_steps", "save_total_limit")
    assert [supervised[key] for key in saving] == ["steps", 7, 1]


@pytest.mark.parametrize(
    ("processes", "rows_per_device", "updates", "expected"),
    [
        # 4 * 4 = 16 rows: 8 at once, accumulated twice; one optimizer step a step of ours.
        (1, 8, 1, (8, 2, 2)),
        (1, 5, 1, (4, 4, 2)),  # 4 is the largest divisor of 16 up to 5
        (1, 8, 2, (8, 1, 4)),
        (4, 8, 1, (4, 1, 2)),
    ],
)
def test_batches_are_cut_for_the_devices(
    processes: int,
    rows_per_device: int,
    updates: int,
    expected: tuple[int, int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    config = _config(tmp_path, algorithm("grpo"), updates_per_step=updates)
    _, arguments = trl_arguments(config, TRLOptions(rows_per_device=rows_per_device))
    keys = ("per_device_train_batch_size", "gradient_accumulation_steps", "max_steps")
    assert tuple(arguments[key] for key in keys) == expected
    assert arguments["generation_batch_size"] == 16


def test_batches_that_do_not_fit_the_devices_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(InputError, match=r"16 rows a step can't be cut.*a multiple of 3"):
        trl_arguments(_config(tmp_path, algorithm("grpo")), TRLOptions())


@pytest.mark.parametrize(
    ("name", "switches", "message"),
    [
        ("ppo", {}, "TRL has no PPO trainer any more: train with --backend own"),
        ("prime", {}, "TRL has no process reward model"),
        ("prime_ppo", {}, "TRL has no process reward model"),
        ("reinforce", {}, "never with the batch.*or take rloo"),
        ("rloo", {"length_normalisation": "constant"}, "a completion as one action"),
        ("rloo", {"kl_coefficient": 0.1, "kl_estimator": "k3"}, "takes the KL from the reward"),
        ("grpo", {"kl_coefficient": 0.1, "kl_in_reward": True}, "has the KL in the loss"),
    ],
)
def test_what_trl_can_not_do_says_so(
    name: str, switches: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        trl_arguments(_config(tmp_path, algorithm(name, **switches)), TRLOptions())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filter_threshold": 0.0}, "filter_threshold: TRL can't drop rows before the forward"),
        ({"preemptive_sampling": False}, "TRL always draws all completions of a step at once"),
        ({"evaluate_every": 5, "evaluate_on": ("practice",)}, "evaluate_every: TRL's steps"),
        ({"template": "r1"}, "template \"r1\" stops at '</answer>'"),
        ({"max_tokens": 20000}, "max_tokens 20000 don't fit the model's context of 16384"),
        ({"evaluate_on": ("own.jsonl",)}, "1 training problems are in an evaluated benchmark"),
    ],
)
def test_what_a_run_by_trl_can_not_have_says_so(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = load_problems("practice", kinds=("order",)).problems[0]
    monkeypatch.chdir(tmp_path)
    row = {"problem": trained.text, "answer": trained.golds[0]}
    Path("own.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(message)):
        train_with_trl(_config(tmp_path / "run", algorithm("grpo"), **changes))
    assert not (tmp_path / "run").exists()


def test_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="isn't empty, and a run by TRL isn't continued"):
        train_with_trl(_config(tmp_path, algorithm("grpo")))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_lora_without_peft_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"--lora-rank needs the extra \[train\]"):
        train_with_trl(_config(tmp_path, algorithm("grpo")), TRLOptions(lora_rank=8))


def test_reward_is_the_checkers_and_a_truncated_completion_has_none() -> None:
    tokenizer = byte_tokenizer(max_length=512)
    problem = Problem(benchmark="own", problem_id="own/0", text="1/2 + 1/2", golds=("1",))
    other = Problem(benchmark="own", problem_id="own/1", text="1 / 2", golds=("0.5", "x"))
    reward = make_trl_reward([problem, other], load_template("no"), tokenizer, frozenset({EOS}))
    completions = [
        [*rb"so \boxed{1}", EOS],
        [*rb"so \boxed{1}"],  # the cap cut it
        [*rb"so \boxed{2}", EOS],
        [*rb"\boxed{\frac{1}{2}}", EOS],
        [*rb"1", EOS],  # no box: the template wants one
        [EOS],
    ]
    places = [0, 0, 0, 1, 0, 1]
    found = reward(completion_ids=completions, place=places, completions=[], trainer_state=None)
    assert found == [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]


def test_trl_rewards_the_text_of_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def rewards(asker: Asker, problems: object, drawn: list[Drawn]) -> list[float]:
        seen.extend(each.text for each in drawn)
        return [0.0] * len(drawn)

    monkeypatch.setattr(Asker, "rewards", rewards)
    tokenizer = byte_tokenizer(max_length=512)
    problem = Problem(benchmark="own", problem_id="own/0", text="0+1?", golds=("1",))
    # A letter as end token, which is no special one: it is no text either.
    ends = frozenset({EOS, ord("Z")})
    reward = make_trl_reward([problem], load_template("no"), tokenizer, ends)
    half = "½".encode()[:1]
    completions = [[*b"1", *half, EOS], [*b"1", *half], [*b"1Z", PADDING], [*b"1Z2", EOS]]
    reward(completion_ids=completions, place=[0, 0, 0, 0])
    assert seen == ["1", "1", "1", "1Z2"]


def test_prompts_are_the_evaluations_token_for_token() -> None:
    tokenizer = byte_tokenizer(max_length=512)
    raw = Prompt(template="no", problem_id="own/0", text="1+1=")
    assert trl_prompt(raw, tokenizer) == "1+1="
    chat = Prompt(template="chat", problem_id="own/0", messages=(Message("user", "1+1="),))
    rendered = "<|im_start|>user\n1+1=<|im_end|>\n<|im_start|>assistant\n"
    assert trl_prompt(chat, tokenizer) == rendered
    # A tokenizer that writes BOS by itself would double the one that a chat template writes: TRL
    # then gets the messages, and renders them itself.
    from tokenizers.processors import TemplateProcessing

    bos = byte_tokenizer(max_length=512)
    bos.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", PADDING)]
    )
    bos.chat_template = "<|endoftext|>" + tokenizer.chat_template
    assert trl_prompt(raw, bos) == "1+1="
    assert trl_prompt(chat, bos) == [{"role": "user", "content": "1+1="}]


def test_a_run_by_trl_that_fails_before_its_first_step_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("evalharness.training.trl_backend._train_and_save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_sft_with_trl(_supervised(tmp_path / "new" / "run"))
    assert list(tmp_path.iterdir()) == []
