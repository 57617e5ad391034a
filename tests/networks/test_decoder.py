"""The decoder against a float64 evaluation, its cache, padding, and stretched positions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.networks.decoder import DecoderConfig, decode, empty_cache, head, init_decoder
from jaxrl_rewards.networks.rotary import Scaling, frequencies

CONFIG = DecoderConfig(
    vocabulary=11, width=8, layers=2, heads=4, kv_heads=2, hidden=12, max_length=12,
    qkv_bias=True, qk_norm=True, tied=False,
)  # fmt: skip
PARAMS = init_decoder(jax.random.key(0), CONFIG)
PARAMS = jax.tree.map(  # so that no weight is near 0 and no norm is 1
    lambda leaf: leaf + 0.3 * jnp.cos(7.0 * jnp.arange(leaf.size).reshape(leaf.shape)), PARAMS
)
TOKENS = jax.random.randint(jax.random.key(1), (3, 9), 0, 11, jnp.int32)
run = jax.jit(decode, static_argnums=1)


def norm(x, scale):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + CONFIG.epsilon) * scale


def turned(x, positions):
    """Pairs `(x[i], x[i + H/2])` turned by position times theta^(-2i/H), one head after another."""
    half = x.shape[-1] // 2
    angle = positions[:, None] * CONFIG.theta ** (-np.arange(half) / half)
    first, second = x[..., :half], x[..., half:]
    cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], -1)


def reference(tokens):
    """Logits of one sequence, token by token in float64."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), PARAMS)
    x, size, count = params["embedding"][tokens], CONFIG.size_of_head, len(tokens)
    for depth in range(CONFIG.layers):
        w = {name: value[depth] for name, value in params["layers"].items()}
        seen = norm(x, w["attention_norm"])
        query, key, value = (
            (seen @ w[name] + w[f"{name}_bias"]).reshape(count, -1, size)
            for name in ("query", "key", "value")
        )
        query = turned(norm(query, w["query_norm"]), np.arange(count))
        key = turned(norm(key, w["key_norm"]), np.arange(count))
        mixed = np.zeros_like(query)
        for t in range(count):
            for h in range(CONFIG.heads):
                group = h // (CONFIG.heads // CONFIG.kv_heads)
                score = key[: t + 1, group] @ query[t, h] / np.sqrt(size)
                weight = np.exp(score - score.max())
                mixed[t, h] = weight @ value[: t + 1, group] / weight.sum()
        x = x + mixed.reshape(count, -1) @ w["output"]
        seen = norm(x, w["mlp_norm"])
        gate = seen @ w["gate"]
        x = x + (gate / (1 + np.exp(-gate)) * (seen @ w["up"])) @ w["down"]
    return norm(x, params["norm"]) @ params["head"]


def test_logits_are_those_of_a_float64_evaluation():
    hidden, none = run(PARAMS, CONFIG, TOKENS)
    assert none is None
    logits = head(PARAMS, CONFIG, hidden)
    for row, tokens in zip(logits, np.asarray(TOKENS), strict=True):
        np.testing.assert_allclose(row, reference(tokens), rtol=1e-4, atol=1e-4)


def test_a_cache_changes_nothing_and_padding_is_not_seen():
    whole, _ = run(PARAMS, CONFIG, TOKENS)
    valid = jnp.arange(5) < jnp.array([5, 3, 1])[:, None]
    _, cache = run(PARAMS, CONFIG, TOKENS[:, :5], empty_cache(CONFIG, 3), valid)
    np.testing.assert_array_equal(cache.length, [5, 3, 1])
    for step in range(4):  # every row goes on from where its own prompt ended
        at = cache.length[:, None]
        token = jnp.take_along_axis(TOKENS, at, axis=1)
        hidden, cache = run(PARAMS, CONFIG, token, cache)
        expected = jnp.take_along_axis(whole, at[..., None], axis=1)
        np.testing.assert_allclose(hidden, expected, rtol=1e-4, atol=1e-5, err_msg=str(step))


def test_later_tokens_do_not_reach_back_and_gradients_are_finite():
    changed = TOKENS.at[:, -1].set((TOKENS[:, -1] + 1) % 11)
    one, other = run(PARAMS, CONFIG, TOKENS)[0], run(PARAMS, CONFIG, changed)[0]
    np.testing.assert_array_equal(one[:, :-1], other[:, :-1])
    slope = jax.jit(jax.grad(lambda p: jnp.sum(decode(p, CONFIG, TOKENS)[0] ** 2)))(PARAMS)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


def test_stretched_positions():
    plain, factor = frequencies(8, 10_000.0, None)
    assert factor == 1.0 and plain[0] == 1.0
    np.testing.assert_allclose(frequencies(8, 10_000.0, Scaling("linear", 4.0))[0], plain / 4)
    for kind in ("llama3", "yarn"):
        found, _ = frequencies(8, 10_000.0, Scaling(kind, 8.0, original_length=64))
        assert found[0] == plain[0]  # fast ones are left alone
        np.testing.assert_allclose(found[-1], plain[-1] / 8, rtol=1e-6)  # slow ones stretched
        assert (found <= plain * (1 + 1e-6)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kv_heads": 3}, "kv_heads=3 must divide heads=4"),
        ({"width": 9}, "heads=4 must divide width=9"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"head_width": 3}, "head_width must be even, got 3"),
    ],
)
def test_bad_sizes_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        DecoderConfig(**{"vocabulary": 11, **changes})
