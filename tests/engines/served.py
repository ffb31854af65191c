"""An OpenAI-compatible server on loopback whose faults are written down beforehand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import web

VLLM_FIELDS = (
    "model prompt messages max_tokens temperature top_p top_k min_p n seed stop stream "
    "presence_penalty frequency_penalty repetition_penalty min_tokens ignore_eos "
    "skip_special_tokens spaces_between_special_tokens include_stop_str_in_output"
).split()


@dataclass(kw_only=True)
class Scripted:
    """What the server does and what it was asked; a prompt's faults come before its answer."""

    owner: str = "vllm"
    fields: list[str] | None = field(default_factory=lambda: list(VLLM_FIELDS))
    """Of the schema that it publishes; None publishes none."""
    faults: dict[str, list[Any]] = field(default_factory=dict)
    """Prompt -> status codes, (status, headers, body) or one of drop, stall, truncated, html."""
    choice: dict[str, Any] = field(default_factory=dict)
    num_tokens: int = 5
    key: str | None = None
    bodies: list[dict[str, Any]] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    most_at_a_time: int = 0
    num_active: int = 0
    url: str = ""
    announce_at: int | None = None
    """With this many answers `announced` is set, and the next answer waits for `go_on`."""
    announced: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serve(script: Scripted) -> Iterator[Scripted]:
    """Run the server in a thread; `script.url` is its base URL."""
    loop = asyncio.new_event_loop()
    runner = loop.run_until_complete(_start(script))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield script
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _start(script: Scripted) -> web.AppRunner:
    app = web.Application()
    app.router.add_get("/v1/models", partial(_models, script))
    app.router.add_get("/openapi.json", partial(_schema, script))
    app.router.add_post("/v1/completions", partial(_complete, script))
    app.router.add_post("/v1/chat/completions", partial(_complete, script))
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    script.url = f"http://{host}:{port}/v1"
    return runner


async def _models(script: Scripted, request: web.Request) -> web.Response:
    if script.faults.get("models"):
        return web.Response(status=script.faults["models"].pop(0))
    if script.key and request.headers.get("Authorization") != f"Bearer {script.key}":
        return web.json_response({"error": {"message": "no such key"}}, status=401)
    card = {"id": "served", "owned_by": script.owner, "root": "/models/served"}
    return web.json_response({"data": [card | {"max_model_len": 100}, {"id": "other"}]})


async def _schema(script: Scripted, request: web.Request) -> web.Response:
    if script.fields is None:
        return web.Response(status=404)
    schema = {"properties": {name: {} for name in script.fields}}
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Body"}}}}
    paths = {f"/v1/{path}": {"post": {"requestBody": body}} for path in _PATHS}
    return web.json_response({"paths": paths, "components": {"schemas": {"Body": schema}}})


_PATHS = ("completions", "chat/completions")


async def _complete(script: Scripted, request: web.Request) -> web.StreamResponse:
    script.num_active += 1
    script.most_at_a_time = max(script.most_at_a_time, script.num_active)
    try:
        body = await request.json()
        script.bodies.append(body | {"path": request.path})
        prompt = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        faults = script.faults.get(prompt, [])
        if faults:
            return await _fail(faults.pop(0), request)
        await asyncio.sleep(0)
        script.answered.append(prompt)
        if script.announce_at is not None and len(script.answered) > script.announce_at:
            script.announced.set()
            await asyncio.get_running_loop().run_in_executor(None, script.go_on.wait)
        return web.json_response(_answer(script, prompt, "messages" in body))
    finally:
        script.num_active -= 1


def _answer(script: Scripted, prompt: str, is_chat: bool) -> dict[str, Any]:
    said = {"message": {"content": prompt[::-1]}} if is_chat else {"text": prompt[::-1]}
    choice = said | {"finish_reason": "stop", "stop_reason": None} | script.choice
    usage = {"prompt_tokens": len(prompt), "completion_tokens": script.num_tokens}
    return {"choices": [choice], "usage": usage}


async def _fail(fault: Any, request: web.Request) -> web.StreamResponse:
    if isinstance(fault, int):
        return web.json_response({"error": {"message": f"fault {fault}"}}, status=fault)
    if isinstance(fault, tuple):
        status, headers, text = fault
        return web.Response(status=status, headers=headers, text=text)
    if fault == "html":
        return web.Response(text="<html>please log in</html>", content_type="text/html")
    if fault == "broken":
        return web.Response(text='{"choices": [{"te', content_type="application/json")
    if fault == "stall":
        await asyncio.sleep(3600)
    if fault == "truncated":
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"choices": [')
    if request.transport:
        request.transport.abort()
    return web.Response()
