"""The loop: draw, score, learn, save, evaluate; and go on where it stopped."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness.checking import CheckerPool
from evalharness.engines.base import PreparedPrompt
from evalharness.engines.checkpoints import (
    context_length,
    end_token_ids,
    find_checkpoint,
    load_tokenizer,
)
from evalharness.engines.transformers import choose_device, choose_dtype, load_model
from evalharness.errors import InputError, StoreError
from evalharness.templates import load_template
from evalharness.trackers import Tracker, open_tracker
from evalharness.training.config import RLConfig
from evalharness.training.evaluating import evaluate_checkpoint
from evalharness.training.forward import TokenRow, check_head
from evalharness.training.idle import IdleCheck
from evalharness.training.interruption import telling_what_is_kept
from evalharness.training.learner import Learner
from evalharness.training.metrics import (
    METRICS,
    Clock,
    StepMetrics,
    cut_metrics,
    parts,
    read_metrics,
    step_metrics,
    write_metrics,
)
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
    within_accuracy,
)
from evalharness.training.run_record import check_folder, held_folder, open_record, plain
from evalharness.training.state import (
    checkpoints,
    load_state,
    remove_unfinished,
    save_checkpoint,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


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
        InputError: config, problems or model can't be used, or the folder holds another run.
        TrainingError: the run can't go on, with the step; its last checkpoint is intact.
    """
    tell = note or (lambda _: None)
    with ExitStack() as stack:
        trainer = _Trainer(config, tell, stack)
        first = trainer.first_step
        with telling_what_is_kept(config.output, config.save_every):
            late = trainer.late_evaluation()
            if late is not None and progress is not None:
                progress(late)
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
        base = find_checkpoint(config.model)
        check_folder(config.output, "rl")
        stack.enter_context(held_folder(config.output))
        identity = config.identity() | {
            "problems_fingerprint": self.problems.fingerprint,
            "template_sha256": self.template.sha256,
            "model_revision": base.revision,
        }
        self.record = open_record(config.output, "rl", identity)
        remove_unfinished(config.output)
        known = checkpoints(config.output)
        start = max(known) if known else 0
        if start > config.num_steps:
            raise InputError(
                f"{config.output} is at step {start} already, beyond --steps {config.num_steps}: "
                f"give {start} or more, or name another --out"
            )
        self.first_step = start + 1
        checkpoint = find_checkpoint(str(known[start])) if known else base
        device = choose_device(config.device)
        dtype = choose_dtype(config.dtype, device)
        if dtype == "float16":
            raise InputError(
                "--dtype float16: gradients as small as Dr. GRPO's vanish in it, and this loop "
                "doesn't scale its loss: take bfloat16 or float32"
            )
        policy = load_model(checkpoint, dtype="float32", device=device)
        check_head(policy, config.model)
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
            load_state(known[start], self.learner.networks())
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
                config.tracker, folder=config.output, config=plain(config.identity())
            )
            stack.callback(self.tracker.close)
        cut_metrics(config.output / METRICS, start)
        self._idle = IdleCheck(config) if start == 0 else None

    def step(self, step: int) -> StepMetrics:
        """One step, with its checkpoint and evaluation where they are due."""
        config = self.config
        numbers = self.problems.draw(config.problems_per_step, seed=config.seed, step=step - 1)
        clock = Clock()
        rollouts = self._rollouts(numbers, step, clock)
        with clock.measure("learn"):
            kept = within_accuracy(
                rollouts, config.group_size, config.accuracy_low, config.accuracy_high
            )
            update = self.learner.learn(kept, step)
            self.sampler.refresh()
        metrics = step_metrics(step, rollouts, update, clock, config.group_size)
        if self._idle is not None:
            self._idle.see(metrics)
        evaluates = self._evaluates(step)
        # Before the checkpoint, from which on a run that goes on doesn't take this step again.
        write_metrics(config.output, metrics, None if evaluates else self.tracker)
        if evaluates or step == config.num_steps or step % config.save_every == 0:
            record = self.record | {"step": step}
            folder = save_checkpoint(
                config.output,
                step,
                self.learner.networks(),
                self.tokenizer,
                record,
                keep_older=config.keep_checkpoints == "all",
            )
            if evaluates:
                metrics = self._evaluated(metrics, folder)
        return metrics

    def late_evaluation(self) -> StepMetrics | None:
        """The evaluation of the step that the run goes on from, where it was ended before it."""
        step = self.first_step - 1
        if not step or not self._evaluates(step):
            return None
        values = read_metrics(self.config.output, step)
        if values is None or values["evaluation"] is not None:
            return None
        metrics = StepMetrics(**values)
        try:
            return self._evaluated(metrics, checkpoints(self.config.output)[step])
        except StoreError as error:  # begun with other settings, which may change
            self.note(f"step {step} stays without its evaluation: {error}")
            return None

    def _evaluates(self, step: int) -> bool:
        every = self.config.evaluate_every
        return bool(every) and (step % every == 0 or step == self.config.num_steps)

    def _evaluated(self, metrics: StepMetrics, checkpoint: Path) -> StepMetrics:
        """The metrics of a step with its evaluation, written in their place."""
        config, step = self.config, metrics.step
        evaluation = evaluate_checkpoint(config, checkpoint, step)
        metrics = dataclasses.replace(metrics, evaluation=evaluation)
        cut_metrics(config.output / METRICS, step - 1)
        write_metrics(config.output, metrics, self.tracker)
        return metrics

    def _rollouts(self, numbers: Sequence[int], step: int, clock: Clock) -> list[Rollout]:
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
            for part in parts(requests, size):
                template = self.template
                drawn += self.sampler.draw(part, template.stop, keep_stop=template.keep_stop)
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


def _prompts(asker: Asker, problems: ProblemSet) -> dict[str, PreparedPrompt]:
    return {problem.problem_id: asker.prompt(problem) for problem in problems.problems}
