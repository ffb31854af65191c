"""The loop: draw, score, learn, save, evaluate; and go on where it stopped."""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from evalharness.checking import CheckerPool
from evalharness.engines.base import PreparedPrompt
from evalharness.engines.checkpoints import (
    context_length,
    end_token_ids,
    find_checkpoint,
    load_tokenizer,
)
from evalharness.engines.transformers import choose_device, choose_dtype, load_model
from evalharness.errors import InputError, TrainingError
from evalharness.templates import load_template
from evalharness.training.config import RLConfig
from evalharness.training.evaluating import evaluate_checkpoint
from evalharness.training.forward import TokenRow
from evalharness.training.learner import Learner, UpdateMetrics
from evalharness.training.problems import ProblemSet, open_problems
from evalharness.training.rollout import (
    Asker,
    Drawn,
    ModelSampler,
    Rollout,
    RolloutRequest,
    Sampler,
    check_prompts,
    rollout_seed,
)
from evalharness.training.state import checkpoints, load_state, save_checkpoint
from evalharness.training.trackers import Tracker, open_tracker

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

T = TypeVar("T")

RECORD = "training.json"
METRICS = "metrics.jsonl"
_PATIENCE = 10
"""Steps without anything to learn from, at the start of a run, before it is called off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMetrics:
    """One line of metrics.jsonl. Lengths are completion tokens, EOS included."""

    step: int
    """1-based."""
    reward: float
    """Mean over the completions: the share that is correct and not truncated."""
    tokens: float
    tokens_correct: float | None
    """Mean over the rewarded completions; None where there is none."""
    tokens_incorrect: float | None
    truncated: float
    """Share of the completions."""
    uniform_groups: float
    """Share of the problems whose completions all got the same reward."""
    loss: float
    grad_norm: float
    entropy: float | None
    kl: float | None
    clip_share: float
    critic_loss: float | None
    prm_loss: float | None
    num_trained: int
    """Completions that went through forward and backward."""
    seconds_generate: float
    seconds_score: float
    seconds_learn: float
    evaluation: dict[str, dict[str, float]] | None = None
    """Benchmark -> metric -> value, where this step was evaluated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What a run leaves."""

    checkpoint: Path
    """The last one; engines load it like any model."""
    metrics: Path
    num_steps: int
    """Taken in this process."""


def train(
    config: RLConfig,
    *,
    progress: Callable[[StepMetrics], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> TrainingResult:
    """Train a policy, or go on with the run that `config.output` holds.

    The same config, package versions, device and number of threads give the same weights, bit for
    bit, however often the run was interrupted.

    Raises:
        InputError: the config, a problem or the model can't be used.
        TrainingError: the run can't go on, with the step; its last checkpoint is intact.
        StoreError: the folder holds another run.
    """
    tell = note or (lambda _: None)
    with ExitStack() as stack:
        trainer = _Trainer(config, tell, stack)
        first = trainer.first_step
        for step in range(first, config.num_steps + 1):
            metrics = trainer.step(step)
            if progress is not None:
                progress(metrics)
        last = checkpoints(config.output)
        return TrainingResult(
            checkpoint=last[max(last)],
            metrics=config.output / METRICS,
            num_steps=max(0, config.num_steps - first + 1),
        )


class _Trainer:
    """A run that is open."""

    def __init__(self, config: RLConfig, note: Callable[[str], None], stack: ExitStack) -> None:
        self.config, self.note = config, note
        self.template = load_template(config.template)
        self.problems = open_problems(config, note)
        self.record = self._open_record()
        known = checkpoints(config.output)
        start = max(known) if known else 0
        self.first_step = start + 1
        source = str(known[start]) if known else config.model
        checkpoint = find_checkpoint(source)
        device = choose_device(config.device)
        dtype = choose_dtype(config.dtype, device)
        policy = load_model(checkpoint, dtype="float32", device=device)
        tokenizer = load_tokenizer(checkpoint, trust_remote_code=False)
        self.tokenizer: PreTrainedTokenizerBase = tokenizer
        end_ids = end_token_ids(checkpoint, tokenizer)
        if not end_ids:
            raise InputError(
                f"the tokenizer of {config.model} has no EOS token, so a completion never ends: "
                "set eos_token in tokenizer_config.json or eos_token_id in generation_config.json"
            )
        self.learner = self._learner(policy, dtype, checkpoint_is_start=not known)
        if known:
            load_state(known[start], self.learner)
            note(f"going on after step {start} of {config.output}")
        self.asker = Asker(
            template=self.template, tokenizer=tokenizer, pool=stack.enter_context(CheckerPool())
        )
        self.prompts = _prompts(self.asker, self.problems)
        self.longest_prompt = check_prompts(
            list(self.prompts.values()),
            max_tokens=config.max_tokens,
            context=context_length(config.model, policy.config, None),
            name=config.problems,
        )
        self.sampler = self._sampler(end_ids)
        stack.callback(self.sampler.close)
        self.tracker: Tracker | None = None
        if config.tracker:
            self.tracker = open_tracker(
                config.tracker, folder=config.output, config=_plain(config.identity())
            )
            stack.callback(self.tracker.close)
        _cut_metrics(config.output / METRICS, start)
        self._idle = _Idle(config) if start == 0 else None

    def step(self, step: int) -> StepMetrics:
        """One step, with its checkpoint and evaluation where they are due."""
        config = self.config
        numbers = self.problems.draw(config.problems_per_step, seed=config.seed, step=step - 1)
        clock = _Clock()
        rollouts = self._rollouts(numbers, step, clock)
        with clock.measure("learn"):
            update = self.learner.learn(rollouts, step)
            self.sampler.refresh()
        metrics = _step_metrics(step, rollouts, update, clock, config.group_size)
        if self._idle is not None:
            self._idle.see(metrics)
        is_last = step == config.num_steps
        evaluates = bool(config.evaluate_every) and (step % config.evaluate_every == 0 or is_last)
        if evaluates or is_last or step % config.save_every == 0:
            record = self.record | {"step": step}
            folder = save_checkpoint(
                config.output,
                step,
                self.learner,
                self.tokenizer,
                record,
                keep_older=config.keep_checkpoints == "all",
            )
            if evaluates:
                metrics = dataclasses.replace(
                    metrics, evaluation=evaluate_checkpoint(config, folder, step)
                )
        self._write(metrics)
        return metrics

    def _rollouts(self, numbers: Sequence[int], step: int, clock: _Clock) -> list[Rollout]:
        """All completions of a step: the group of the first problem, then that of the second."""
        config = self.config
        problems = [
            self.problems.problems[number] for number in numbers for _ in range(config.group_size)
        ]
        requests = [
            RolloutRequest(
                prompt_ids=self.prompts[problem.problem_id].token_ids or (),
                seed=rollout_seed(config.seed, step, *divmod(index, config.group_size)),
                max_tokens=config.max_tokens,
            )
            for index, problem in enumerate(problems)
        ]
        size = len(requests) if config.preemptive_sampling else config.micro_batch_rows
        drawn: list[Drawn] = []
        with clock.measure("generate"):
            for part in _parts(requests, size):
                drawn += self.sampler.draw(part, self.template.stop)
        with clock.measure("score"):
            rewards = self.asker.rewards(problems, drawn)
        return [
            Rollout(
                problem=problem,
                row=TokenRow(request.prompt_ids, each.token_ids),
                text=each.text,
                is_truncated=each.is_truncated,
                reward=reward,
            )
            for problem, request, each, reward in zip(
                problems, requests, drawn, rewards, strict=True
            )
        ]

    def _learner(self, policy: Any, dtype: str, *, checkpoint_is_start: bool) -> Learner:
        """Reference, critic and reward model begin as the model that the run began as."""
        if checkpoint_is_start:
            return Learner(policy, self.config, dtype)
        start = load_model(
            find_checkpoint(self.config.model), dtype="float32", device=str(policy.device)
        )
        learner = Learner(start, self.config, dtype)
        learner.policy.module.load_state_dict(policy.state_dict())
        return learner

    def _sampler(self, end_ids: frozenset[int]) -> Sampler:
        if self.config.rollout_engine == "vllm":
            from evalharness.training.vllm_sampler import VllmSampler

            return VllmSampler(
                self.learner.policy.module,
                self.tokenizer,
                temperature=self.config.temperature,
                dtype=self.learner.dtype,
                context_length=self.longest_prompt + self.config.max_tokens,
            )
        return ModelSampler(
            self.learner.policy.module,
            self.tokenizer,
            end_ids=end_ids,
            temperature=self.config.temperature,
        )

    def _open_record(self) -> dict[str, Any]:
        """Write training.json, or compare it with the one that is there."""
        config = self.config
        identity = _plain(config.identity()) | {
            "problems_fingerprint": self.problems.fingerprint,
            "template_sha256": self.template.sha256,
        }
        path = config.output / RECORD
        if path.exists():
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            _refuse_another_run(config.output, record["identity"], identity)
            return record
        if config.output.exists() and any(config.output.iterdir()):
            raise InputError(f"{config.output} isn't empty and holds no run: name another --out")
        config.output.mkdir(parents=True, exist_ok=True)
        record = {"method": "rl", "identity": identity} | _versions()
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return record

    def _write(self, metrics: StepMetrics) -> None:
        values = dataclasses.asdict(metrics)
        with (self.config.output / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
        if self.tracker is not None:
            numbers = {
                name: float(value)
                for name, value in values.items()
                if isinstance(value, int | float) and name != "step"
            }
            for benchmark, found in (metrics.evaluation or {}).items():
                numbers |= {f"{benchmark}/{name}": value for name, value in found.items()}
            self.tracker.log(metrics.step, numbers)


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("generate", "score", "learn"), 0.0)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - started


class _Idle:
    """Calls a run off that has nothing to learn from since it began."""

    def __init__(self, config: RLConfig) -> None:
        self._config = config
        self._num_truncated = self._num_uniform = 0

    def see(self, metrics: StepMetrics) -> None:
        """Count one step.

        Raises:
            TrainingError: since the first step everything is truncated, or no reward differs.
        """
        config = self._config
        seen = min(metrics.step, _PATIENCE)
        self._num_truncated += metrics.truncated == 1
        self._num_uniform += metrics.uniform_groups == 1
        if metrics.step > _PATIENCE or seen < _PATIENCE:
            return
        if self._num_truncated == _PATIENCE:
            raise TrainingError(
                f"every completion of {_PATIENCE} steps was cut at max_tokens {config.max_tokens}, "
                "and a truncated one gets no reward: raise --max-tokens, or train the model to "
                "end first (evalharness train sft)"
            )
        if config.needs_groups and self._num_uniform == _PATIENCE:
            what = "wrong" if metrics.reward == 0 else "right" if metrics.reward == 1 else "alike"
            raise TrainingError(
                f"in {_PATIENCE} steps all completions of every problem got the same reward (in "
                f"the last all are {what}): there is nothing to learn from. Look at the responses "
                f"(template {config.template}, problems {config.problems}), take problems that "
                "the model solves sometimes, or raise --group-size"
            )


def _step_metrics(
    step: int,
    rollouts: Sequence[Rollout],
    update: UpdateMetrics,
    clock: _Clock,
    group_size: int,
) -> StepMetrics:
    lengths = {
        reward: [each.num_tokens for each in rollouts if (each.reward > 0) == reward]
        for reward in (True, False)
    }
    groups = _parts([each.reward for each in rollouts], group_size)
    return StepMetrics(
        step=step,
        reward=statistics.fmean(each.reward for each in rollouts),
        tokens=statistics.fmean(each.num_tokens for each in rollouts),
        tokens_correct=statistics.fmean(lengths[True]) if lengths[True] else None,
        tokens_incorrect=statistics.fmean(lengths[False]) if lengths[False] else None,
        truncated=statistics.fmean(each.is_truncated for each in rollouts),
        uniform_groups=statistics.fmean(len(set(group)) == 1 for group in groups),
        loss=update.loss,
        grad_norm=update.grad_norm,
        entropy=update.entropy,
        kl=update.kl,
        clip_share=update.clip_share,
        critic_loss=update.critic_loss,
        prm_loss=update.prm_loss,
        num_trained=update.num_trained,
        seconds_generate=clock.seconds["generate"],
        seconds_score=clock.seconds["score"],
        seconds_learn=clock.seconds["learn"],
    )


def _prompts(asker: Asker, problems: ProblemSet) -> dict[str, PreparedPrompt]:
    return {problem.problem_id: asker.prompt(problem) for problem in problems.problems}


def _parts(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: tuples are lists."""
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def _refuse_another_run(output: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    changes = [
        f"  {name}: {before.get(name)} -> {now.get(name)}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    if changes:
        raise InputError(
            f"{output} holds another run. What changed:\n" + "\n".join(changes) + "\nName another "
            "--out, or repeat the first command to go on with that run."
        )


def _versions() -> dict[str, Any]:
    import torch
    import transformers

    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "num_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _cut_metrics(path: Path, last_step: int) -> None:
    """Drop the lines of steps after the checkpoint: they are taken again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= last_step:
                kept.append(line)
        except (ValueError, KeyError):
            continue  # torn by the interruption: a step after the checkpoint
    path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
