"""BARFI from files: logged episodes, the table of weights, and alignment from a log alone."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from barfi_cases import policy, reward, settings_of

from jaxrl_rewards.core import InputError
from jaxrl_rewards.reward_design import barfi, barfi_episodes, barfi_loop, implicit
from jaxrl_rewards.reward_design.barfi_offline import (
    OfflineConfig,
    fit_offline,
    importance_weights,
)


def logged(tmp_path, **changes):
    """A file of two episodes with two and one steps."""
    columns = {
        "episode": np.asarray([4, 4, 9]),
        "obs": np.asarray([[0.0, 1.0], [0.5, 0.5], [0.0, 1.0]], np.float32),
        "action": np.asarray([0, 2, 1]),
        "r_p": np.asarray([0.0, 1.0, -1.0]),
        "r_aux_b": np.asarray([5.0, 6.0, 7.0]),
        "r_aux_a": np.asarray([1.0, 2.0, 3.0]),
    }
    columns |= changes
    path = tmp_path / "log.npz"
    np.savez(path, **{name: value for name, value in columns.items() if value is not None})
    return path


def test_logged_episodes_are_padded_in_order(tmp_path):
    found, names = barfi_episodes.read_episodes(
        logged(tmp_path), lambda obs: obs, actions=3, horizon=3
    )
    assert names == ("r_aux_a", "r_aux_b")
    np.testing.assert_array_equal(found.mask, [[1, 1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(found.actions, [[0, 2, 0], [1, 0, 0]])
    np.testing.assert_array_equal(found.primary, [[0, 1, 0], [-1, 0, 0]])
    np.testing.assert_array_equal(found.auxiliary[0], [[1, 5], [2, 6], [0, 0]])
    np.testing.assert_array_equal(found.features[1, 0], [0, 1])


def test_episodes_survive_a_round_trip(tmp_path, square):
    settings = settings_of(square)
    theta, params = square.init(jax.random.key(3)), square.env.default_params()
    found = jax.jit(square.collect)(theta, jax.random.key(4), settings, params)
    path = tmp_path / "written.npz"
    barfi_episodes.write_episodes(path, found.features, found, ["r_aux_bonus"])
    again, names = barfi_episodes.read_episodes(path, lambda obs: obs, actions=4, horizon=50)
    assert names == ("r_aux_bonus",)
    for name in ("primary", "auxiliary", "mask"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    np.testing.assert_array_equal(again.actions, found.actions * found.mask.astype(jnp.int32))
    with pytest.raises(InputError, match="each beginning 'r_aux'"):
        barfi_episodes.write_episodes(path, found.features, found, ["bonus"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"r_p": None}, "no column 'r_p'"),
        ({"r_aux_a": None, "r_aux_b": None}, "no auxiliary column"),
        ({"r_p": np.zeros(2)}, "3 rows|2 rows"),
        ({"r_aux_a": np.asarray([0, np.nan, 0])}, "'r_aux_a' is not finite in row 1"),
        ({"action": np.asarray([0, 3, 1])}, "action 3 in row 1 is not an integer from 0 to 2"),
        ({"action": np.asarray([0, 0.5, 1])}, "action 0.5 in row 1"),
        ({"episode": np.asarray([4, 9, 4])}, "must follow one another"),
        ({"obs": np.asarray(["a", "b", "c"])}, "must hold numbers"),
    ],
)
def test_bad_logs_are_refused_by_name(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        barfi_episodes.read_episodes(logged(tmp_path, **changes), lambda obs: obs, actions=3)
    assert "log.npz" in str(caught.value)


def test_files_that_are_no_logs_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        barfi_episodes.read_episodes(tmp_path / "none.npz", lambda obs: obs, actions=3)
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(InputError, match="cannot be read"):
        barfi_episodes.read_episodes(tmp_path / "text.npz", lambda obs: obs, actions=3)
    with pytest.raises(InputError, match="more than the horizon of 1"):
        barfi_episodes.read_episodes(logged(tmp_path), lambda obs: obs, actions=3, horizon=1)


def test_the_weight_table_has_a_row_per_term_and_state():
    phi = reward(size=2, terms=1)
    rows = barfi_episodes.weight_table(phi, np.eye(2), lambda obs: obs, ["bonus"])
    assert [(row["term"], row["state"]) for row in rows] == [
        ("free", [1.0, 0.0]), ("free", [0.0, 1.0]), ("bonus", [1.0, 0.0]), ("bonus", [0.0, 1.0]),
    ]  # fmt: skip
    expected = np.asarray(phi.kernel + phi.bias).T.ravel()
    np.testing.assert_allclose([row["weight"] for row in rows], expected, rtol=1e-6)
    json.dumps(rows)
    with pytest.raises(InputError, match="2 names given for 1"):
        barfi_episodes.weight_table(phi, np.eye(2), lambda obs: obs, ["a", "b"])


def bandit_log(count=60):
    """One-step episodes: action 0 earns 1, action 1 earns 0 and an auxiliary reward of 5."""
    actions = np.arange(count)[:, None] % 2
    return barfi.Episodes(
        features=jnp.ones((count, 1, 1)),
        actions=jnp.asarray(actions, jnp.int32),
        primary=jnp.asarray(1.0 - actions, jnp.float32),
        auxiliary=jnp.asarray(5.0 * actions[..., None], jnp.float32),
        mask=jnp.ones((count, 1)),
    )


def test_a_log_alone_corrects_a_wrong_weight():
    """With the weight frozen the policy takes the bait; with the outer step it does not."""
    log, theta = bandit_log(), policy(size=1, actions=2)
    start, solver = barfi_loop.reward_start(1, [1.0]), implicit.neumann(0.01, 5)

    def fit(rate):
        config = OfflineConfig(rounds=150, inner_steps=5, clone_steps=50, reward_rate=rate)
        return fit_offline(jax.random.key(0), theta, start, log, solver, config)

    found = jax.jit(jax.vmap(fit))(jnp.asarray([0.0, 0.02]))
    weight = found.phi.kernel[:, 0, 1] + found.phi.bias[:, 1]
    first = jax.nn.softmax(found.theta.kernel[:, 0] + found.theta.bias)[:, 0]
    assert int(found.fallbacks.sum()) == 0
    assert float(weight[0]) == 1.0 and float(weight[1]) < 0.2, weight
    assert float(first[0]) < 0.3 and float(first[1]) > 0.8, first
    cloned = jax.nn.softmax(found.behaviour.kernel[:, 0] + found.behaviour.bias)
    np.testing.assert_allclose(cloned, 0.5, atol=0.02)  # the log takes both actions equally often


def test_importance_weights_have_mean_one_before_the_cut():
    log = bandit_log(10)
    behaviour = policy(size=1, actions=2)
    same = importance_weights(behaviour, behaviour, log, barfi.linear_logits, 3.0)
    np.testing.assert_allclose(same, 1.0, rtol=1e-6)
    sharp = behaviour.replace(bias=jnp.asarray([20.0, -20.0]))
    found = importance_weights(sharp, behaviour, log, barfi.linear_logits, 3.0)
    np.testing.assert_allclose(jnp.mean(found), 1.0, rtol=1e-6)
    np.testing.assert_allclose(found[::2], 2.0, rtol=1e-4)
    one = log.replace(actions=jnp.ones((10, 1), jnp.int32).at[0].set(0))
    found = importance_weights(sharp, behaviour, one, barfi.linear_logits, 3.0)
    np.testing.assert_allclose(found, [3.0] + [0.0] * 9, atol=1e-6)  # 10 before the cut
