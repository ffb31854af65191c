"""The engine that asks an OpenAI-compatible server: vLLM, SGLang or a hosted API."""

from evalharness.engines.base import EngineOptions
from evalharness.engines.openai.engine import OpenAIEngine
from evalharness.engines.openai.retries import RetryPolicy

__all__ = ["OpenAIEngine", "RetryPolicy", "create_engine"]


def create_engine(options: EngineOptions) -> OpenAIEngine:
    """The engine, before it has asked the server anything.

    Raises:
        InputError: the address or the key's variable can't be used.
    """
    return OpenAIEngine(options, RetryPolicy())
