from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the extra [openai] isn't installed")

from evalharness.cli import main
from evalharness.engines.base import Completion, EngineOptions, PreparedPrompt, Request
from evalharness.engines.openai import OpenAIEngine, RetryPolicy
from evalharness.engines.openai.engine import _Flight
from evalharness.engines.openai.limits import AdaptiveLimit
from evalharness.engines.openai.retries import retry_after_seconds
from evalharness.errors import EngineError, InputError
from evalharness.records import Message, Prompt, ResponseKey, Sampling
from evalharness.store import read_responses
from tests.engines.served import Scripted, serve

ROOT = Path(__file__).parent.parent.parent
AT_ONCE = RetryPolicy(num_attempts=4, first_seconds=0.0)


class Asked:
    """An engine over a scripted server, with the waits that it took in place of sleeping."""

    def __init__(self, script: Scripted, **options: Any) -> None:
        self.script = script
        self.engine = OpenAIEngine(
            EngineOptions(base_url=script.url, **({"concurrency": 4} | options)), AT_ONCE
        )
        self.waits: list[float] = []
        self.engine.client.sleep = self._sleep

    async def _sleep(self, seconds: float) -> None:
        import asyncio

        self.waits.append(seconds)
        await asyncio.sleep(0.01)

    def __call__(
        self, *prompts: str, sampling: Sampling | None = None, **changes: Any
    ) -> dict[str, Completion]:
        """The completions of some raw prompts by prompt."""
        self.record = self.engine.load("served")
        requests = [request_of(self.engine, prompt, **changes) for prompt in prompts]
        found = self.engine.generate(requests, sampling or Sampling())
        return {done.key.problem_id: done for done in found}


def request_of(engine: OpenAIEngine, name: str, **changes: Any) -> Request:
    """A raw prompt that is its own name."""
    prepared = engine.prepare(Prompt(template="no", problem_id=name, text=name))
    return Request(
        **{
            "key": ResponseKey("served", "no", name, 0),
            "prompt": prepared,
            "seed": 7,
            "max_tokens": 64,
        }
        | changes
    )


@pytest.fixture
def script() -> Iterator[Scripted]:
    with serve(Scripted()) as made:
        yield made


@pytest.fixture
def open_client(script: Scripted) -> Iterator[Callable[..., Asked]]:
    """Makes an engine over the server as it is now; all are closed in the end."""
    made: list[Asked] = []

    def make(**options: Any) -> Asked:
        made.append(Asked(script, **options))
        return made[-1]

    yield make
    for asked in made:
        asked.engine.close()


@pytest.fixture
def ask(open_client) -> Asked:
    return open_client()


def test_every_sampling_field_is_sent_to_a_server_that_takes_them(ask, script):
    ask("abc", sampling=Sampling(temperature=0.5, top_p=0.9, top_k=20), stop=("X",), keep_stop=True)
    assert script.bodies == [
        {
            "path": "/v1/completions",
            "model": "served",
            "prompt": "abc",
            "max_tokens": 64,
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 20,
            "seed": 7,
            "stop": ["X"],
            "include_stop_str_in_output": True,
            "n": 1,
            "stream": False,
            "min_p": 0.0,
            "min_tokens": 0,
            "ignore_eos": False,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "repetition_penalty": 1.0,
            "skip_special_tokens": True,
            "spaces_between_special_tokens": False,
        }
    ]
    assert ask.record.notes == ()


def test_a_chat_template_goes_to_the_chat_endpoint(ask, script):
    ask.engine.load("served")
    turns = (Message("system", "be brief"), Message("user", "1+1?"))
    prompt = ask.engine.prepare(Prompt(template="chat", problem_id="p", messages=turns))
    [done] = ask.engine.generate([request_of(ask.engine, "p", prompt=prompt)], Sampling())
    [body] = script.bodies
    assert body["path"] == "/v1/chat/completions"
    assert body["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "1+1?"},
    ]
    assert "prompt" not in body
    assert done.text == "?1+1"


def test_thinking_that_the_server_took_out_is_put_back(ask, script):
    script.choice = {"message": {"reasoning": "1 and 1", "content": "so 2"}}
    [done] = ask("p").values()
    assert done.text == "<think>1 and 1</think>so 2"


def test_a_server_without_a_schema_is_sent_the_standard_fields_and_that_is_said(
    open_client, script
):
    script.owner, script.fields = "someone", None
    asked = open_client()
    asked("abc")
    assert not {"top_k", "min_p", "repetition_penalty"} & set(script.bodies[0])
    unsent, counted = asked.record.notes
    assert "takes no ignore_eos, min_p, min_tokens, repetition_penalty" in unsent
    assert "the server publishes no schema" in unsent
    assert "lengths may be one too long" in counted


@pytest.mark.parametrize(
    ("changes", "sampling", "said"),
    [
        ({}, Sampling(temperature=1.0, top_k=5), "takes no top_k"),
        ({"stop": ("X",), "keep_stop": True}, Sampling(), "keeps its stop string"),
    ],
)
def test_what_a_server_can_t_be_told_is_refused_not_left_out(
    open_client, script, changes, sampling, said
):
    script.owner, script.fields = "someone", None
    asked = open_client()
    with pytest.raises(EngineError, match=said):
        asked("abc", sampling=sampling, **changes)
    assert script.bodies == []


@pytest.mark.parametrize("owner", ["vllm", "sglang"])
def test_a_known_server_that_hides_its_schema_still_gets_its_fields(open_client, script, owner):
    script.owner, script.fields = owner, None
    asked = open_client()
    asked("abc", stop=("X",), keep_stop=True)
    # Off is -1 for both: SGLang refuses 0.
    assert script.bodies[0]["top_k"] == -1
    keeps = {"vllm": "include_stop_str_in_output", "sglang": "no_stop_trim"}[owner]
    assert script.bodies[0][keeps] is True


@pytest.mark.parametrize(
    ("choice", "num_tokens", "stop_reason"),
    [
        # The server counted 5: EOS is one of them, a stop string's tokens are the response's own.
        ({"finish_reason": "stop", "stop_reason": None}, 4, None),
        ({"finish_reason": "stop", "stop_reason": 151643}, 4, None),
        ({"finish_reason": "stop", "stop_reason": "</answer>"}, 5, "</answer>"),
        ({"finish_reason": "length", "stop_reason": None}, 5, None),
    ],
)
def test_the_end_token_is_not_counted(ask, script, choice, num_tokens, stop_reason):
    script.choice = choice
    [done] = ask("abc").values()
    assert (done.num_tokens, done.stop_reason) == (num_tokens, stop_reason)
    assert done.finish_reason == choice["finish_reason"]


def test_sglang_s_name_for_the_stop_reason_is_read(ask, script):
    script.choice = {"matched_stop": "X", "finish_reason": "stop"}
    script.owner = "sglang"
    answer_without = ask("abc")["abc"]
    assert answer_without.stop_reason is None  # vLLM's field is there and says null
    script.choice |= {"stop_reason": "X"}
    assert ask("abc")["abc"].stop_reason == "X"


def test_the_limit_is_what_the_server_s_context_left(ask):
    # A context of 100, a prompt of 60: 40 remain of the 64 that were asked for.
    assert ask("x" * 60)["x" * 60].token_limit == 40
    assert ask("x" * 10)["x" * 10].token_limit == 64


def test_a_smaller_context_bounds_what_is_asked_for_and_not_what_the_server_gives(open_client):
    # A context of 30 of the server's 100 leaves requests of 30 tokens; behind a prompt of 20 the
    # server gives all 30 of them, not 30 - 20 = 10.
    asked = open_client(max_model_len=30)
    assert asked("x" * 20, max_tokens=30)["x" * 20].token_limit == 30
    assert asked.record.context_length == 30


def test_more_context_than_the_server_has_is_refused(open_client):
    with pytest.raises(EngineError, match="--max-model-len 101 is more than the 100 tokens of"):
        open_client(max_model_len=101)("abc")


@pytest.mark.parametrize("finish", ["content_filter", "abort", None])
def test_another_end_is_an_error_of_that_row(ask, script, finish):
    script.choice = {"finish_reason": finish}
    [done] = ask("abc").values()
    assert (done.finish_reason, done.text, done.num_tokens) == ("error", "", None)
    assert repr(finish) in (done.error or "")


@pytest.mark.parametrize(
    "fault", [408, 429, 500, 502, 503, 504, "drop", "truncated", "broken", "html"]
)
def test_a_passing_fault_is_asked_again(ask, script, fault):
    script.faults = {"abc": [fault, fault]}
    found = ask("abc", "def")
    assert [done.text for done in (found["abc"], found["def"])] == ["cba", "fed"]
    assert [body["prompt"] for body in script.bodies].count("abc") == 3
    assert len(ask.waits) == 2


@pytest.mark.parametrize(
    "answer",
    [
        "[]",
        "{}",
        '{"choices": []}',
        '{"choices": [{"text": "a"}, {"text": "b"}]}',
        '{"choices": ["text"]}',
        '{"choices": [{"text": "a"}], "usage": [5]}',
        '{"choices": [{"text": "a"}], "usage": {"completion_tokens": "five"}}',
        "[" * 100_000,
    ],
)
def test_an_answer_of_another_shape_is_no_answer(ask, script, answer):
    script.faults = {"abc": [(200, {"Content-Type": "application/json"}, answer)] * 4}
    found = ask("abc", "def")
    assert "an answer that is no completion (application/json" in (found["abc"].error or "")
    assert len(found["abc"].error or "") < 600
    assert found["def"].text == "fed"


def test_a_stalled_request_is_given_up_and_asked_again(open_client, script):
    script.faults = {"abc": ["stall"]}
    asked = open_client(request_timeout=0.2)
    assert asked("abc")["abc"].text == "cba"
    assert len(asked.waits) == 1


@pytest.mark.parametrize("fault", [400, 413, 422, 501])
def test_a_request_that_is_wrong_is_asked_once_and_the_others_go_on(ask, script, fault):
    script.faults = {"abc": [fault]}
    found = ask("abc", "def")
    assert found["abc"].finish_reason == "error"
    assert found["abc"].error == f"HTTP {fault}: fault {fault}"
    assert found["def"].text == "fed"
    assert len(script.bodies) == 2
    assert ask.waits == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (401, "--api-key-env NAME"),
        (403, "--api-key-env NAME"),
        (404, "raw templates need /completions"),
    ],
)
def test_what_is_wrong_with_every_request_ends_the_run(ask, script, fault, said):
    script.faults = {prompt: [fault] for prompt in "abcdefgh"}
    with pytest.raises(EngineError, match=f"HTTP {fault}: fault {fault}.*{said}"):
        ask(*"abcdefgh")
    assert len(script.bodies) <= 8  # none was asked again


def test_answers_that_come_with_a_refused_key_are_given_before_it_ends_the_run(ask, script):
    ask.engine.load("served")
    script.faults = {"refused": [401]}
    flight = _Flight(ask.engine, ask.engine._require(), Sampling())
    for name in ("refused", "a", "b"):
        flight.start(request_of(ask.engine, name))

    async def all_landed() -> None:
        await flight.wait()
        while flight._tasks:
            await asyncio.wait(flight._tasks)

    ask.engine._run(all_landed())
    found: list[str] = []
    with pytest.raises(EngineError, match="HTTP 401"):
        found.extend(done.key.problem_id for done in flight.landed())
    assert sorted(found) == ["a", "b"]


def test_a_prompt_that_is_forbidden_among_others_that_are_not_is_an_error_of_its_row(ask, script):
    ask("abc")
    script.faults = {"def": [403]}
    assert ask("def", "ghi")["def"].error == "HTTP 403: fault 403"


def test_a_server_that_is_still_starting_is_waited_for(ask, script):
    script.faults = {"models": [503, 502]}
    assert ask("abc")["abc"].text == "cba"
    assert len(ask.waits) == 2


def test_a_request_that_fails_on_every_attempt_says_how_often(ask, script):
    script.faults = {"abc": [500, 503, 500, 503]}
    found = ask("abc", "def")
    assert found["abc"].error == "asked 4 times, the last time: HTTP 503: fault 503"
    assert found["def"].finish_reason == "stop"


def test_a_prompt_that_kills_its_connection_is_an_error_while_the_server_lives(ask, script):
    script.faults = {"abc": ["drop"] * 4}
    [done] = ask("abc").values()
    assert (done.error or "").startswith("asked 4 times, the last time: the connection failed")


def test_a_server_that_is_gone_ends_the_run(ask, script):
    ask("abc")
    requests = [request_of(ask.engine, "def")]
    ask.engine.client.base_url = "http://127.0.0.1:9/v1"  # nobody listens on the discard port
    with pytest.raises(EngineError, match=r"no server answers at http://127\.0\.0\.1:9/v1"):
        list(ask.engine.generate(requests, Sampling()))


def test_retry_after_is_the_least_wait_and_the_slot_is_free_meanwhile(open_client, script):
    script.faults = {"abc": [(429, {"Retry-After": "7"}, "slow down")]}
    asked = open_client(concurrency=1)
    found = asked("abc", "def", "ghi")
    assert asked.waits == [7.0]
    # With a single slot the others were answered while the first one waited.
    assert script.answered == ["def", "ghi", "abc"]
    assert {done.finish_reason for done in found.values()} == {"stop"}


def test_a_server_that_asks_for_an_hour_is_not_waited_for(ask, script):
    script.faults = {"abc": [(429, {"Retry-After": "3600"}, "come back tomorrow")]}
    assert ask("abc")["abc"].error == "asked once, the last time: HTTP 429: come back tomorrow"
    assert ask.waits == []


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-3", None),
        ("soon", None),
        ("inf", None),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    assert retry_after_seconds(value, datetime(2026, 11, 21, 12, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("attempt", "retry_after", "draw", "seconds"),
    [
        (1, None, 0.0, 0.0),  # the jitter is full: nothing at all is possible
        (1, None, 0.5, 0.25),  # half of 0.5
        (3, None, 0.5, 1.0),  # half of 0.5 * 2^2
        (9, None, 0.5, 30.0),  # 0.5 * 2^8 = 128, capped at 60
        (1, 10.0, 0.5, 10.25),  # never less than the server asked for
    ],
)
def test_waits_are_drawn_below_a_bound_that_doubles(attempt, retry_after, draw, seconds):
    assert RetryPolicy().wait(attempt, retry_after, draw) == seconds


def test_no_more_requests_at_a_time_than_the_flag_says(ask, script):
    prompts = [f"p{number}" for number in range(40)]
    found = ask(*prompts)
    assert {key: done.text for key, done in found.items()} == {each: each[::-1] for each in prompts}
    assert script.most_at_a_time <= 4
    assert len(script.bodies) == 40


def test_the_adaptive_limit_doubles_until_trouble_and_then_grows_by_one():
    limit = AdaptiveLimit(start=4)

    def window(seconds: float) -> None:
        for _ in range(limit.limit):
            limit.succeeded(seconds, 10, was_full=True)

    window(1.0)
    assert limit.limit == 8
    window(1.0)
    assert limit.limit == 16
    limit.congested(limit.num_decreases)
    assert limit.limit == 8
    window(1.0)
    assert limit.limit == 9


def test_requests_that_were_turned_away_together_count_once():
    limit = AdaptiveLimit(start=64)
    for _ in range(64):
        limit.congested(0)
    assert limit.limit == 32
    limit.congested(1)
    assert limit.limit == 16
    for begun in range(1, 20):
        limit.congested(begun)
    assert limit.limit == 1  # and never less


def test_a_server_that_queues_is_asked_less():
    limit = AdaptiveLimit(start=8)
    for _ in range(8):
        limit.succeeded(1.0, 10, was_full=True)  # 0.1 s a token: the best window
    assert limit.limit == 16
    for _ in range(16):
        limit.succeeded(2.9, 10, was_full=True)  # 0.29 s a token is within three times
    assert limit.limit == 32
    for _ in range(32):
        limit.succeeded(3.5, 10, was_full=True)
    assert limit.limit == 24  # three quarters


def test_a_limit_that_holds_nothing_back_does_not_grow():
    limit = AdaptiveLimit(start=8)
    for _ in range(800):
        limit.succeeded(1.0, 10, was_full=False)
    assert limit.limit == 8


def test_the_adaptive_engine_answers_everything_through_a_storm_of_429(open_client, script):
    prompts = [f"p{number}" for number in range(200)]
    script.faults = {prompt: [429] for prompt in prompts[::2]}
    asked = open_client(concurrency=None)
    found = asked(*prompts)
    assert {done.finish_reason for done in found.values()} == {"stop"}
    assert len(found) == 200
    assert asked.engine.slots.limit.limit < 32
    assert asked.engine.slots.num_active == 0


def test_leaving_early_ends_what_is_under_way(ask, script):
    script.faults = {"slow": ["stall"]}
    ask.engine.load("served")
    requests = [request_of(ask.engine, prompt) for prompt in ("slow", "abc", "def")]
    found = ask.engine.generate(requests, Sampling())
    assert next(found).text in ("cba", "fed")
    found.close()
    assert ask.engine.slots.num_active == 0
    again = ask.engine.generate(requests[1:], Sampling())
    assert len(list(again)) == 2


def test_an_engine_that_is_closed_under_its_generator_leaves_nothing_open(ask, script):
    script.faults = {"slow": ["stall"]}
    ask.engine.load("served")
    requests = [request_of(ask.engine, prompt) for prompt in ("slow", "abc")]
    found = ask.engine.generate(requests, Sampling())
    next(found)
    ask.engine.close()
    found.close()
    ask.engine.close()


def test_a_model_that_the_server_lacks_is_refused_with_those_it_has(ask):
    with pytest.raises(EngineError, match="has no model mine: it has other, served"):
        ask.engine.load("mine")


def test_a_key_that_is_refused_names_the_flag(ask, script):
    script.key = "right"
    with pytest.raises(EngineError, match="--api-key-env"):
        ask("abc")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (None, "needs --base-url"),
        ("http://[::1/v1", "--base-url: Invalid IPv6 URL: write http://HOST:PORT/v1"),
        ("localhost:8000", "write http://HOST:PORT/v1"),
        ("http://me:secret@host/v1", "no user, password or query"),
        ("http://host/v1?key=secret", "no user, password or query"),
    ],
)
def test_an_address_that_can_t_be_used_or_recorded_is_refused(url, said):
    with pytest.raises(InputError, match=said) as caught:
        OpenAIEngine(EngineOptions(base_url=url), RetryPolicy())
    assert "secret" not in str(caught.value)


@pytest.fixture
def sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arguments of a run over three problems."""
    monkeypatch.chdir(tmp_path)
    rows = [{"problem": f"What is {gold}+0?", "gold": str(gold)} for gold in (1, 2, 3)]
    Path("sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["run", "--engine", "openai", "--model", "served", "--benchmark", "sums.jsonl"]
    return [*arguments, "--template", "no", "--out", "out", "--quiet"]


def test_a_refused_row_is_recorded_and_asked_again_by_the_next_run(script, sums, capsys):
    script.faults = {"What is 2+0?": [400]}
    arguments = [*sums, "--base-url", script.url]
    assert main(arguments) == 2
    assert "1 responses failed" in capsys.readouterr().err
    by_id = {response.problem_id: response for response in read_responses(Path("out"))}
    assert by_id["sums/1"].error == "HTTP 400: fault 400"
    assert main(arguments) == 0
    assert [body["prompt"] for body in script.bodies].count("What is 2+0?") == 2
    assert len(script.bodies) == 4
    assert {response.finish_reason for response in read_responses(Path("out"))} == {"stop"}


def test_a_killed_run_loses_nothing_that_was_stored_and_asks_only_for_the_rest(script, sums):
    rows = [{"problem": f"What is {gold}+0?", "gold": str(gold)} for gold in range(120)]
    Path("sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = [*sums, "--base-url", script.url, "--concurrency", "8"]
    script.announce_at = 60
    command = [sys.executable, "-m", "evalharness", *arguments]
    process = subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
    )
    assert script.announced.wait(120)
    process.kill()
    process.wait()
    script.go_on.set()
    script.announce_at = None
    lines = Path("out/responses.jsonl").read_bytes()
    stored = {json.loads(line)["problem_id"] for line in lines.splitlines(keepends=True)[:-1]}
    num_before = len(script.bodies)
    assert 0 < len(stored) <= 60
    assert main(arguments) == 0
    assert Path("out/responses.jsonl").read_bytes().startswith(lines[: lines.rfind(b"\n") + 1])
    assert {response.problem_id for response in read_responses(Path("out"))} == {
        f"sums/{row}" for row in range(120)
    }
    asked_again = {body["prompt"] for body in script.bodies[num_before:]}
    assert not asked_again & {f"What is {name.partition('/')[2]}+0?" for name in stored}


def test_the_key_reaches_the_server_and_no_file(script, sums, monkeypatch, capsys):
    script.key = "sk-very-secret"
    monkeypatch.setenv("SERVED_KEY", "sk-very-secret")
    script.faults = {"What is 2+0?": [(400, {}, "bad request by sk-very-secret")]}
    assert main([*sums, "--base-url", script.url, "--api-key-env", "SERVED_KEY"]) == 2
    by_id = {response.problem_id: response for response in read_responses(Path("out"))}
    assert by_id["sums/1"].error == "HTTP 400: bad request by [key]"
    written = [path for path in Path("out").rglob("*") if path.is_file()]
    assert len(written) > 4
    assert not [path for path in written if b"very-secret" in path.read_bytes()]
    assert "very-secret" not in "".join(capsys.readouterr())


def test_a_key_in_place_of_its_variable_is_neither_repeated_nor_recorded(script, sums, capsys):
    assert main([*sums, "--base-url", script.url, "--api-key-env", "sk-very-secret"]) == 2
    assert "takes the name of an environment variable" in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_server_s_address_belongs_to_the_openai_engine(sums, capsys):
    arguments = [*sums, "--base-url", "http://localhost:1/v1"]
    arguments[arguments.index("openai")] = "replay"
    assert main(arguments) == 2
    assert "--base-url belongs to --engine openai" in capsys.readouterr().err
    assert not Path("out").exists()


def test_the_concurrency_of_a_config_file_is_a_number_or_auto(script, sums, capsys):
    Path("run.toml").write_text(f'concurrency = 2\nbase-url = "{script.url}"\n')
    assert main([*sums, "--config", "run.toml"]) == 0
    spec = json.loads(Path("out/run.json").read_text())
    assert spec["models"]["served"]["details"]["concurrency"] == 2
    Path("run.toml").write_text('concurrency = "many"\n')
    assert main([*sums, "--config", "run.toml"]) == 2
    assert 'run.toml:1: "concurrency": "many" is neither' in capsys.readouterr().err


def test_prompts_without_a_tokenizer_have_no_length(ask):
    prepared = ask.engine.prepare(Prompt(template="no", problem_id="p", text="abc"))
    assert prepared == PreparedPrompt(text="abc", token_ids=None)
