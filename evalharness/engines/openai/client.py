"""One request to an OpenAI-compatible server: asked again where that helps, and only there."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any

from evalharness.engines.openai.address import check_base_url, read_key
from evalharness.engines.openai.limits import Slots
from evalharness.engines.openai.retries import RetryPolicy, retry_after_seconds
from evalharness.errors import EngineError

if TYPE_CHECKING:
    import aiohttp

# The server or what stands before it is overloaded or broken for now; 501 and 505 stay as they are.
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
_BUSY = frozenset({429, 503, 529})
# What is wrong with one request is wrong with all of them.
_FATAL = frozenset({301, 302, 303, 307, 308, 401, 403, 404, 405})
_LONGEST_MESSAGE = 400
_CONNECT_SECONDS = 30.0
# json.dumps would make one for every request.
_ENCODER = json.JSONEncoder(separators=(",", ":"))


class RowError(Exception):
    """This one request can't be answered; others can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trouble:
    """An attempt without an answer."""

    what: str
    may_pass: bool
    is_busy: bool = False
    is_connection: bool = False
    retry_after: float | None = None


class Client:
    """Asks one server; lives in one event loop.

    Args:
        base_url: ends where `/completions` is added.
        api_key_env: the environment variable that holds the key; None sends none. The key goes
            into one header and nowhere else.
        slots: who may ask now; a request that waits for its next attempt holds none.
        policy: of asking again.
        request_seconds: the longest one attempt may take; None waits as long as the server lives.

    Raises:
        InputError: the URL or the environment variable can't be used.
    """

    def __init__(
        self,
        base_url: str,
        api_key_env: str | None,
        slots: Slots,
        policy: RetryPolicy,
        request_seconds: float | None,
    ) -> None:
        self.base_url = check_base_url(base_url)
        self._key_env = api_key_env
        self._key = read_key(api_key_env)
        self._slots = slots
        self._policy = policy
        self._request_seconds = request_seconds
        self._session: aiohttp.ClientSession | None = None
        self._num_answers = 0
        self.sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
        self.draw: Callable[[], float] = random.Random().random

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()
            self._session = None

    async def get(self, url: str) -> tuple[int, Any]:
        """The status of one GET, and the body where it is JSON; a server that starts is waited for.

        Raises:
            EngineError: nothing answers there.
        """
        attempt = 0
        while True:
            attempt += 1
            status, body = await self._get(url)
            if status not in _PASSING or attempt >= self._policy.num_attempts:
                return status, body
            await self.sleep(self._policy.wait(attempt, None, self.draw()))

    async def get_if_there(self, url: str) -> Any:
        """The JSON of a page that not every server has; None without it."""
        try:
            status, body = await self._get(url)
        except EngineError:
            return None
        return body if status == 200 else None

    async def _get(self, url: str) -> tuple[int, Any]:
        import aiohttp

        try:
            async with self._open().get(
                url, timeout=aiohttp.ClientTimeout(total=_CONNECT_SECONDS), allow_redirects=False
            ) as response:
                body = await response.read()
                return response.status, _parse(body)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise EngineError(
                f"no server answers at {self.base_url} ({_named(error)}): start it, or correct "
                "--base-url"
            ) from error

    async def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The server's answer to one request, with `choices`.

        Raises:
            RowError: this request is refused, or failed on every attempt.
            EngineError: every request would fail: the key, the model, the address or the server.
        """
        num_answers_before = self._num_answers
        attempt = 0
        while True:
            attempt += 1
            found = await self._attempt(f"{self.base_url}{path}", body)
            if not isinstance(found, _Trouble):
                self._num_answers += 1
                return found
            if not found.may_pass:
                raise RowError(found.what)
            asked_long = (found.retry_after or 0) > self._policy.longest_retry_after
            if attempt >= self._policy.num_attempts or asked_long:
                # Nobody else was answered meanwhile either: is anyone there?
                if found.is_connection and self._num_answers == num_answers_before:
                    await self.get(f"{self.base_url}/models")
                times = "once" if attempt == 1 else f"{attempt} times"
                raise RowError(f"asked {times}, the last time: {found.what}")
            await self.sleep(self._policy.wait(attempt, found.retry_after, self.draw()))

    async def _attempt(self, url: str, body: dict[str, Any]) -> dict[str, Any] | _Trouble:
        slots = self._slots
        await slots.acquire()
        num_decreases = slots.limit.num_decreases
        began = perf_counter()
        try:
            found = await self._exchange(url, body)
            if not isinstance(found, _Trouble):
                num_tokens = (found.get("usage") or {}).get("completion_tokens") or 1
                slots.limit.succeeded(perf_counter() - began, num_tokens, was_full=slots.is_full)
            elif found.is_busy:
                slots.limit.congested(num_decreases)
            return found
        finally:
            slots.release()

    async def _exchange(self, url: str, body: dict[str, Any]) -> dict[str, Any] | _Trouble:
        import aiohttp

        try:
            async with self._open().post(url, json=body, allow_redirects=False) as response:
                data = await response.read()
                status, headers = response.status, response.headers
        except TimeoutError as error:
            what = f"no answer in time ({_named(error)})"
            return _Trouble(what=what, may_pass=True, is_busy=True, is_connection=True)
        except (aiohttp.ClientError, OSError) as error:
            what = f"the connection failed ({self._redact(_named(error))})"
            return _Trouble(what=what, may_pass=True, is_connection=True)
        if status == 200:
            answer = _parse(data)
            if isinstance(answer, dict) and _has_choice(answer):
                return answer
            kind = headers.get("Content-Type", "no content type")
            return _Trouble(
                what=f"an answer that is no completion ({kind}): {self._shown(data)}",
                may_pass=True,
            )
        what = f"HTTP {status}: {self._message(data)}"
        # A hosted API may forbid one prompt; one that forbids the first means the key.
        if status in _FATAL and not (status == 403 and self._num_answers):
            raise EngineError(f"{url}: {what}. {self._advice(status)}")
        return _Trouble(
            what=what,
            may_pass=status in _PASSING,
            is_busy=status in _BUSY,
            retry_after=retry_after_seconds(headers.get("Retry-After"), datetime.now(UTC)),
        )

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
            self._session = aiohttp.ClientSession(
                headers=headers,
                json_serialize=_ENCODER.encode,
                # How many at a time is decided by the slots.
                connector=aiohttp.TCPConnector(limit=0, socket_factory=_keepalive_socket),
                timeout=aiohttp.ClientTimeout(
                    total=self._request_seconds, sock_connect=_CONNECT_SECONDS
                ),
            )
        return self._session

    def _message(self, data: bytes) -> str:
        """What the server says, in the forms that servers have for it."""
        answer = _parse(data)
        if isinstance(answer, dict):
            error = answer.get("error", answer)
            said = error if isinstance(error, str) else None
            if isinstance(error, dict):
                said = error.get("message") or error.get("detail")
            if said:
                return self._redact(str(said))[:_LONGEST_MESSAGE]
        return self._shown(data)

    def _shown(self, data: bytes) -> str:
        text = " ".join(data[: 2 * _LONGEST_MESSAGE].decode("utf-8", "replace").split())
        return self._redact(text)[:_LONGEST_MESSAGE] or "an empty body"

    def _redact(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text

    def _advice(self, status: int) -> str:
        if status in (401, 403):
            if self._key_env:
                return f"Put a key that this server takes into {self._key_env}"
            return "Name the environment variable that holds the key: --api-key-env NAME"
        if status in (404, 405):
            return (
                "The address or the model is wrong, or this server has no such endpoint: raw "
                "templates need /completions, chat templates /chat/completions"
            )
        return "Give --base-url the address that this redirects to"


def _keepalive_socket(address: Any) -> socket.socket:
    """A socket that notices after two minutes that the other machine is gone."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


def _has_choice(answer: dict[str, Any]) -> bool:
    choices = answer.get("choices")
    return isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], dict)


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _named(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
