"""The nested loop of BARFI as one program: policies, rewards and discounts of all seeds at once.

Static sizes stand in `BarfiConfig`, everything else in the pytree `BarfiSettings`, so that methods
that differ in step sizes, penalties, starts or rules are rows of one `vmap` and share one compile.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxrl_rewards.core import Discrete, Env, InputError, record
from jaxrl_rewards.reward_design.barfi import (
    AlignedReward,
    Episodes,
    LinearPolicy,
    Policy,
    aligned_objective,
    barfi_hypergradient,
    linear_logits,
)
from jaxrl_rewards.reward_design.solvers import neumann
from jaxrl_rewards.reward_design.trees import all_finite, combine, select

PyTree = Any


@dataclasses.dataclass(frozen=True)
class BarfiConfig:
    """Static sizes; the defaults are those of the paper's grid world."""

    warmup_rounds: int = 50
    """Rounds on the warm-up reward, without outer steps."""
    rounds: int = 617
    """Rounds of collecting, one outer step and inner steps."""
    episodes_per_round: int = 3
    inner_steps: int = 15
    """Policy steps per round, each on one random episode of the buffer."""
    warmup_steps: int = 1
    """Policy steps per round of the warm-up, one on each of its newest episodes.

    On-policy, unlike those of the main phase: the surrogate has no importance weights, so that
    many steps on old episodes can carry the policy where it never meets the primary reward."""
    switch_steps: int = 150
    """Policy steps on the aligned reward between warm-up and main phase."""
    buffer_episodes: int = 1000
    outer_batch: int = 15
    """Older episodes on which the outer step estimates the inner derivatives."""
    neumann_loops: int = 5

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name in ("switch_steps", "neumann_loops") else 1
            if value < least:
                raise InputError(f"{field.name} must be at least {least}, got {value}")
        if self.warmup_steps > self.episodes_per_round:
            raise InputError(
                f"warmup_steps={self.warmup_steps} must not exceed the "
                f"{self.episodes_per_round} episodes of a round, which are used once each"
            )
        if self.buffer_episodes < 2 * self.episodes_per_round:
            raise InputError(
                f"buffer_episodes={self.buffer_episodes} must hold two rounds of "
                f"{self.episodes_per_round} episodes"
            )

    @property
    def budget(self) -> dict[str, int]:
        """What a run spends: episodes, steps of the policy, steps of the reward."""
        steps = self.warmup_rounds * self.warmup_steps + self.rounds * self.inner_steps
        return {
            "episodes": (self.warmup_rounds + self.rounds) * self.episodes_per_round,
            "policy steps": steps + self.switch_steps,
            "outer steps": self.rounds,
        }


@record
class RestartRule:
    """When and how the policy starts anew because it no longer meets the primary reward.

    Once the policy never meets the primary reward, the outer gradient carries no signal and no
    hypergradient can help. The rule watches the running mean of the primary return since the last
    start; below `threshold` after `patience` rounds, the policy and its optimiser start afresh,
    older episodes leave the buffer, and the reward keeps the share `keep` of what it has learned:
    with 0 it is what it was at the start, which undoes a drift in the wrong direction. For `warmup`
    rounds the fresh policy trains on the primary reward alone, without outer steps; then
    it meets the aligned reward again, as the outer step left it, while its episodes still carry
    the signal that corrects it. Rounds whose mean primary return is below `signal` make no outer
    step: RMSprop would blow their noise up to steps of full size.
    """

    threshold: Float[Array, ""]
    """In units of the primary return; minus infinity switches the rule off."""
    signal: Float[Array, ""]
    """In the same units; minus infinity lets every round make its outer step."""
    patience: Int[Array, ""]
    warmup: Int[Array, ""]
    keep: Float[Array, ""]


@record
class BarfiSettings:
    """Sweepable numbers of one run; K auxiliary columns made of T named reward terms."""

    policy_rate: Float[Array, ""]
    reward_rate: Float[Array, ""]
    """0 switches the outer step off."""
    discount_rate: Float[Array, ""]
    entropy: Float[Array, ""]
    gamma: Float[Array, ""]
    """Discount of the primary objective."""
    alpha: Float[Array, ""]
    """Step of the Neumann series."""
    damping: Float[Array, ""]
    discount_penalty: Float[Array, ""]
    reward_penalty: Float[Array, ""]
    primary: Float[Array, "T"]
    """The primary reward as weights of the world's reward terms."""
    auxiliary: Float[Array, "T K"]
    potential: Float[Array, "K"]
    """Weights of potential-based shaping with the auxiliary columns as potentials."""
    warmup: AlignedReward
    """The reward of the warm-up."""
    start: AlignedReward
    """The reward with which the main phase begins."""
    exploration: Float[Array, ""]
    """Share of uniformly drawn actions while collecting."""
    restart: RestartRule


@record
class BarfiState:
    """Everything of a run that changes."""

    theta: PyTree
    theta_moments: PyTree
    phi: AlignedReward
    phi_moments: PyTree
    buffer: Episodes
    collected: Int[Array, ""]
    """Episodes collected so far."""
    oldest: Int[Array, ""]
    """Number of the first episode that may be used."""
    running: Float[Array, ""]
    """Running mean of the primary return since the last start."""
    since: Int[Array, ""]
    """Rounds since the last start."""
    restarts: Int[Array, ""]
    key: jax.Array


@record
class BarfiResult:
    """The final state and what every round measured: leaves `[rounds]`, warm-up first."""

    state: BarfiState
    returns: Float[Array, "R"]
    """Undiscounted primary return, mean of the round's episodes."""
    weights: Float[Array, "R K"]
    """Auxiliary weights, mean over the states visited in the round."""
    discount: Float[Array, "R"]
    stationarity: Float[Array, "R"]
    """`‖∇_θ J_φ‖` on the outer batch; 0 in the warm-up."""
    fallbacks: Int[Array, "R"]
    restarts: Int[Array, "R"]


def linear_policy_init(features: int, actions: int) -> Callable[[jax.Array], LinearPolicy]:
    """`init(key)`: all zero, the policy that tries every action equally; the key is not used."""

    def init(key: jax.Array) -> LinearPolicy:
        return LinearPolicy(kernel=jnp.zeros((features, actions)), bias=jnp.zeros((actions,)))

    return init


def reward_start(features: int, auxiliary: Float[Array, "K"] | Any, discount_logit: float = 4.6):
    """An `AlignedReward` with the same auxiliary weights `[K]` in all states and no free term."""
    weights = jnp.asarray(auxiliary, jnp.float32)
    return AlignedReward(
        kernel=jnp.zeros((features, 1 + weights.shape[0]), jnp.float32),
        bias=jnp.concatenate([jnp.zeros((1,), jnp.float32), weights]),
        discount_logit=jnp.asarray(discount_logit, jnp.float32),
    )


def random_reward_start(
    features: int, key: jax.Array, terms: int = 1, discount_logit: float = 4.6
) -> AlignedReward:
    """An `AlignedReward` drawn as a dense layer is: uniform within `±1 / sqrt(features)`."""
    bound = features**-0.5
    kernel, bias = [
        jax.random.uniform(k, shape, minval=-bound, maxval=bound, dtype=jnp.float32)
        for k, shape in zip(
            jax.random.split(key), ((features, 1 + terms), (1 + terms,)), strict=True
        )
    ]
    return AlignedReward(
        kernel=kernel, bias=bias, discount_logit=jnp.asarray(discount_logit, jnp.float32)
    )


class Barfi:
    """BARFI on a world with discrete actions and named reward terms.

    `features(obs) -> [D]` is what policy and reward weights are linear in; `policy` and `init` may
    be replaced by a network (`policy(theta, features) -> logits`). `run(key, settings, params)` is
    pure: `jit` it, and `vmap` it over keys, settings and params. InputError when the world's
    actions are not discrete.
    """

    def __init__(
        self,
        env: Env,
        features: Callable[[Any], Float[Array, "D"]],
        config: BarfiConfig | None = None,
        *,
        policy: Policy = linear_logits,
        init: Callable[[jax.Array], PyTree] | None = None,
    ):
        space = env.spec.action_space
        if not isinstance(space, Discrete):
            raise InputError(f"BARFI needs discrete actions; {env.spec.name} has {space}")
        self.env, self.features, self.policy = env, features, policy
        self.config = config or BarfiConfig()
        self.horizon, self.actions = env.spec.max_steps, space.n
        observation = jax.eval_shape(env.reset, jax.random.key(0), env.default_params())[1].obs
        shape = jax.eval_shape(features, observation).shape
        if len(shape) != 1:
            raise InputError(f"features must give a vector per observation, got shape {shape}")
        self.size = shape[0]
        self.init = init or linear_policy_init(self.size, self.actions)
        self._rms = optax.scale_by_rms(decay=0.99, eps=1e-8, eps_in_sqrt=False)

    def term_weights(self, weights: dict[str, float]) -> Float[Array, "T"]:
        """Weights by name as a vector over the world's reward terms; InputError for other names."""
        names = self.env.spec.term_names
        unknown = sorted(set(weights) - set(names))
        if unknown:
            raise InputError(
                f"{self.env.spec.name} has no reward term {unknown[0]!r}; it has {', '.join(names)}"
            )
        return jnp.asarray([weights.get(name, 0.0) for name in names], jnp.float32)

    def settings(
        self,
        primary: dict[str, float],
        auxiliary: dict[str, float],
        *,
        start: AlignedReward,
        warmup: AlignedReward,
        restart: dict[str, float] | None = None,
        **numbers: float,
    ) -> BarfiSettings:
        """Settings from plain numbers, with one auxiliary column.

        `primary` and `auxiliary` weigh the world's reward terms by name; the other numbers of
        `BarfiSettings` follow by name, of which `potential`, `exploration` and `damping` are 0
        unless given. `restart` holds the fields of `RestartRule`; without it
        the policy never starts anew.
        """
        numbers = {"potential": 0.0, "exploration": 0.0, "damping": 0.0} | numbers
        rule = {"threshold": -jnp.inf, "signal": -jnp.inf, "patience": 1, "warmup": 0, "keep": 0.0}
        rule |= restart or {}
        whole = ("patience", "warmup")
        potential = jnp.asarray([numbers.pop("potential")], jnp.float32)
        return BarfiSettings(
            primary=self.term_weights(primary),
            auxiliary=self.term_weights(auxiliary)[:, None],
            potential=potential,
            warmup=warmup,
            start=start,
            restart=RestartRule(
                **{
                    name: jnp.asarray(value, jnp.int32 if name in whole else jnp.float32)
                    for name, value in rule.items()
                }
            ),
            **{name: jnp.asarray(value, jnp.float32) for name, value in numbers.items()},
        )

    def collect(
        self, theta: PyTree, key: jax.Array, settings: BarfiSettings, params: Any
    ) -> Episodes:
        """`episodes_per_round` episodes under the policy, padded to the world's time limit."""
        names = self.env.spec.term_names

        def episode(key: jax.Array) -> Episodes:
            key_reset, key_noise, key_step = jax.random.split(key, 3)
            noise = jax.random.gumbel(key_noise, (self.horizon, self.actions), dtype=jnp.float32)
            keys = jax.random.split(key_step, self.horizon)
            state, first = self.env.reset(key_reset, params)

            def step(carry, inputs):
                state, obs, alive = carry
                gumbel, key = inputs
                seen = self.features(obs)
                probability = jax.nn.softmax(self.policy(theta, seen))
                share = settings.exploration
                mixed = (1.0 - share) * probability + share / self.actions
                action = jnp.argmax(jnp.log(mixed + 1e-30) + gumbel).astype(jnp.int32)
                state, timestep = self.env.step(key, state, action, params)
                terms = jnp.stack([timestep.terms[name] for name in names])
                row = (seen, action, terms @ settings.primary, terms @ settings.auxiliary, alive)
                return (state, timestep.obs, alive & ~timestep.done), row

            start = (state, first.obs, ~first.done)
            _, (seen, action, primary, auxiliary, alive) = jax.lax.scan(step, start, (noise, keys))
            mask = alive.astype(jnp.float32)
            return Episodes(
                features=seen,
                actions=action,
                primary=primary * mask,
                auxiliary=auxiliary * mask[:, None],
                mask=mask,
            )

        return jax.vmap(episode)(jax.random.split(key, self.config.episodes_per_round))

    def begin(self, key: jax.Array, settings: BarfiSettings) -> BarfiState:
        """A fresh policy, an empty buffer, the reward of the warm-up."""
        key, key_init = jax.random.split(key)
        theta = self.init(key_init)
        count, terms = self.config.buffer_episodes, settings.auxiliary.shape[1]
        zeros = lambda *shape: jnp.zeros((count, self.horizon, *shape), jnp.float32)  # noqa: E731
        buffer = Episodes(
            features=zeros(self.size),
            actions=zeros().astype(jnp.int32),
            primary=zeros(),
            auxiliary=zeros(terms),
            mask=zeros(),
        )
        return BarfiState(
            theta=theta,
            theta_moments=self._rms.init(theta),
            phi=settings.warmup,
            phi_moments=self._rms.init(settings.warmup),
            buffer=buffer,
            collected=jnp.zeros((), jnp.int32),
            oldest=jnp.zeros((), jnp.int32),
            running=jnp.zeros((), jnp.float32),
            since=jnp.zeros((), jnp.int32),
            restarts=jnp.zeros((), jnp.int32),
            key=key,
        )

    def run(self, key: jax.Array, settings: BarfiSettings, params: Any) -> BarfiResult:
        """Warm-up, switch to the aligned reward, and the main phase."""
        config = self.config
        state = self.begin(key, settings)

        def warm(state: BarfiState, _: None):
            return self.round(state, settings, params, outer=False)

        def main(state: BarfiState, _: None):
            return self.round(state, settings, params, outer=True)

        state, early = jax.lax.scan(warm, state, None, length=config.warmup_rounds)
        state = state.replace(phi=settings.start, since=jnp.zeros((), jnp.int32))
        if config.switch_steps:
            state = self.improve(state, settings, config.switch_steps)
        state, late = jax.lax.scan(main, state, None, length=config.rounds)
        rows = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), early, late)
        return BarfiResult(state=state, **rows)

    def round(
        self, state: BarfiState, settings: BarfiSettings, params: Any, outer: bool
    ) -> tuple[BarfiState, dict[str, Array]]:
        """Collect, watch, make an outer step (if `outer`) and the inner steps."""
        key, key_collect, key_outer, key_fresh = jax.random.split(state.key, 4)
        fresh = self.collect(state.theta, key_collect, settings, params)
        returns = jnp.mean(jnp.sum(fresh.primary, axis=-1))
        slot = state.collected % (self._slots() * self.config.episodes_per_round)
        buffer = jax.tree.map(
            lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new, slot, axis=0),
            state.buffer,
            fresh,
        )
        state = state.replace(
            buffer=buffer,
            collected=state.collected + self.config.episodes_per_round,
            key=key,
        )
        rate = jnp.maximum(1.0 / (1.0 + state.since), 0.1)
        state = state.replace(
            running=state.running + rate * (returns - state.running), since=state.since + 1
        )
        visited = jnp.maximum(jnp.sum(fresh.mask), 1.0)
        weights = state.phi.weights(fresh.features)[..., 1:]
        row = {
            "returns": returns,
            "weights": jnp.sum(weights * fresh.mask[..., None], axis=(0, 1)) / visited,
            "discount": state.phi.discount,
            "stationarity": jnp.zeros((), jnp.float32),
            "fallbacks": jnp.zeros((), jnp.int32),
            "restarts": jnp.zeros((), jnp.int32),
        }
        if outer:
            rule = settings.restart
            warming = (state.restarts > 0) & (state.since <= rule.warmup)
            (phi, moments), measured = self._outer_step(state, fresh, settings, key_outer)
            phi, moments = select(
                ~warming & (returns >= rule.signal),
                (phi, moments),
                (state.phi, state.phi_moments),
            )
            state = state.replace(phi=phi, phi_moments=moments)
            state, restarted = self._restart(state, settings, key_fresh)
            row |= measured | {"restarts": restarted}
            warming = (state.restarts > 0) & (state.since < rule.warmup)
            plain = jax.tree.map(jnp.zeros_like, state.phi).replace(
                discount_logit=state.phi.discount_logit
            )
            phi = state.phi
            state = state.replace(phi=select(warming, plain, phi))
            state = self.improve(state, settings, self.config.inner_steps)
            return state.replace(phi=phi), row
        return self._follow(state, settings, self._newest(state, self.config.warmup_steps)), row

    def improve(self, state: BarfiState, settings: BarfiSettings, steps: int) -> BarfiState:
        """`steps` ascent steps of the policy on J_φ, one random episode each (RMSprop)."""
        key, key_pick = jax.random.split(state.key)
        picks = self._pick(key_pick, state, steps, newest=True)
        return self._follow(state.replace(key=key), settings, picks)

    def _follow(self, state: BarfiState, settings: BarfiSettings, picks: Array) -> BarfiState:
        """One ascent step on each of the episodes at `picks`, in their order."""

        def step(carry: tuple[PyTree, PyTree], pick: Array):
            theta, moments = carry
            one = jax.tree.map(lambda leaf: leaf[pick][None], state.buffer)
            gradient = jax.grad(aligned_objective)(
                theta, state.phi, one, settings.entropy, self.policy, settings.potential
            )
            direction, renewed = self._rms.update(gradient, moments)
            usable = all_finite(gradient)
            theta = select(usable, combine(1.0, theta, settings.policy_rate, direction), theta)
            return (theta, select(usable, renewed, moments)), None

        (theta, moments), _ = jax.lax.scan(step, (state.theta, state.theta_moments), picks)
        return state.replace(theta=theta, theta_moments=moments)

    def _outer_step(self, state, fresh, settings, key):
        picks = self._pick(key, state, self.config.outer_batch, newest=False)
        batch = jax.tree.map(lambda leaf: leaf[picks], state.buffer)
        answer = barfi_hypergradient(
            state.theta,
            state.phi,
            fresh,
            batch,
            neumann(settings.alpha, self.config.neumann_loops, settings.damping),
            gamma=settings.gamma,
            entropy_weight=settings.entropy,
            reward_penalty=settings.reward_penalty,
            discount_penalty=settings.discount_penalty,
            policy=self.policy,
            potential=settings.potential,
        )
        direction, moments = self._rms.update(answer.gradient, state.phi_moments)
        rates = AlignedReward(
            kernel=settings.reward_rate,
            bias=settings.reward_rate,
            discount_logit=settings.discount_rate,
        )
        phi = jax.tree.map(lambda p, rate, d: p + rate * d, state.phi, rates, direction)
        measured = {"stationarity": answer.stationarity, "fallbacks": answer.fallbacks}
        return (phi, moments), measured

    def _restart(self, state, settings, key):
        rule = settings.restart
        lost = (state.since >= rule.patience) & (state.running < rule.threshold)
        theta = self.init(key)
        fresh = state.replace(
            theta=theta,
            theta_moments=self._rms.init(theta),
            phi=combine(rule.keep, state.phi, 1.0 - rule.keep, settings.start),
            oldest=state.collected - self.config.episodes_per_round,
            since=jnp.zeros((), jnp.int32),
            restarts=state.restarts + 1,
        )
        names = ("theta", "theta_moments", "phi", "oldest", "since", "restarts")
        chosen = {name: select(lost, getattr(fresh, name), getattr(state, name)) for name in names}
        return state.replace(**chosen), lost.astype(jnp.int32)

    def _slots(self) -> int:
        """Rounds that the buffer holds."""
        return self.config.buffer_episodes // self.config.episodes_per_round

    def _newest(self, state: BarfiState, count: int) -> Array:
        """Places of the `count` episodes collected last, oldest first."""
        number = state.collected - count + jnp.arange(count)
        return number % (self._slots() * self.config.episodes_per_round)

    def _pick(self, key: jax.Array, state: BarfiState, count: int, newest: bool) -> Array:
        """Places of `count` random usable episodes, with or without the newest round.

        Without it, and with no older episode at hand, the newest round is drawn from.
        """
        size = self.config.episodes_per_round
        room = self._slots() * size
        low = jnp.maximum(state.oldest, state.collected - room)
        high = state.collected
        if not newest:
            high = jnp.where(high - size > low, high - size, high)
        chance = jax.random.uniform(key, (count,), dtype=jnp.float32)
        number = low + jnp.minimum((chance * (high - low)).astype(jnp.int32), high - low - 1)
        return number % room
