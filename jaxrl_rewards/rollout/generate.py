"""Answers token by token with a cache of keys and values, as one program.

    played = generate(key, params, config, prompts, lengths, GenerateConfig(new_tokens=32))
    sample = token_answers(env, num_prompts=32, group_size=8, horizon=96)    # for `make_group`

A prompt is read in one pass, once for all answers to it. The loop ends when every answer has. What
comes out is `Trajectories` `[P, G, T]`: position `t` of a row holds its text's token `t` and the
one that followed, prompt first and answer right behind it, so that the same row can be read in one
teacher-forced pass.

**What does not change an answer.** A row draws from its own key (prompt's number, answer's number,
position), and on a CPU rows are computed in blocks of a fixed size: so tokens and log-probabilities
are the same bits whatever the other prompts, their order and the padding are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from jaxrl_rewards.core import Env, TimeStep, Trajectories, first_timestep, record
from jaxrl_rewards.core.mesh import shard_batch
from jaxrl_rewards.networks.decoder import Cache, DecoderConfig, Params, decode, head, read_prompt
from jaxrl_rewards.rollout.collect import (
    Decision,
    Policy,
    Worlds,
    position_of,
    turns_by_forcing,
)
from jaxrl_rewards.rollout.constraints import Anything, StopStrings
from jaxrl_rewards.rollout.sample import Sampler
from jaxrl_rewards.rollout.sampling import (
    OUT,
    Sampling,
    draw,
    log_prob_of,
    penalised,
    tempered,
    truncated,
)
from jaxrl_rewards.rollout.select import select
from jaxrl_rewards.rollout.standstill import Standstill

ROWS = 16
"""Rows that are computed at once on a CPU, unless told otherwise."""
ROW_STEP = 16
"""Blocks hold a multiple of these, so that every row takes the same way through a product."""


@dataclasses.dataclass(frozen=True)
class GenerateConfig:
    """Static sizes of generation; part of the compile key."""

    new_tokens: int
    """Tokens that an answer may have, a stop token included."""
    group_size: int = 1
    """Answers per prompt."""
    stop: tuple[int, ...] = ()
    """Tokens that end an answer."""
    rows: int | None = None
    """Rows computed at once; equal bits are promised between runs with the same number. None: 16 on
    a CPU, elsewhere all."""

    def __post_init__(self):
        for name in ("new_tokens", "group_size", *(() if self.rows is None else ("rows",))):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


def generate(
    key: jax.Array,
    params: Params,
    config: DecoderConfig,
    prompts: Int[Array, "P W"],
    lengths: Int[Array, "P"],
    settings: GenerateConfig,
    sampling: Sampling | None = None,
    *,
    constraint: Anything | None = None,
    stop_strings: StopStrings | None = None,
    numbers: Int[Array, "P"] | None = None,
) -> Trajectories:
    """`group_size` answers to each prompt; jittable with `config` and `settings` static.

    Args:
      prompts: tokens, padded on the right with anything.
      lengths: tokens of each prompt, at least 1 (less counts as 1).
      sampling: how tokens are drawn; at temperature 1 from all when None.
      constraint: what answers may consist of (`rollout.constraints`).
      stop_strings: strings that end an answer, besides `settings.stop`.
      numbers: what tells a prompt's chance from the others'; its row when None.

    Returns `Trajectories` of `T = W - 1 + new_tokens` positions: `obs` and `action` are tokens,
    `own` the answer's, `terminated` where it was stopped, `truncated` where it was cut, all 0 after
    that. `log_prob` is the policy's at this temperature under the constraint, as learners compute
    it (of temperature 1 where that is 0); 0 off `own`. Rewards are 0, without terms. ValueError
    where `max_length` cannot hold `T` tokens.
    """
    count, width = prompts.shape
    total = width - 1 + settings.new_tokens
    if total > config.max_length:
        raise ValueError(
            f"prompts of {width} and answers of {settings.new_tokens} tokens need max_length >= "
            f"{total}, it is {config.max_length}"
        )
    sampling, constraint = sampling or Sampling(), constraint or Anything()
    sampling = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count,)), sampling)
    world = _Text(settings.stop, settings.new_tokens, stop_strings)
    before, worlds = _prompts(prompts, jnp.clip(lengths, 1, width), world)
    start = _Start(
        number=jnp.arange(count, dtype=jnp.int32) if numbers is None else numbers,
        asked=jnp.ones((count,), bool),
        before=before,
        worlds=worlds.replace(carry=(constraint.start(count), sampling)),
    )

    def memory(start: _Start) -> _Memory:
        state, sampling = start.worlds.carry
        shown, last = start.before.obs, start.worlds.timestep.obs
        cache = read_prompt(params, config, shown, start.before.alive)
        seen = ()
        if sampling.repetition_penalty is not None:
            row = jnp.arange(shown.shape[0])
            seen = jnp.zeros((shown.shape[0], config.vocabulary), bool).at[row, last].set(True)
            shown = jnp.where(start.before.alive, shown, config.vocabulary)
            seen = seen.at[row[:, None], shown].set(True, mode="drop")
        return _Memory(cache=cache, seen=seen, constraint=state, sampling=sampling)

    policy = text_policy(params, config, constraint)
    play = _Play(policy, memory, world, (), settings.new_tokens, total)
    return answers(key, start, play, settings.group_size, settings.rows)


def token_answers(
    env: Env,
    num_prompts: int,
    group_size: int,
    horizon: int | None = None,
    *,
    prompt_width: int | None = None,
    rows: int | None = None,
    turns: Callable[[Trajectories], Array] = turns_by_forcing,
) -> Sampler:
    """`independent` for token worlds and a policy that reads prompts: much faster, same contract.

    What a world forces from the start (`TimeStep.chosen` False) is its prompt: it is played once
    per prompt without the policy, up to `prompt_width` steps (`horizon` when None), read in one
    pass, and shared by the prompt's answers. Later forced tokens are read one by one. The loop ends
    with the last answer. Episodes are cut after `horizon` steps, prompt included (the world's own
    limit when None); the cache must hold as many tokens. Positions after an end are 0.
    """
    world = Standstill(env)
    steps = env.spec.max_steps if horizon is None else horizon
    width = steps if prompt_width is None else min(prompt_width, steps)

    def sample(key: jax.Array, policy: Policy, env_params: Any) -> Trajectories:
        if policy.read is None:
            raise ValueError(
                "token_answers needs a network that reads prompts (decoder_actor_critic); sample "
                "with rollout.independent"
            )
        key_reset, key_prompt, key_play = jax.random.split(key, 3)
        started = jax.vmap(world.reset, in_axes=(0, None))(
            jax.random.split(key_reset, num_prompts), env_params
        )
        worlds = Worlds(state=started[0], timestep=started[1], carry=())
        before, worlds = forced_steps(key_prompt, world, env_params, worlds, policy, width)
        start = _Start(
            number=jnp.arange(num_prompts, dtype=jnp.int32),
            asked=jnp.ones((num_prompts,), bool),
            before=before,
            worlds=worlds,
        )

        def memory(start: _Start) -> Any:
            return policy.read(start.before.obs, start.before.alive)

        play = _Play(policy, memory, world, env_params, steps, steps)
        return answers(key_play, shard_batch(start), play, group_size, rows, turns)

    return sample


@record
class _Start:
    """Prompts whose answers are to come; leaves `[P, ...]`."""

    number: Int[Array, "P"]
    asked: Bool[Array, "P"]
    """Whether the prompt was asked, or fills a block."""
    before: Trajectories
    """Positions of the prompt but its last token, `[P, W]`; `alive` where there are any."""
    worlds: Worlds
    """After that."""


@dataclasses.dataclass(frozen=True)
class _Play:
    """Who answers, and where."""

    policy: Policy
    memory: Callable[[_Start], Any]
    """The policy's memory of prompts, `[P, ...]`."""
    world: Any
    params: Any
    steps: int
    """Most steps of an answer."""
    total: int
    """Most positions of prompt and answer."""


def answers(
    key: jax.Array,
    start: _Start,
    play: _Play,
    group_size: int,
    rows: int | None,
    turns: Callable[[Trajectories], Array] = turns_by_forcing,
) -> Trajectories:
    """`[P, G, T]`: answers to all prompts, block after block."""
    count = start.number.shape[0]
    size = block_size(count, group_size, rows)
    blocks = -(-count // size)
    missing = blocks * size - count
    if missing:
        start = jax.tree.map(lambda leaf: _padded(leaf, missing), start)
        start = start.replace(asked=jnp.arange(blocks * size) < count)

    def block(start: _Start) -> Trajectories:
        return _block(key, start, play, group_size)

    if blocks == 1:
        played = block(start)
    else:
        parts = jax.tree.map(lambda leaf: leaf.reshape(blocks, size, *leaf.shape[1:]), start)
        played = jax.lax.map(block, parts)
        played = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), played)
    played = jax.tree.map(lambda leaf: leaf[: count * group_size], played)
    played = played.replace(
        turn=turns(played), group=jnp.repeat(jnp.arange(count, dtype=jnp.int32), group_size)
    )
    return jax.tree.map(lambda leaf: leaf.reshape(count, group_size, *leaf.shape[1:]), played)


def block_size(prompts: int, group_size: int, rows: int | None) -> int:
    """Prompts of a block: about `rows` answers, a multiple of 16; all where None, off a CPU."""
    if rows is None:
        if jax.default_backend() != "cpu" or not jax.sharding.get_abstract_mesh().empty:
            return prompts
        rows = ROWS
    unit = ROW_STEP // math.gcd(ROW_STEP, group_size)
    return unit * max(1, round(rows / (unit * group_size)))


def _block(key: jax.Array, start: _Start, play: _Play, group_size: int) -> Trajectories:
    """Answers to the prompts of a block, `[prompts * group_size, total, ...]`."""
    worlds = start.worlds.replace(carry=play.memory(start))
    whole = start.replace(worlds=worlds)
    whole = jax.tree.map(lambda leaf: jnp.repeat(leaf, group_size, axis=0), whole)
    answer = jnp.tile(jnp.arange(group_size), start.number.shape[0])
    keys = jax.vmap(lambda number, answer: _fold(key, number, answer))(whole.number, answer)
    length = jnp.sum(whole.before.alive, axis=1, dtype=jnp.int32)

    def step(state: tuple[Array, Array, Worlds, Any]) -> tuple[Array, Array, Worlds, Any]:
        t, alive, worlds, kept = state
        worlds, position = _step(play, keys, t, worlds, alive)
        kept = jax.tree.map(lambda rows, row: rows.at[t].set(row), kept, position)
        alive = alive & ~worlds.timestep.done & (length + t + 1 < play.total)
        return t + 1, alive, worlds, kept

    zero = jnp.zeros((), jnp.int32)
    alive = whole.asked & play.world.alive(whole.worlds.timestep) & (length < play.total)
    shapes = jax.eval_shape(lambda w: _step(play, keys, zero, w, alive)[1], whole.worlds)
    kept = jax.tree.map(lambda leaf: jnp.zeros((play.steps, *leaf.shape), leaf.dtype), shapes)
    _, _, _, kept = jax.lax.while_loop(
        lambda state: (state[0] < play.steps) & jnp.any(state[1]),
        step,
        (zero, alive, whole.worlds, kept),
    )
    return _joined(whole.before, length, kept, play.total)


def _fold(key: jax.Array, *numbers: Array) -> jax.Array:
    for number in numbers:
        key = jax.random.fold_in(key, number)
    return key


def _step(
    play: _Play, keys: jax.Array, t: Array, worlds: Worlds, alive: Bool[Array, "R"]
) -> tuple[Worlds, Trajectories]:
    """One step of every row, each with a key of its own."""
    policy, world = play.policy, play.world
    now = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, t), 3))(keys)
    noise = jax.vmap(lambda key: policy.noise(key, ()))(now[:, 0])
    draws = jax.vmap(world.draw, in_axes=(0, None))(now[:, 1:], play.params)
    obs = worlds.timestep.obs
    decision = policy.act(noise, obs, worlds.carry)
    state, nxt = jax.vmap(world.advance, in_axes=(0, 0, 0, None))(
        draws, worlds.state, policy.to_env(decision.action), play.params
    )
    position = position_of(obs, decision, nxt, alive, ())
    return Worlds(state=state, timestep=nxt, carry=decision.carry), position.replace(value=())


def forced_steps(
    key: jax.Array, world: Standstill, params: Any, worlds: Worlds, policy: Policy, width: int
) -> tuple[Trajectories, Worlds]:
    """What worlds force before the first choice: positions `[P, W]`, and the worlds after them.

    `alive` marks the positions that there are; their `log_prob` is 0.
    """
    count = worlds.timestep.reward.shape[0]
    shapes = jax.eval_shape(
        lambda w: policy.act(
            jax.vmap(lambda k: policy.noise(k, ()))(jax.random.split(key, count)),
            w.timestep.obs,
            jax.vmap(lambda _: policy.carry)(jnp.arange(count)),
        ),
        worlds,
    )
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    action = policy.to_env(nothing.action)

    def step(state: tuple[Worlds, Array], key: jax.Array) -> tuple[Any, Trajectories]:
        worlds, goes_on = state
        draws = jax.vmap(world.draw, in_axes=(0, None))(jax.random.split(key, (count, 2)), params)
        after, nxt = jax.vmap(world.advance, in_axes=(0, 0, 0, None))(
            draws, worlds.state, action, params
        )
        forced = goes_on & ~nxt.chosen & ~nxt.done
        position = position_of(worlds.timestep.obs, nothing, nxt, forced, ())
        state, timestep = select(forced, (after, nxt), (worlds.state, worlds.timestep))
        return (Worlds(state=state, timestep=timestep, carry=()), forced), position

    goes_on = world.alive(worlds.timestep)
    (worlds, _), before = jax.lax.scan(step, (worlds, goes_on), jax.random.split(key, width))
    before = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), before)
    return before.replace(value=()), worlds


def _joined(before: Trajectories, length: Array, after: Trajectories, total: int) -> Trajectories:
    """Prompt and answer of every row behind each other, `[R, total, ...]`; 0 where not alive."""
    steps = after.alive.shape[0]
    index = jnp.arange(total) - length[:, None]
    row = jnp.arange(length.shape[0])[:, None]

    def join(first: Array, then: Array) -> Array:
        room = max(total - first.shape[1], 0)
        first = jnp.pad(first, [(0, 0), (0, room)] + [(0, 0)] * (first.ndim - 2))[:, :total]
        then = then[jnp.clip(index, 0, steps - 1), row]
        return select(index < 0, first.astype(then.dtype), then)

    played = jax.tree.map(join, before, after)
    there = played.alive & (index < steps)
    return select(there, played, jax.tree.map(jnp.zeros_like, played))


def _padded(leaf: Array, missing: int) -> Array:
    return jnp.concatenate([leaf, jnp.repeat(leaf[-1:], missing, axis=0)])


@record
class _Memory:
    """What a text policy remembers; leaves `[B, ...]`."""

    cache: Cache
    seen: Any
    """Tokens that the text has, bool `[B, V]`; () where nobody asks."""
    constraint: Any
    sampling: Sampling


def text_policy(params: Params, config: DecoderConfig, constraint: Anything) -> Policy:
    """A decoder as a policy over tokens, its memory a `_Memory`."""

    def act(noise: Array, obs: Array, carry: _Memory) -> Decision:
        hidden, cache = decode(params, config, obs[:, None], carry.cache)
        logits = head(params, config, hidden[:, 0])
        allowed = constraint.allowed(carry.constraint)
        logits = logits if isinstance(allowed, tuple) else jnp.where(allowed, logits, OUT)
        sampling = jax.tree.map(lambda leaf: leaf[:, None], carry.sampling)
        shaped = logits
        if sampling.repetition_penalty is not None:
            shaped = penalised(logits, carry.seen, sampling.repetition_penalty)
        shaped = truncated(tempered(shaped, sampling.temperature), sampling)
        token = draw(noise, shaped, sampling.temperature)
        seen = carry.seen
        if sampling.repetition_penalty is not None:
            seen = seen.at[jnp.arange(token.shape[0]), token].set(True)
        after = carry.replace(
            cache=cache, seen=seen, constraint=constraint.advance(carry.constraint, token)
        )
        return Decision(
            token, log_prob_of(tempered(logits, sampling.temperature), token), (), after
        )

    def noise(key: jax.Array, lead: tuple[int, ...]) -> Array:
        return jax.random.gumbel(key, (*lead, config.vocabulary), jnp.float32)

    return Policy(noise, act, lambda action: action, (), lambda carry, done: carry)


@dataclasses.dataclass(frozen=True)
class _Text:
    """The world of a text that nobody interrupts: it ends at a stop, or when it is full."""

    stop: tuple[int, ...]
    limit: int
    strings: StopStrings | None

    def alive(self, timestep: TimeStep) -> Array:
        """Whether the text goes on."""
        return ~timestep.done

    def draw(self, keys: jax.Array, params: Any) -> tuple[()]:
        """Chance has no part."""
        return ()

    def begin(self, token: Int[Array, ""]) -> tuple[tuple[Array, Any], TimeStep]:
        """The text before its first token."""
        state = () if self.strings is None else jnp.zeros((), jnp.int32)
        return (jnp.zeros((), jnp.int32), state), first_timestep(token, (), {})

    def advance(self, draw: Any, state: tuple[Array, Any], token: Array, params: Any) -> Any:
        """The text with one more token."""
        count, read = state[0] + 1, state[1]
        found = jnp.isin(token, jnp.asarray(self.stop, jnp.int32))
        if self.strings is not None:
            read = self.strings.advance(read, token)
            found = found | self.strings.found(read)
        timestep = first_timestep(token, (), {})
        full = (count >= self.limit) & ~found
        return (count, read), timestep.replace(terminated=found, truncated=full)


def _prompts(
    prompts: Int[Array, "P W"], lengths: Int[Array, "P"], world: _Text
) -> tuple[Trajectories, Worlds]:
    """Positions before each prompt's last token, and the texts at that token."""
    there = jnp.arange(prompts.shape[1] - 1) < lengths[:, None] - 1
    prompts = prompts.astype(jnp.int32)
    last = jnp.take_along_axis(prompts, lengths[:, None] - 1, axis=1)[:, 0]
    state, timestep = jax.vmap(world.begin)(last)
    nothing, no = jnp.zeros(there.shape, jnp.float32), jnp.zeros(there.shape, bool)
    before = Trajectories(
        obs=prompts[:, :-1],
        action=prompts[:, 1:],
        log_prob=nothing,
        reward=nothing,
        terms={},
        applicable={},
        terminated=no,
        truncated=no,
        alive=there,
        own=no,
        broken=no,
        turn=(),
        group=(),
        info={},
    )
    return before, Worlds(state=state, timestep=timestep, carry=())
