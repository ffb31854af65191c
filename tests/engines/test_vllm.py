from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if importlib.util.find_spec("vllm") is None:
    pytest.skip("vllm isn't installed", allow_module_level=True)

from evalharness.engines import open_engine, vllm_arguments
from evalharness.engines.base import Completion, Engine, EngineOptions, Request
from evalharness.errors import EngineError
from evalharness.records import Message, Prompt, ResponseKey, Sampling

pytestmark = [
    pytest.mark.vllm,
    # vllm and the packages that it imports use names that their own dependencies deprecate.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

HOT = Sampling(temperature=1.0)


def requests_of(engine: Engine, num: int = 24, **changes: object) -> list[Request]:
    made = []
    for i in range(num):
        text = f"{i}:" + "xy" * (i * i // 4)
        prompt = engine.prepare(Prompt(template="no", problem_id=f"p/{i}", text=text))
        fields = {"seed": 1000 + i, "max_tokens": 24} | changes
        made.append(Request(key=ResponseKey("m", "no", f"p/{i}", 0), prompt=prompt, **fields))
    return made


def answers(
    engine: Engine, requests: list[Request], sampling: Sampling
) -> dict[ResponseKey, Completion]:
    return {done.key: done for done in engine.generate(requests, sampling)}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = open_engine("vllm", EngineOptions())
    yield engine
    engine.close()


@pytest.fixture
def llama(engine, checkpoints) -> Engine:
    engine.load(checkpoints.llama)
    return engine


@pytest.fixture
def oracle(checkpoints) -> Engine:
    oracle = open_engine("transformers", EngineOptions(batch_size=8))
    oracle.load(checkpoints.llama)
    return oracle


def test_greedy_equals_the_transformers_engine_token_for_token(llama, oracle):
    requests = requests_of(llama)
    assert answers(llama, requests, Sampling()) == answers(oracle, requests, Sampling())


def test_stop_strings_are_cut_or_kept_as_by_the_transformers_engine(llama, oracle):
    [request] = requests_of(llama, 1)
    whole = answers(llama, [request], Sampling())[request.key].text
    for keep in (False, True):
        stopping = requests_of(llama, 8, stop=("never", whole[5:8]), keep_stop=keep)
        done = answers(llama, stopping, Sampling())
        assert done == answers(oracle, stopping, Sampling())
        assert done[request.key].stop_reason == whole[5:8]
        assert done[request.key].text.endswith(whole[5:8]) is keep


def test_a_response_does_not_depend_on_its_batch_or_the_order(llama):
    requests = requests_of(llama, 12)
    batched = answers(llama, requests, HOT)
    alone = {}
    for request in requests[::-1]:
        alone |= answers(llama, [request], HOT)
    assert alone == batched
    other = answers(llama, requests_of(llama, 12, seed=5), HOT)
    assert all(other[key].token_ids != batched[key].token_ids for key in other)


def test_eos_ends_a_response_and_is_not_counted(llama):
    done = answers(llama, requests_of(llama, 20, max_tokens=200, keep_stop=True), HOT).values()
    stopped = [one for one in done if one.finish_reason == "stop"]
    assert stopped
    assert all(one.num_tokens == len(one.token_ids) < 200 for one in stopped)
    assert all(258 not in one.token_ids and one.stop_reason is None for one in stopped)
    assert not any("<|end|>" in one.text for one in stopped)


def test_more_requests_than_the_window_all_come_back_once(llama, monkeypatch):
    monkeypatch.setattr("evalharness.engines.vllm._LEAST_WINDOW", 4)
    scheduler = llama._llm.llm_engine.vllm_config.scheduler_config
    monkeypatch.setattr(scheduler, "max_num_seqs", 2)
    requests = requests_of(llama, 20, max_tokens=3)
    keys = [done.key for done in llama.generate(requests, Sampling())]
    assert sorted(keys) == sorted(request.key for request in requests)


def test_an_overlong_prompt_gives_an_error_and_the_others_are_served(llama):
    requests = requests_of(llama, 4)
    prompt = llama.prepare(Prompt(template="no", problem_id="p/9", text="x" * 600))
    long = Request(key=ResponseKey("m", "no", "p/9", 0), prompt=prompt, seed=0, max_tokens=1)
    done = answers(llama, [requests[0], long, *requests[1:]], Sampling())
    assert "don't fit the context of 512" in done[long.key].error
    assert [done[one.key].finish_reason for one in requests] == ["length"] * 4


def test_leaving_early_aborts_what_is_unfinished(llama):
    requests = requests_of(llama, 6, max_tokens=100)
    stream = llama.generate(requests, Sampling())
    next(stream)
    stream.close()
    assert not llama._llm.llm_engine.has_unfinished_requests()
    assert len(answers(llama, requests, Sampling())) == 6


def test_weights_of_the_same_architecture_are_swapped_in_place(llama, checkpoints):
    first = answers(llama, requests_of(llama, 6), Sampling())
    record = llama.load(checkpoints.other_weights)
    assert record.details["swapped_in_place"] is True
    oracle = open_engine("transformers", EngineOptions())
    oracle.load(checkpoints.other_weights)
    requests = requests_of(llama, 6)
    swapped = answers(llama, requests, Sampling())
    assert swapped == answers(oracle, requests, Sampling()) != first
    assert llama.load(checkpoints.llama).details["swapped_in_place"] is True
    assert answers(llama, requests, Sampling()) == first


def test_a_checkpoint_that_lacks_a_weight_never_answers_with_that_of_the_one_before(
    llama, checkpoints, tmp_path
):
    from safetensors.torch import load_file, save_file

    for file in Path(checkpoints.other_weights).iterdir():
        shutil.copy(file, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.layers.1.input_layernorm.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EngineError, match=r"not initialized .*layers\.1\.input_layernorm"):
        llama.load(str(tmp_path))


def test_an_engine_failure_says_how_much_was_unfinished(llama, monkeypatch):
    def fail():
        raise RuntimeError("device lost")

    monkeypatch.setattr(llama._llm.llm_engine, "step", fail)
    with pytest.raises(EngineError, match=r"3 requests unfinished \(RuntimeError: device lost\)"):
        list(llama.generate(requests_of(llama, 3), Sampling()))


def test_another_architecture_or_tokenizer_starts_anew_and_stdout_stays_clean(
    engine, checkpoints, capfd
):
    for model in (checkpoints.qwen3, checkpoints.with_bos):
        record = engine.load(model)
        assert record.details["swapped_in_place"] is False
        oracle = open_engine("transformers", EngineOptions())
        oracle.load(model)
        requests = requests_of(engine, 6)
        done = answers(engine, requests, Sampling())
        assert done == answers(oracle, requests, Sampling())
    assert capfd.readouterr().out == ""
    # The last one adds BOS to raw text and writes it into its chat template.
    raw = engine.prepare(Prompt(template="no", problem_id="p/0", text="hi"))
    messages = (Message("user", "hi"),)
    chat = engine.prepare(Prompt(template="chat", problem_id="p/0", messages=messages))
    assert [one.token_ids.count(257) for one in (raw, chat)] == [1, 1]


def test_more_context_than_the_model_has_is_refused(checkpoints):
    engine = open_engine("vllm", EngineOptions(max_model_len=1000))
    with pytest.raises(EngineError, match="1000 is more than the 512 positions"):
        engine.load(checkpoints.llama)


def test_deterministic_sets_what_vllm_offers_on_a_cpu_and_says_what_it_doesn_t(checkpoints):
    engine = open_engine("vllm", EngineOptions(deterministic=True))
    record = engine.load(checkpoints.llama)
    alone = {}
    for request in requests_of(engine, 6)[::-1]:
        alone |= answers(engine, [request], HOT)
    assert answers(engine, requests_of(engine, 6), HOT) == alone
    config = engine._llm.llm_engine.vllm_config
    engine.close()
    assert not config.cache_config.enable_prefix_caching
    assert not config.scheduler_config.async_scheduling
    assert record.details["deterministic"]
    assert "no batch-invariant kernels" in record.notes[0]


def test_deterministic_after_vllm_was_read_without_it_is_refused(monkeypatch):
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    monkeypatch.setenv("VLLM_BATCH_INVARIANT", "0")
    monkeypatch.setitem(sys.modules, vllm_arguments._READS_WHEN_IMPORTED, object())
    with pytest.raises(EngineError, match="comes too late"):
        vllm_arguments.set_deterministic(is_cpu=False)
    monkeypatch.delitem(sys.modules, vllm_arguments._READS_WHEN_IMPORTED)
    vllm_arguments.set_deterministic(is_cpu=False)
    assert os.environ["VLLM_BATCH_INVARIANT"] == "1"
    assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
