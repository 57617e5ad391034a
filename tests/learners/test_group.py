"""The group learner's functions, broken and ended worlds, forced positions, memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core import Box, Discrete, EnvSpec, TimeStep, first_timestep, record
from jaxrl_rewards.credit import group_relative
from jaxrl_rewards.learners import GroupConfig, GroupHParams, Partner, make_group, outcome
from jaxrl_rewards.learners.action_head import action_head
from jaxrl_rewards.learners.group import GroupBatch, Objective, group_loss
from jaxrl_rewards.learners.grpo import GRPOConfig, make_grpo
from jaxrl_rewards.learners.ppo import PPOConfig, make_ppo
from jaxrl_rewards.losses import clipped_surrogate, token_mean
from jaxrl_rewards.networks.actor_critic import gru_actor_critic, mlp_actor_critic
from jaxrl_rewards.rewards.base import Reward, reward_term
from tests.learners.toys import Bandit, Corridor, Memory, assert_close, assert_same, distance

SMALL = GroupConfig(num_prompts=4, group_size=4, horizon=4, hidden=(8,))


@record
class ToyParams:
    reward: Reward


class Toy:
    """Three actions, 1 scores. Worlds break or end as `kind` says; the third step is forced."""

    def __init__(self, kind: str):
        self.kind = kind
        self.spec = EnvSpec(
            name=f"toy-{kind}",
            observation_space=Box(-1.0, 20.0, (2,)),
            action_space=Discrete(3),
            max_steps=4,
            term_names=("hit",),
            valid_actions=(lambda obs: jnp.array([True, True, False])) if kind == "few" else None,
        )

    def default_params(self):
        def hit(prev, action, nxt):
            return (action == 1).astype(jnp.float32)

        return ToyParams(reward=1.0 * reward_term(hit))

    def reset(self, key, params):
        x = jax.random.uniform(key, (2,), jnp.float32)
        return (x, jnp.int32(0)), first_timestep(x, ("hit",), {})

    def step(self, key, state, action, params):
        x, time = state
        time = time + 1
        out = params.reward.evaluate(None, action, None)
        done, obs, after = time >= 4, x, x
        if self.kind == "ends":  # action 0 ends; what an ended world shows is not finite
            done = done | (action == 0)
            after = jnp.where(action == 0, 10.0, x)
            obs = jnp.where(x[0] > 5, jnp.nan, x)
        if self.kind == "breaks":  # every world whose first coordinate is large, at once
            obs = after = jnp.where((x[0] > 0.6) & (time == 1), jnp.nan, x)
        no = jnp.zeros((), bool)
        chosen = (time != 3) if self.kind == "forces" else jnp.ones((), bool)
        return (after, time), TimeStep(
            obs=obs, reward=out.total, terms=out.terms, applicable=out.applicable,
            terminated=done, truncated=no, final_obs=obs, info={}, chosen=chosen,
        )  # fmt: skip


def one_update(learner, key=0):
    state = jax.jit(learner.init)(jax.random.key(key), learner.hparams)
    return state, *jax.jit(learner.update)(state, learner.hparams)


@pytest.mark.parametrize("kind", ["ends", "breaks"])
@pytest.mark.parametrize("method", ["grpo", "ppo"])
def test_broken_and_ended_worlds_leave_the_others_to_learn(kind, method):
    if method == "grpo":
        learner = make_grpo(Toy(kind), GRPOConfig(num_prompts=16, group_size=4, hidden=(8,)))
    else:
        learner = make_ppo(Toy(kind), PPOConfig(num_envs=16, unroll_length=8, hidden=(8,)))
    state, new, metrics = one_update(learner)
    assert int(new.skipped) == 0
    assert distance(new.params, state.params) > 1e-5
    assert all(np.isfinite(float(value)) for value in metrics.values())
    assert (float(metrics["broken"]) > 0) == (kind == "breaks")


def recorded(env, config=SMALL, network=None, **parts):
    """What the scorer of one update saw."""
    found = {}

    def score(played, models, hparams):
        found["shape"] = jax.tree.map(jnp.shape, played)
        jax.debug.callback(lambda x: found.update(played=x), played)
        return outcome(played, models, hparams)

    learner = make_group(env, config, network=network, score=score, **parts)
    state, new, metrics = one_update(learner)
    jax.effects_barrier()
    return found["played"], state, new, metrics


def test_a_world_stands_still_after_its_end():
    played, _, _, _ = recorded(Toy("ends"))
    alive, action = np.asarray(played.alive), np.asarray(played.action)
    ended = np.cumsum(action == 0, -1) - (action == 0) > 0  # after the first 0
    np.testing.assert_array_equal(alive, ~ended)
    np.testing.assert_array_equal(np.asarray(played.reward)[~alive], 0.0)
    assert np.isfinite(np.asarray(played.obs)).all()
    np.testing.assert_array_equal(played.own, alive)
    np.testing.assert_array_equal(played.turn, np.where(alive, np.arange(4), -1))
    np.testing.assert_array_equal(played.group, np.arange(4)[:, None] * np.ones((1, 4), int))


def test_positions_that_the_world_forced_enter_no_loss():
    """The gradient does not see them: other actions there leave the update as it is."""
    played, state, new, _ = recorded(Toy("forces"))
    own = np.asarray(played.own)
    np.testing.assert_array_equal(own, np.broadcast_to([True, True, False, True], own.shape))
    network = mlp_actor_critic(Box(-1.0, 20.0, (2,)), 3, hidden=(8,))
    reward, keep = outcome(played, {}, None)
    batch = GroupBatch(
        played=played, advantage=group_relative()(played, reward, keep, None), keep=keep,
        reference=played.log_prob,
    )  # fmt: skip
    other = played.replace(
        action=jnp.where(played.own, played.action, 2 - played.action),
        log_prob=jnp.where(played.own[..., None], played.log_prob, jnp.nan),
    )
    now = GroupHParams(env_params=(), temperature=jnp.float32(1.0))

    head, objective = action_head(Discrete(3)), Objective(clipped_surrogate, token_mean)

    @jax.jit
    def gradient(batch):
        slope = jax.grad(group_loss, has_aux=True)
        return slope(state.params, batch, network, head, objective, now)[0]

    assert_same(gradient(batch), gradient(batch.replace(played=other)))
    assert distance(gradient(batch), jax.tree.map(jnp.zeros_like, state.params)) > 1e-6


@pytest.mark.parametrize("method", ["group", "ppo"])
def test_forbidden_actions_are_never_taken(method):
    env = Toy("few")
    if method == "group":
        played, _, new, metrics = recorded(env)
        assert set(np.unique(played.action)) == {0, 1}
        learner = make_group(env, SMALL)
    else:
        learner = make_ppo(env, PPOConfig(num_envs=8, unroll_length=8, hidden=(8,)))
        _, new, metrics = one_update(learner)
    assert all(np.isfinite(float(value)) for value in metrics.values())
    biased = jax.tree.map(lambda p: p, new.params)
    biased["actor"][-1]["bias"] = jnp.array([0.0, 0.0, 50.0])
    keys = jax.random.split(jax.random.key(0), 64)
    act = jax.vmap(
        lambda k: learner.act(new.replace(params=biased), jnp.ones(2), None, k, False)[0]
    )
    assert set(np.unique(act(keys))) <= {0, 1}
    assert int(learner.act(new.replace(params=biased), jnp.ones(2), None, keys[0])[0]) < 2


def test_where_no_prompt_is_kept_nothing_moves():
    def none(played, models, hparams):
        reward, keep = outcome(played, models, hparams)
        return reward, keep & False

    learner = make_group(Bandit(), SMALL, score=none)
    state, new, metrics = one_update(learner)
    assert_same((new.params, new.opt_state), (state.params, state.opt_state))
    assert int(new.skipped) == 0 and float(metrics["kept"]) == 0.0


def test_dropped_prompts_do_not_matter():
    """The update with half of the prompts dropped is that of the other half alone."""

    def half(played, models, hparams):
        reward, keep = outcome(played, models, hparams)
        worth = jnp.where(keep[:, None, None] & (jnp.arange(4) < 2)[:, None, None], 1.0, jnp.nan)
        return reward.replace(total=reward.total * worth), jnp.arange(4) < 2

    _, new, metrics = one_update(make_group(Bandit(), SMALL, score=half))
    assert float(metrics["kept"]) == 0.5
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(new.params))


def test_a_partner_learns_beside_the_policy_and_scores_before_its_step():
    def init(key, params):
        return jnp.float32(0.0)

    def update(model, played, keep, models, hparams):
        return model + jnp.sum(keep), {"partner": model}

    def score(played, models, hparams):
        reward, keep = outcome(played, models, hparams)
        return reward.replace(total=reward.total + models["partner"]), keep

    learner = make_group(Bandit(), SMALL, score=score, partner=Partner(init, update))
    _, new, metrics = one_update(learner)
    assert float(new.models["partner"]) == 4.0 and float(metrics["partner"]) == 0.0
    assert set(new.models) == {"reference", "partner"}


def test_a_policy_with_memory_learns_in_groups():
    env = Memory()
    network = gru_actor_critic(env.spec.observation_space, 2, width=4)
    played, state, new, metrics = recorded(env, network=network)
    assert distance(new.params, state.params) > 1e-5
    # teacher forcing from the start gives the log-probabilities that acting gave
    assert abs(float(metrics["approx_kl"])) < 1e-6


def test_minibatches_are_whole_prompts():
    config = GroupConfig(num_prompts=4, group_size=4, num_minibatches=2, hidden=(8,))
    state, new, _ = one_update(make_group(Bandit(), config))
    assert int(new.opt_state.count) == 2 and distance(new.params, state.params) > 0
    with pytest.raises(ValueError, match="num_minibatches=3 must divide num_prompts=4"):
        GroupConfig(num_prompts=4, num_minibatches=3)


def test_acting_uses_the_temperature_of_training():
    learner = make_grpo(Corridor(), GRPOConfig(num_prompts=2, group_size=2, hidden=(4,)))
    cold = learner.hparams.replace(temperature=1e-3)
    state = learner.init(jax.random.key(0), cold)
    keys = jax.random.split(jax.random.key(1), 200)
    act = jax.jit(jax.vmap(lambda s, k: learner.act(s, jnp.ones(2), None, k, False)[0], (None, 0)))
    share = float(act(state, keys).mean())
    assert share in (0.0, 1.0)
    warm = learner.init(jax.random.key(0), learner.hparams)
    assert 0.2 < float(act(warm, keys).mean()) < 0.8


def test_initial_parameters_are_arguments_not_constants():
    network = mlp_actor_critic(Box(-1.0, 1.0, (2,)), 2, hidden=(300, 300))
    params = network.init(jax.random.key(0))
    learner = make_grpo(
        Corridor(), GRPOConfig(num_prompts=2, group_size=2), network=network, initial_params=params
    )
    for function in (learner.init, learner.update):
        arguments = (jax.random.key(0), learner.hparams)
        if function is learner.update:
            arguments = (jax.eval_shape(learner.init, *arguments), learner.hparams)
        constants = jax.make_jaxpr(function)(*arguments).consts
        assert sum(np.asarray(c).nbytes for c in constants) < 10_000
    assert_close(learner.init(jax.random.key(1), learner.hparams).params, params)


@pytest.mark.parametrize("method", ["group", "ppo"])
def test_bfloat16_parameters_stay_and_train(method):
    env = Corridor()
    make = functools.partial(make_group, env, SMALL) if method == "group" else functools.partial(
        make_ppo, env, PPOConfig(num_envs=4, unroll_length=8, hidden=(8,))
    )  # fmt: skip
    plain = mlp_actor_critic(env.spec.observation_space, 2, hidden=(8,))

    def init(key):
        return jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), plain.init(key))

    learner = make(network=plain._replace(init=init))
    learner = learner._replace(hparams=learner.hparams.replace(learning_rate=0.05))
    state, new, _ = one_update(learner)
    assert {leaf.dtype for leaf in jax.tree.leaves(new.params)} == {jnp.dtype(jnp.bfloat16)}
    wide = [leaf for leaf in jax.tree.leaves(new.opt_state) if leaf.ndim]
    assert {leaf.dtype for leaf in wide} == {jnp.dtype(jnp.float32)}
    moved = jax.tree.map(lambda a, b: jnp.any(a != b), state.params["actor"], new.params["actor"])
    assert any(jax.tree.leaves(moved))


def test_kept_prompts_without_a_token_of_their_own_move_nothing():
    """Not the mask and not the kept prompts alone decide, but what is in both."""

    def forced_ones(played, models, hparams):
        reward, _ = outcome(played, models, hparams)
        return reward, ~jnp.any(played.own, axis=(1, 2))

    class HalfForced(Bandit):
        def step(self, key, state, action, params):
            nxt, timestep = super().step(key, state, action, params)
            return nxt, timestep.replace(chosen=state.x[0] > 0.0)

    learner = make_group(HalfForced(), SMALL, score=forced_ones)
    state = learner.init(jax.random.key(0), learner.hparams)
    warm = state.replace(opt_state=jax.tree.map(lambda m: m + jnp.ones_like(m), state.opt_state))
    new, metrics = jax.jit(learner.update)(warm, learner.hparams)
    assert 0.0 < float(metrics["kept"]) < 1.0  # some prompts are forced, some are not
    assert_same((new.params, new.opt_state), (warm.params, warm.opt_state))


@pytest.mark.parametrize("method", ["group", "ppo"])
def test_a_world_that_breaks_at_its_reset_spoils_no_update(method):
    class BadStart(Corridor):
        def reset(self, key, params):
            state, timestep = super().reset(key, params)
            bad = jax.random.uniform(jax.random.fold_in(key, 1), dtype=jnp.float32) < 0.3
            obs = jnp.where(bad, jnp.nan, timestep.obs)
            return state, timestep.replace(obs=obs, final_obs=obs)

    if method == "group":
        learner = make_group(BadStart(), GroupConfig(num_prompts=8, group_size=4, hidden=(8,)))
    else:
        learner = make_ppo(BadStart(), PPOConfig(num_envs=16, unroll_length=8, hidden=(8,)))
    state, new, metrics = one_update(learner)
    assert int(new.skipped) == 0 and distance(new.params, state.params) > 1e-5
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(new.params))


def test_the_critic_learns_from_forced_positions_too():
    """Two steps, the second forced with reward 10: its value must reach the first step's."""

    class TwoSteps(Corridor):
        def reset(self, key, params):
            state, timestep = super().reset(key, params)
            state = state.replace(x=jnp.zeros((), jnp.float32))
            return state, timestep.replace(obs=jnp.zeros(2), final_obs=jnp.zeros(2))

        def step(self, key, state, action, params):
            _, timestep = super().step(key, state, action, params)
            nxt = state.replace(time=state.time + 1)
            second = nxt.time == 2
            obs = jnp.where(second, 0.0, 1.0) * jnp.ones(2)
            return nxt, timestep.replace(
                obs=obs, final_obs=obs, reward=jnp.where(second, 10.0, 0.0),
                terminated=second, truncated=jnp.zeros((), bool), chosen=~second,
            )  # fmt: skip

    config = PPOConfig(num_envs=8, unroll_length=8, num_epochs=4, hidden=(8,), clip_values=False)
    env = TwoSteps()
    learner = make_ppo(env, config)
    hparams = learner.hparams.replace(discount=1.0, trace_decay=0.0, learning_rate=0.03)
    state = jax.jit(learner.init)(jax.random.key(0), hparams)
    train = jax.jit(lambda s: jax.lax.scan(lambda s, _: learner.update(s, hparams), s, None, 60)[0])
    state = train(state)
    network = mlp_actor_critic(env.spec.observation_space, 2, hidden=(8,))
    values = network.critic(state.params, jnp.asarray([[0.0, 0.0], [1.0, 1.0]]))
    np.testing.assert_allclose(values, [10.0, 10.0], atol=1.0)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"credit": "rloo"}, "credit='rloo' is no function"),
        ({"loss": "ppo"}, "loss='ppo' is no function"),
        ({"score": lambda p, m, h: outcome(p, m, h)[0]}, "must return .RewardOutput, keep."),
        (
            {"score": lambda p, m, h: (outcome(p, m, h)[0], jnp.ones(3, bool))},
            r"score's keep must be \[4\], got \[3\]",
        ),
        ({"credit": lambda p, r, k, h: p}, "credit must return advantages.*returns Trajectories"),
        ({"credit": lambda p, r, k, h: r.total[0]}, r"returns \[4, 1\]"),
    ],
)
def test_parts_that_do_not_fit_are_named(parts, message):
    with pytest.raises(TypeError, match=message):
        learner = make_group(Bandit(), GroupConfig(num_prompts=4, group_size=4), **parts)
        state = jax.eval_shape(learner.init, jax.random.key(0), learner.hparams)
        jax.eval_shape(learner.update, state, learner.hparams)


def test_swept_params_and_groups_of_one():
    env = Corridor()
    params = env.default_params()
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), params)
    hparams = GroupHParams(env_params=stacked)
    learner = make_group(env, SMALL, hparams=hparams)
    axes = jax.tree.map(lambda _: None, hparams).replace(
        env_params=jax.tree.map(lambda _: 0, stacked)
    )
    state = learner.init(jax.random.key(0), learner.hparams.replace(env_params=params))
    new, _ = jax.jit(jax.vmap(learner.update, in_axes=(None, axes)))(state, learner.hparams)
    assert new.skipped.shape == (2,)
    with pytest.raises(ValueError, match="group_size=1 teaches nothing"):
        make_group(env, GroupConfig(num_prompts=2, group_size=1))


def test_small_steps_of_narrow_parameters_add_up():
    from jaxrl_rewards.learners.optimise import adam, guarded_step

    optimiser = adam()
    ends = {}
    for dtype in (jnp.float32, jnp.bfloat16):
        params = {"w": jnp.ones(3, dtype)}
        state = optimiser.init(params)
        grads = {"w": -jnp.ones(3, dtype)}

        def body(carry, _, grads=grads):
            step = guarded_step(optimiser, *carry, grads, jnp.float32(1e-3), jnp.float32(jnp.inf))
            return (step.params, step.opt_state), None

        (params, _), _ = jax.lax.scan(body, (params, state), None, 300)
        ends[dtype] = np.asarray(params["w"], np.float32)
        assert params["w"].dtype == dtype
    np.testing.assert_allclose(ends[jnp.bfloat16], ends[jnp.float32], rtol=0.01)
    assert ends[jnp.float32][0] > 1.29
