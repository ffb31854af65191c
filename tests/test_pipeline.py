import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from evalharness import store
from evalharness.benchmarks import load_benchmark
from evalharness.engines.base import Completion, Request, request_seed
from evalharness.errors import EngineError, InputError, StoreError
from evalharness.pipeline import RunResult, run
from evalharness.plan import RunPlan, default_folder
from evalharness.records import Sampling
from evalharness.scoring import score_run
from evalharness.spec import open_spec
from evalharness.templates import load_template
from tests.scripted import ScriptedEngine, SilentProgress, answer_two


@pytest.fixture
def plan(tmp_path: Path) -> RunPlan:
    """Three problems with golds 1, 2 and 3; every response says 2."""
    path = tmp_path / "sums.jsonl"
    rows = [{"problem": f"What is 0+{gold}?", "gold": str(gold)} for gold in (1, 2, 3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return RunPlan(
        models={"m": "some/where"},
        benchmarks=(load_benchmark(str(path)),),
        templates=(load_template("no"), load_template("r1")),
        sampling=Sampling(max_tokens=64),
    )


def go(plan: RunPlan, folder: Path) -> RunResult:
    return run(plan, folder, SilentProgress())


def test_a_run_stores_every_response_and_its_verdict(
    plan: RunPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine()
    engine.use(monkeypatch)
    result = go(plan, tmp_path / "run")
    responses = pd.read_parquet(tmp_path / "run" / "responses.parquet")
    verdicts = pd.read_parquet(tmp_path / "run" / "verdicts" / f"{result.verdicts}.parquet")
    assert len(responses) == len(verdicts) == 6
    # The r1 template wants the answer in tags, and a box alone is none.
    status = verdicts.set_index(["template", "problem_id"])["status"]
    assert dict(status["no"]) == {
        "sums/0": "incorrect",
        "sums/1": "correct",
        "sums/2": "incorrect",
    }
    assert set(status["r1"]) == {"no_answer"}
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    accuracy = {row["template"]: row["value"] for row in metrics if row["metric"] == "accuracy"}
    assert accuracy == {"no": pytest.approx(1 / 3), "r1": 0}
    spec = json.loads((tmp_path / "run" / "run.json").read_text())
    assert spec["status"] == "complete"
    assert spec["models"]["m"]["revision"] == "r1"
    assert engine.is_closed


def test_the_same_command_again_generates_nothing(
    plan: RunPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ScriptedEngine().use(monkeypatch)
    go(plan, tmp_path / "run")
    again = ScriptedEngine()
    again.use(monkeypatch)
    result = go(plan, tmp_path / "run")
    assert (result.num_kept, result.num_generated) == (6, 0)
    assert again.asked == []
    assert len(store.read_spec(tmp_path / "run")["sessions"]) == 2


def test_an_engine_that_dies_loses_nothing_and_the_rest_is_drawn_next_time(
    plan: RunPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies_at_the_fourth(request: Request) -> Completion:
        if len(dying.asked) == 4:
            raise EngineError("the engine died")
        return answer_two(request)

    dying = ScriptedEngine(dies_at_the_fourth)
    dying.use(monkeypatch)
    with pytest.raises(EngineError):
        go(plan, tmp_path / "run")
    assert dying.is_closed
    assert len(store.read_responses(tmp_path / "run")) == 3
    healthy = ScriptedEngine()
    healthy.use(monkeypatch)
    assert go(plan, tmp_path / "run").num_generated == 3
    assert len(healthy.asked) == 3
    undisturbed = tmp_path / "undisturbed"
    go(plan, undisturbed)
    assert sorted(store.read_responses(tmp_path / "run"), key=lambda row: row.key) == sorted(
        store.read_responses(undisturbed), key=lambda row: row.key
    )


def test_an_engine_that_leaves_a_request_out_is_no_finished_run(
    plan: RunPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(ScriptedEngine):
        def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
            yield from super().generate(requests[:-2], sampling)

    Forgetful().use(monkeypatch)
    with pytest.raises(EngineError, match=r"no response to 2 of 6 requests, .*'sums/1'.* first"):
        go(plan, tmp_path / "run")
    assert store.read_spec(tmp_path / "run")["status"] == "unfinished"
    ScriptedEngine().use(monkeypatch)
    result = go(plan, tmp_path / "run")
    assert (result.num_kept, result.num_generated) == (4, 2)


def test_ctrl_c_keeps_what_came_before(
    plan: RunPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(request: Request) -> Completion:
        if len(engine.asked) == 3:
            raise KeyboardInterrupt
        return answer_two(request)

    engine = ScriptedEngine(interrupted)
    engine.use(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        go(plan, tmp_path / "run")
    assert len(store.read_responses(tmp_path / "run")) == 2


def test_a_changed_command_is_refused_with_what_changed(
    plan: RunPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ScriptedEngine().use(monkeypatch)
    go(plan, tmp_path / "run")
    changed = replace(
        plan, sampling=replace(plan.sampling, max_tokens=128), templates=plan.templates[:1]
    )
    with pytest.raises(StoreError) as caught:
        go(changed, tmp_path / "run")
    assert "sampling.max_tokens: 64 -> 128" in str(caught.value)
    assert "templates.r1: " in str(caught.value)
    assert "templates.no" not in str(caught.value)


def test_a_command_that_was_killed_before_its_first_response_may_be_corrected(
    plan: RunPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a killed one leaves: it had no time to take its files back.
    with store.RunWriter(tmp_path / "run") as writer:
        open_spec(plan, writer)
    ScriptedEngine().use(monkeypatch)
    corrected = replace(plan, models={"other": "some/where/else"})
    assert go(corrected, tmp_path / "run").num_generated == 6
    assert list(store.read_spec(tmp_path / "run")["models"]) == ["other"]


def test_a_checkpoint_that_was_written_over_is_refused(
    plan: RunPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies_at_the_second(request: Request) -> Completion:
        if len(dying.asked) == 2:
            raise EngineError("the engine died")
        return answer_two(request)

    dying = ScriptedEngine(dies_at_the_second)
    dying.use(monkeypatch)
    with pytest.raises(EngineError):
        go(plan, tmp_path / "run")
    assert len(store.read_responses(tmp_path / "run")) == 1
    ScriptedEngine(revision="r2").use(monkeypatch)
    with pytest.raises(StoreError, match="revision was r1, now r2"):
        go(plan, tmp_path / "run")


def test_a_failed_response_is_wrong_until_the_next_run_draws_it(
    plan: RunPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_once(request: Request) -> Completion:
        if request.key.problem_id == "sums/1":
            return Completion(
                key=request.key, text="", num_tokens=None, finish_reason="error", error="NaN"
            )
        return answer_two(request)

    ScriptedEngine(fails_once).use(monkeypatch)
    result = go(plan, tmp_path / "run")
    assert result.num_failed == 2
    verdicts = store.verdicts_frame(tmp_path / "run", result.verdicts)
    assert set(verdicts[verdicts["problem_id"] == "sums/1"]["status"]) == {"error"}
    assert store.read_spec(tmp_path / "run")["status"] == "complete but for failed responses"
    ScriptedEngine().use(monkeypatch)
    result = go(plan, tmp_path / "run")
    assert (result.num_generated, result.num_failed) == (2, 0)
    assert set(store.responses_frame(tmp_path / "run")["finish_reason"]) == {"stop"}


def test_a_prompt_that_fills_the_context_is_refused_before_anything_is_generated(
    plan: RunPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine(context_length=100)  # the r1 preamble is longer
    engine.use(monkeypatch)
    with pytest.raises(InputError, match=r"3 prompts leave no room .* context of 100") as caught:
        go(plan, tmp_path / "run")
    assert "sums/0 with template r1" in str(caught.value)
    assert engine.asked == []


def test_the_samples_of_an_overlong_prompt_count_once(
    plan: RunPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ScriptedEngine(context_length=100).use(monkeypatch)
    sampling = Sampling(max_tokens=64, num_samples=4, temperature=1.0)
    with pytest.raises(InputError) as caught:
        go(replace(plan, sampling=sampling), tmp_path / "run")
    first, *prompts, advice = str(caught.value).splitlines()
    assert first.startswith("3 prompts leave no room")
    assert [line.split(":")[0] for line in prompts] == [
        f"  sums/{row} with template r1" for row in range(3)
    ]
    assert advice.startswith("Raise --max-model-len")


def test_an_overlong_prompt_can_be_recorded_and_the_others_served(
    plan: RunPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ScriptedEngine(context_length=100).use(monkeypatch)
    result = go(replace(plan, overlong="record"), tmp_path / "run")
    assert (result.num_generated, result.num_failed) == (3, 3)
    failed = [row for row in store.read_responses(tmp_path / "run") if row.error]
    assert {row.template for row in failed} == {"r1"}


def test_the_token_limit_is_what_the_context_leaves(
    plan: RunPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # "What is 0+1?" has 12 characters, and this tokenizer gives each its token: 40 - 12 = 28 < 64
    ScriptedEngine(context_length=40).use(monkeypatch)
    go(replace(plan, templates=plan.templates[:1]), tmp_path / "run")
    assert {row.token_limit for row in store.read_responses(tmp_path / "run")} == {28}


def test_samples_of_a_problem_have_seeds_of_their_own_that_never_change(
    plan: RunPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine()
    engine.use(monkeypatch)
    sampling = Sampling(max_tokens=8, num_samples=4, temperature=1.0, seed=3)
    go(replace(plan, sampling=sampling, templates=plan.templates[:1]), tmp_path / "run")
    seeds = {(each.key.problem_id, each.key.sample_index): each.seed for each in engine.asked}
    assert len(set(seeds.values())) == 12
    assert seeds["sums/0", 0] == request_seed(3, "sums/0", 0)
    # printf '3\x1fsums/0\x1f0' | sha256sum begins e837e73434dc, in decimal:
    assert request_seed(3, "sums/0", 0) == 0xE837E73434DC == 255326799803612


def test_scoring_again_gives_the_same_verdicts_without_an_engine(
    plan: RunPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ScriptedEngine().use(monkeypatch)
    result = go(plan, tmp_path / "run")
    before = store.verdicts_frame(tmp_path / "run", result.verdicts)
    assert score_run(tmp_path / "run", "published") == result.verdicts
    after = store.verdicts_frame(tmp_path / "run", result.verdicts)
    columns = ["problem_id", "template", "status", "extracted"]
    pd.testing.assert_frame_equal(before[columns], after[columns])


def test_a_plan_that_can_t_work_is_refused(plan: RunPlan) -> None:
    for sampling, words in [
        (Sampling(num_samples=4), "at temperature 0 would give the same response 4 times"),
        (Sampling(max_tokens=0), "--max-tokens must be at least 1"),
        (Sampling(top_p=0.0), r"--top-p lies in \(0, 1\]"),
    ]:
        with pytest.raises(InputError, match=words):
            replace(plan, sampling=sampling)
    with pytest.raises(InputError, match='template "no" is named twice'):
        replace(plan, templates=(plan.templates[0], plan.templates[0]))
    with pytest.raises(InputError, match="--limit"):
        replace(plan, limit=0)


def test_the_default_folder_follows_from_the_command(plan: RunPlan) -> None:
    assert default_folder(plan) == default_folder(replace(plan, golds="corrected"))
    assert default_folder(plan) != default_folder(replace(plan, limit=1))
    odd = replace(plan, models={"../../a b/..": "x"})
    assert default_folder(odd).parent == Path("runs")
    assert "/" not in default_folder(odd).name
