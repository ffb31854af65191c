"""What a server is and which fields it takes, found out before the first prompt is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalharness.errors import EngineError

if TYPE_CHECKING:
    from evalharness.engines.openai.client import Client

# What every OpenAI-compatible server takes.
# Source: the OpenAI API reference, completions and chat completions.
STANDARD = frozenset(
    "model prompt messages max_tokens temperature top_p n seed stop stream presence_penalty "
    "frequency_penalty".split()
)
# What vLLM and SGLang take besides, for one that hides its schema (--disable-fastapi-docs).
_COMMON_EXTRAS = frozenset(
    "top_k min_p repetition_penalty min_tokens ignore_eos skip_special_tokens".split()
)
_EXTRAS = {
    "vllm": _COMMON_EXTRAS | {"include_stop_str_in_output", "spaces_between_special_tokens"},
    "sglang": _COMMON_EXTRAS | {"no_stop_trim"},
}
_COUNTS_EOS = frozenset(_EXTRAS)
PATHS = {"raw": "/completions", "chat": "/chat/completions"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A model behind an address."""

    model: str
    root: str
    """What the server itself loaded, where it says so; otherwise the model's name."""
    owner: str
    """`vllm`, `sglang`, or whatever the server calls itself."""
    version: str | None
    context_length: int | None
    fields: dict[str, frozenset[str]]
    """Of each of `PATHS`: the fields that the server takes."""
    fields_from: str
    """How that is known."""

    @property
    def counts_eos(self) -> bool | None:
        """Whether its completion_tokens hold the EOS; None where nobody said."""
        return True if self.owner in _COUNTS_EOS else None


async def find_server(client: Client, model: str) -> Server:
    """Ask the server for its models and its schema.

    Raises:
        EngineError: no server, a key that it refuses, or a model that it doesn't have; with those
            that it has.
    """
    card = await _model_card(client, model)
    owner = str(card.get("owned_by") or "unknown").lower()
    root = client.base_url.removesuffix("/v1")
    version = await client.get_if_there(f"{root}/version")
    schema = await client.get_if_there(f"{root}/openapi.json")
    published = {kind: _schema_fields(schema, path) for kind, path in PATHS.items()}
    if any(published.values()):
        fields = {kind: known or STANDARD for kind, known in published.items()}
        fields_from = "the server's openapi.json"
    elif owner in _EXTRAS:
        fields = dict.fromkeys(PATHS, STANDARD | _EXTRAS[owner])
        fields_from = f"what {owner} is known to take"
    else:
        fields = dict.fromkeys(PATHS, STANDARD)
        fields_from = "the OpenAI API: the server publishes no schema"
    context = card.get("max_model_len")
    return Server(
        model=model,
        root=str(card.get("root") or model),
        owner=owner,
        version=str(version["version"]) if _has(version, "version") else None,
        context_length=context if isinstance(context, int) and context > 0 else None,
        fields=fields,
        fields_from=fields_from,
    )


async def _model_card(client: Client, model: str) -> dict[str, Any]:
    url = f"{client.base_url}/models"
    status, answer = await client.get(url)
    if status in (401, 403):
        raise EngineError(
            f"{url}: HTTP {status}: the server wants a key: name the environment variable that "
            "holds it with --api-key-env NAME, or correct that variable"
        )
    if status != 200 or not _has(answer, "data") or not isinstance(answer["data"], list):
        raise EngineError(
            f"{url}: HTTP {status} and no list of models: --base-url must be the address of an "
            "OpenAI-compatible API, which mostly ends in /v1"
        )
    cards = {str(card["id"]): card for card in answer["data"] if _has(card, "id")}
    if model not in cards:
        listed = ", ".join(sorted(cards)) or "none"
        raise EngineError(
            f"{client.base_url} has no model {model}: it has {listed}. Name one of them with "
            "--model, or --model NAME=ID for another name in the tables"
        )
    found: dict[str, Any] = cards[model]
    return found


def _schema_fields(schema: Any, path: str) -> frozenset[str]:
    """The properties of the body of POST `.../v1<path>`; empty where the schema has none."""
    if not _has(schema, "paths") or not isinstance(schema["paths"], dict):
        return frozenset()
    try:
        body = schema["paths"][f"/v1{path}"]["post"]["requestBody"]
        found = body["content"]["application/json"]["schema"]
        if "$ref" in found:
            found = schema["components"]["schemas"][found["$ref"].rpartition("/")[2]]
        return frozenset(found["properties"])
    except (KeyError, TypeError, AttributeError):
        return frozenset()


def _has(value: Any, key: str) -> bool:
    return isinstance(value, dict) and key in value
