"""Grouped attention gives what transformers' own gives, and leaves the model as it was."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from evalharness.engines.attention import grouped_attention  # noqa: E402

IDS = torch.tensor([[0, 0, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]])
MASK = torch.tensor([[0, 0, 1, 1, 1, 1], [1] * 6])


def model(num_key_value_heads: int, attention: str = "sdpa") -> object:
    torch.manual_seed(0)
    config = transformers.Qwen3Config(
        vocab_size=32,
        hidden_size=64,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=num_key_value_heads,
        head_dim=8,
        attn_implementation=attention,
    )
    return transformers.Qwen3ForCausalLM(config).eval()


def last_logits(network: object) -> torch.Tensor:
    """Of a prompt of five tokens and one more that is read with the cache."""
    cache = transformers.DynamicCache(config=network.config)
    positions = (MASK.cumsum(dim=1) - 1).clamp(min=0)
    with torch.inference_mode():
        network(
            input_ids=IDS[:, :5],
            attention_mask=MASK[:, :5],
            position_ids=positions[:, :5],
            past_key_values=cache,
        )
        return network(
            input_ids=IDS[:, 5:],
            attention_mask=MASK,
            position_ids=positions[:, 5:],
            past_key_values=cache,
        ).logits


@pytest.mark.parametrize("num_key_value_heads", [1, 2, 3, 6])
def test_logits_are_those_of_repeated_keys(
    num_key_value_heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = model(num_key_value_heads)
    wanted = last_logits(network)
    shapes = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def see(query: torch.Tensor, key: torch.Tensor, *args: object, **more: object) -> object:
        shapes.append((query.shape[1], key.shape[1], query.shape[2]))
        return attend(query, key, *args, **more)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", see)
    with grouped_attention(network):
        found = last_logits(network)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    groups = num_key_value_heads
    assert shapes[-1] == (groups, groups, 6 // groups)


def test_afterwards_the_model_attends_as_before() -> None:
    network = model(2)

    def fail() -> None:
        with grouped_attention(network):
            assert network.config._attn_implementation != "sdpa"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert network.config._attn_implementation == "sdpa"


def test_another_implementation_goes_its_own_way() -> None:
    network = model(2, attention="eager")
    with grouped_attention(network):
        assert network.config._attn_implementation == "eager"
