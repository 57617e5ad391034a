"""Policy losses and aggregation against float64 loops, and what masks may not change."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses.named import KINDS, MODES, aggregate, policy_loss

B, T = 3, 5
LENGTHS = (5, 3, 1)
MASK = (np.arange(T) < np.array(LENGTHS)[:, None]).astype(np.float32)
OPTIONS = {
    "ppo": dict(clip_low=0.2, clip_high=0.28, dual_clip=1.5, ratio_limit=2.0),
    "gspo": dict(clip_low=0.05, clip_high=0.1),
    "cispo": dict(clip_low=0.3, clip_high=0.2),
}


def batch(seed=0, rows=B):
    rng = np.random.default_rng(seed)
    old = -rng.exponential(size=(rows, T)).astype(np.float32)
    new = (old + 0.4 * rng.normal(size=(rows, T))).astype(np.float32)
    return new, old, rng.normal(size=rows).astype(np.float32)


def build(kind, aggregation=None):
    def loss(log_prob, old, advantages, mask=None):
        return policy_loss(
            log_prob,
            old,
            advantages,
            mask,
            kind=kind,
            aggregation=aggregation,
            norm=7.0 if aggregation == MODES[3] else None,
            **OPTIONS.get(kind, {}),
        )

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


LOSSES = {kind: build(kind) for kind in KINDS}


def token_losses(new, old, advantages, mask, kind):
    """Float64, one token after the other."""
    options = OPTIONS.get(kind, {})
    low, high = 1 - options.get("clip_low", 0.2), 1 + options.get("clip_high", 0.2)
    out = np.zeros(new.shape)
    for i, row in enumerate(mask):
        valid = np.flatnonzero(row)
        sequence = (
            np.mean([float(new[i, t]) - float(old[i, t]) for t in valid]) if len(valid) else 0
        )
        for t in valid:
            a = float(advantages[i])
            difference = sequence if kind == "gspo" else float(new[i, t]) - float(old[i, t])
            ratio = math.exp(min(max(difference, -20), 20))
            clipped = min(max(ratio, low), high)
            if kind == "cispo":
                out[i, t] = -clipped * a * new[i, t]
            elif kind == "sapo":
                tau = 1.0 if a > 0 else 1.05
                out[i, t] = -a * 4 / tau / (1 + math.exp(-tau * (ratio - 1)))
            elif kind == "reinforce":
                out[i, t] = -a * new[i, t]
            else:
                out[i, t] = max(-a * min(ratio, options.get("ratio_limit", 1e9)), -a * clipped)
                if "dual_clip" in options and a < 0:
                    out[i, t] = min(out[i, t], -options["dual_clip"] * a)
    return out


def reduced(loss, mask, mode, norm=None):
    lengths = mask.sum(axis=1)
    rows = [i for i in range(len(loss)) if lengths[i]]
    sums = (loss * mask).sum(axis=1)
    if mode == "token-mean":
        return sums.sum() / max(lengths.sum(), 1)
    if mode == "seq-mean-token-sum-norm":
        return sums.sum() / (norm or loss.shape[1])
    if not rows:
        return 0.0
    if mode == "seq-mean-token-mean":
        return np.mean([sums[i] / lengths[i] for i in rows])
    return np.mean([sums[i] for i in rows])


@pytest.mark.parametrize("kind", KINDS)
def test_losses_equal_a_loop(kind):
    mode = "seq-mean-token-mean" if kind in ("grpo", "gspo", "sapo") else "token-mean"
    for seed in range(5):
        new, old, advantages = batch(seed)
        (found, metrics), _ = LOSSES[kind](new, old, advantages, MASK)
        losses = token_losses(new, old, advantages, MASK, kind)
        np.testing.assert_allclose(found, reduced(losses, MASK, mode), rtol=1e-5, atol=1e-6)
        assert all(np.isfinite(x) for x in metrics.values())
        assert 0 <= metrics["clip_fraction"] <= 1 and 0 <= metrics["dual_clip_fraction"] <= 1
        drift = ((old - new) * MASK).sum() / MASK.sum()
        if kind != "gspo":
            np.testing.assert_allclose(metrics["approx_kl"], drift, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["ppo", "dapo", "sapo", "reinforce", "grpo"])
def test_gradients_equal_central_differences_of_the_loop(kind):
    mode = "seq-mean-token-mean" if kind in ("grpo", "sapo") else "token-mean"
    new, old, advantages = batch(11)
    _, gradient = LOSSES[kind](new, old, advantages, MASK)
    wide = new.astype(np.float64)
    for i, t in np.ndindex(B, T):
        step = np.zeros((B, T))
        step[i, t] = 1e-5
        up, down = (
            reduced(token_losses(wide + s, old, advantages, MASK, kind), MASK, mode)
            for s in (step, -step)
        )
        np.testing.assert_allclose(gradient[i, t], (up - down) / 2e-5, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("kind", ["cispo", "gspo"])
def test_gradients_of_the_stopped_forms(kind):
    new, old, advantages = batch(12)
    _, gradient = LOSSES[kind](new, old, advantages, MASK)
    difference = (new - old).astype(np.float64)
    options, lengths = OPTIONS[kind], MASK.sum(axis=1, keepdims=True)
    low, high = 1 - options["clip_low"], 1 + options["clip_high"]
    a = advantages[:, None].astype(np.float64)
    if kind == "cispo":  # −sg(clip(ρ)) A ∇log π, token mean
        wanted = -np.clip(np.exp(difference), low, high) * a * MASK / MASK.sum()
    else:  # −A s/length where the bound does not hold it, mean over responses
        ratio = np.exp((difference * MASK).sum(axis=1, keepdims=True) / lengths)
        free = ~((a > 0) & (ratio > high) | (a < 0) & (ratio < low))
        wanted = -a * ratio * free * MASK / lengths / B
    np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_nan_under_the_mask_and_padding_change_no_bit(kind):
    new, old, advantages = batch(1)
    clean = LOSSES[kind](new, old, advantages, MASK)
    spoil = lambda x: np.where(MASK > 0, x, np.nan).astype(np.float32)  # noqa: E731
    dirty = LOSSES[kind](spoil(new), spoil(old), advantages, MASK)
    for one, other in zip(jax.tree.leaves(clean), jax.tree.leaves(dirty), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mode", MODES)
def test_padding_tokens_and_empty_responses_change_no_loss(mode):
    new, old, advantages = batch(2)
    wide = np.pad(new, ((0, 1), (0, 3)), constant_values=np.nan)
    wide_old = np.pad(old, ((0, 1), (0, 3)), constant_values=np.nan)
    function = build("ppo", mode)
    (short, _), gradient = function(new, old, advantages, MASK)
    (long, _), wide_gradient = function(
        wide, wide_old, np.append(advantages, np.float32(np.nan)), np.pad(MASK, ((0, 1), (0, 3)))
    )
    np.testing.assert_allclose(long, short, rtol=1e-6)
    np.testing.assert_allclose(wide_gradient[:B, :T], gradient, rtol=1e-6, atol=1e-8)
    assert (np.asarray(wide_gradient)[B:] == 0).all() and (wide_gradient[:, T:] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_fully_masked_batch_gives_zero_and_a_zero_gradient(kind):
    new, old, advantages = batch(3)
    (loss, metrics), gradient = LOSSES[kind](new * np.nan, old, advantages, 0 * MASK)
    assert loss == 0 and (np.asarray(gradient) == 0).all()
    assert all(np.isfinite(x) for x in metrics.values())


def test_duplicating_a_token_mean_batch_leaves_the_gradient():
    new, old, advantages = batch(4)
    twice = [np.concatenate([x, x]) for x in (new, old, advantages, MASK)]
    (one, _), gradient = LOSSES["ppo"](new, old, advantages, MASK)
    (other, _), of_twice = LOSSES["ppo"](*twice)
    np.testing.assert_allclose(other, one, rtol=1e-6)
    np.testing.assert_allclose(of_twice[:B] + of_twice[B:], gradient, rtol=1e-5, atol=1e-8)


def test_the_length_bias_of_sequence_means():
    """A wrong answer of length n weighs 1/n per token by sequence means, not by token means."""
    zeros = np.zeros((2, T), np.float32)
    mask = (np.arange(T) < np.array([[5], [2]])).astype(np.float32)
    wrong = np.array([-1.0, -1.0], np.float32)
    _, by_sequence = build("ppo", "seq-mean-token-mean")(zeros, zeros, wrong, mask)
    np.testing.assert_allclose(by_sequence[:, 0], [1 / 5 / 2, 1 / 2 / 2], rtol=1e-6)
    _, by_token = build("ppo", "token-mean")(zeros, zeros, wrong, mask)
    np.testing.assert_allclose(by_token[:, 0], [1 / 7, 1 / 7], rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_aggregation_equals_a_loop(mode):
    rng = np.random.default_rng(5)
    loss = rng.normal(size=(4, T)).astype(np.float32)
    mask = (rng.random((4, T)) < 0.6).astype(np.float32)
    mask[2] = 0
    np.testing.assert_allclose(aggregate(loss, mask, mode), reduced(loss, mask, mode), rtol=1e-5)
    assert aggregate(loss, 0 * mask, mode) == 0


def test_control_steps_equal_their_mean():
    new, old, _ = batch(6)
    advantages = np.random.default_rng(0).normal(size=B * T).astype(np.float32)
    (one, _), gradient = LOSSES["ppo"](new.ravel(), old.ravel(), advantages)
    (other, _), masked = LOSSES["ppo"](
        new.ravel(), old.ravel(), advantages, np.ones(B * T, np.float32)
    )
    np.testing.assert_allclose(one, other, rtol=1e-6)
    np.testing.assert_allclose(gradient, masked, rtol=1e-6)


def test_huge_log_ratios_stay_finite():
    new = np.array([[-1e4, 0.0, -500.0, 300.0, 0.0]] * B, np.float32)
    old = np.array([[0.0, -1e4, 0.0, 0.0, 0.0]] * B, np.float32)
    for kind in KINDS:
        advantages = np.array([1.0, -1.0, 0.5], np.float32)
        (loss, metrics), gradient = LOSSES[kind](new, old, advantages, np.ones_like(MASK))
        assert np.isfinite(loss) and np.isfinite(gradient).all(), kind
        assert all(np.isfinite(x) for x in metrics.values())


def test_advantages_carry_gradients_and_old_log_probs_none():
    new, old, advantages = batch(7)

    def loss(advantages, old):
        return policy_loss(new, old, advantages, MASK, kind="ppo")[0]

    by_advantage, by_old = jax.jit(jax.grad(loss, argnums=(0, 1)))(advantages, old)
    assert (np.asarray(by_advantage) != 0).all() and (np.asarray(by_old) == 0).all()


def test_eager_jit_and_vmap_agree_and_half_precision_is_summed_in_single():
    rows = [batch(seed) for seed in (8, 9)]
    stacked = [np.stack(x) for x in zip(*rows, strict=True)]
    lifted = jax.vmap(lambda n, o, a: LOSSES["dapo"](n, o, a, MASK))(*stacked)
    for i, row in enumerate(rows):
        (jitted, _), gradient = LOSSES["dapo"](*row, MASK)
        eager = policy_loss(*map(jnp.asarray, row), MASK, kind="dapo")[0]
        np.testing.assert_allclose(lifted[0][0][i], jitted, rtol=1e-6)
        np.testing.assert_allclose(eager, jitted, rtol=1e-6)
        np.testing.assert_allclose(lifted[1][i], gradient, rtol=1e-6, atol=1e-8)
    half = [jnp.asarray(x, jnp.bfloat16) for x in rows[0]]
    loss, _ = jax.jit(lambda *x: policy_loss(*x, MASK))(*half)
    assert loss.dtype == jnp.float32
    assert aggregate(jnp.ones((4, 300), jnp.float16), None, MODES[2]).dtype == jnp.float32


def test_what_is_not_allowed_is_named():
    new, old, advantages = map(jnp.asarray, batch())
    with pytest.raises(ValueError, match=r"\(3, 5\) and old_log_prob \(3, 4\)"):
        policy_loss(new, old[:, :4], advantages)
    with pytest.raises(ValueError, match=r"advantages \(2,\)"):
        policy_loss(new, old, advantages[:2])
    with pytest.raises(ValueError, match=r"mask \(3, 4\)"):
        policy_loss(new, old, advantages, jnp.asarray(MASK[:, :4]))
    with pytest.raises(ValueError, match="dual_clip must exceed 1, got 0.5"):
        policy_loss(new, old, advantages, dual_clip=0.5)
    with pytest.raises(ValueError, match=r"sequence_surrogate needs tokens.*\(15,\)"):
        policy_loss(new.ravel(), old.ravel(), new.ravel(), kind="gspo")
    with pytest.raises(ValueError, match=r"needs losses \[B, T\]"):
        aggregate(new.ravel(), None, "seq-mean-token-sum")
    with pytest.raises(ValueError, match="norm must be positive, got 0"):
        aggregate(new, None, "seq-mean-token-sum-norm", 0)
    with pytest.raises(ValueError, match=r"mask \(3, 4\)"):
        aggregate(new, jnp.asarray(MASK[:, :4]))
