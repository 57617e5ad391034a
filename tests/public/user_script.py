"""What a user writes: a reward term, a world, a learner, a sweep, a checkpoint; fully typed."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import jax.numpy as jnp

import jaxrl_rewards as jr
from jaxrl_rewards.credit import gae, group_advantages
from jaxrl_rewards.losses import kl_estimate
from jaxrl_rewards.rewards import GaussianPoint, gaussian_point_reward, potential_shaping


@jr.record
class Upright(jr.RewardTerm):
    """How upright the pole of CartPole stands; `width` in radians."""

    width: float | jax.Array
    name = "upright"

    def value(self, prev: object, action: jax.Array, nxt: object) -> jax.Array:
        """A Gaussian of the angle."""
        angle: jax.Array = getattr(nxt, "theta")  # noqa: B009
        return jnp.exp(-jnp.square(angle / self.width))


def height(state: object) -> jax.Array:
    """A potential."""
    return jnp.cos(getattr(state, "theta"))  # noqa: B009


def train(out: Path) -> jr.RunResult:
    """PPO under a reward of one's own."""
    env = jr.make("CartPole-v1")
    jr.check_env(env)
    params = env.default_params()
    reward = params.reward + 0.5 * Upright(width=0.1)
    reward = reward + jr.Linear(start=1.0, stop=0.0) * potential_shaping(height, 0.99)
    config = jr.PPOConfig(num_envs=4, unroll_length=8, num_minibatches=2, num_epochs=1, hidden=(8,))
    hparams = jr.PPOHParams(env_params=params.replace(reward=reward)).replace(clip=0.1)
    learner = jr.make_ppo(env, config, hparams=hparams)
    result = jr.run(learner, key=jax.random.key(0), total_updates=2, out_dir=out, progress=False)
    state, update = jr.load_state(out, learner)
    assert update == 2 and state.step == result.state.step
    return result


def kernels() -> jax.Array:
    """Plain functions over arrays, and records that are changed."""
    box = jax.random.uniform(jax.random.key(0), (4,))

    def scored(alpha: jax.Array) -> jax.Array:
        return gaussian_point_reward(box, box, alpha)

    swept = jax.vmap(scored)(jax.random.uniform(jax.random.key(1), (3,)))
    wide = GaussianPoint().replace(alpha=0.9)
    wider = jr.replace(wide, alpha=1.0)
    flags = swept > 2.0
    advantage, _ = gae(swept, swept, swept, flags, flags, 0.99, 0.95)
    relative = group_advantages(swept[None])
    return wider.alpha + advantage.sum() + relative.sum() + kl_estimate(swept, swept).sum()


if __name__ == "__main__":
    print(train(Path(sys.argv[1])).history["reward"], kernels())
