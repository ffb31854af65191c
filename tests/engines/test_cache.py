"""The cache with room gives what transformers' own gives."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from evalharness.engines.cache import roomy_cache  # noqa: E402


def config(**changes: object) -> object:
    return transformers.Qwen3Config(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        **changes,
    )


def states(rows: int, tokens: int) -> torch.Tensor:
    return torch.randn(rows, 1, tokens, 8)


def test_growing_and_selecting_keep_every_bit() -> None:
    torch.manual_seed(0)
    roomy, plain = roomy_cache(config()), transformers.DynamicCache(config=config())
    for step, tokens in enumerate([5, *[1] * 150, 7, 200]):
        rows = 3 if step < 100 else 4
        if step == 100:
            chosen = torch.tensor([2, 0, 2, 1])
            roomy.batch_select_indices(chosen)
            plain.batch_select_indices(chosen)
        for layer in (0, 1):
            keys, values = states(rows, tokens), states(rows, tokens)
            found = roomy.update(keys, values, layer)
            wanted = plain.update(keys, values, layer)
            assert all(map(torch.equal, found, wanted))
        assert roomy.get_seq_length() == plain.get_seq_length()


def test_selecting_before_the_first_token_is_nothing() -> None:
    cache = roomy_cache(config())
    cache.batch_select_indices(torch.tensor([0]))
    assert cache.get_seq_length() == 0


def test_the_buffer_is_not_copied_for_every_token() -> None:
    cache = roomy_cache(config())
    cache.update(states(1, 5), states(1, 5), 0)
    places = set()
    for _ in range(60):
        keys, _ = cache.update(states(1, 1), states(1, 1), 0)
        places.add(keys.data_ptr())
    assert len(places) == 1


def test_a_sliding_layer_keeps_its_own_way() -> None:
    cache = roomy_cache(
        config(use_sliding_window=True, sliding_window=4, max_window_layers=1),
    )
    names = [type(layer).__name__ for layer in cache.layers]
    assert names == ["RoomyLayer", "DynamicSlidingWindowLayer"]
