"""A Hugging Face hub on loopback with a few small repositories: what the client asks, no more."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(kw_only=True)
class Repository:
    """One model or data set with one commit."""

    commit: str
    files: Mapping[str, bytes]
    is_gated: bool = False
    """Its description is public, its files aren't; as on the real hub."""


@dataclass(kw_only=True)
class Hub:
    """`models/owner/name` or `datasets/owner/name` -> repository."""

    repositories: dict[str, Repository]
    url: str = ""
    asked: list[str] = field(default_factory=list)


@contextmanager
def serve_hub(repositories: Mapping[str, Repository]) -> Iterator[Hub]:
    """Run it in a thread; `hub.url` is what HF_ENDPOINT has to name."""
    hub = Hub(repositories=dict(repositories))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            self._answer(*_answer(hub, unquote(urlsplit(self.path).path)))

        do_HEAD = do_GET

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(*_answer(hub, unquote(urlsplit(self.path).path)))

        def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Not told."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(hub: Hub, path: str) -> tuple[int, dict[str, str], bytes]:
    parts = path.strip("/").split("/")
    is_api = parts[0] == "api"
    parts = parts[1:] if is_api else parts
    if parts[0] not in ("models", "datasets"):
        parts = ["models", *parts]
    found = hub.repositories.get("/".join(parts[:3]))
    rest = parts[3:]
    if found is None:
        # The real hub tells nobody which names are private.
        return _error(401, "RepoNotFound", "Repository not found")
    if is_api:
        revision = rest[1] if len(rest) > 1 and rest[0] in ("revision", "tree") else "main"
        if revision not in ("main", found.commit):
            return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if rest[:1] == ["revision"] or not rest:
            names = [{"rfilename": name} for name in found.files]
            return _json(
                {"id": "/".join(parts[1:3]), "sha": found.commit, "siblings": names, "tags": []}
            )
        if rest[:1] in (["tree"], ["paths-info"]):
            return _json([_entry(name, body) for name, body in found.files.items()])
        return _error(404, "EntryNotFound", "not served here")
    if rest[:1] == ["resolve"] and len(rest) > 2:
        headers = {"X-Repo-Commit": found.commit}
        if found.is_gated:
            return _error(401, "GatedRepo", "Access to this repository is restricted")
        if rest[1] not in ("main", found.commit):
            return _error(404, "RevisionNotFound", f"Invalid rev id: {rest[1]}")
        body = found.files.get("/".join(rest[2:]))
        if body is None:
            status, more, text = _error(404, "EntryNotFound", "Entry not found")
            return status, more | headers, text
        return 200, headers | {"ETag": f'"{_oid(body)}"'}, body
    return _error(404, "EntryNotFound", "not served here")


def _error(status: int, code: str, message: str) -> tuple[int, dict[str, str], bytes]:
    return status, {"X-Error-Code": code, "X-Error-Message": message}, b""


def _json(value: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _entry(name: str, body: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(body), "oid": _oid(body)}


def _oid(body: bytes) -> str:
    return hashlib.sha1(body, usedforsecurity=False).hexdigest()
