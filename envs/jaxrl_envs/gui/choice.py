"""The choice among candidates as a one-step world: an instruction, where its text may stand, and
"not there".
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrl_envs.gui.candidate_features import FEATURES
from jaxrl_envs.gui.candidates import MOST
from jaxrl_rewards.core import (
    Box,
    DictSpace,
    Discrete,
    EnvSpec,
    TimeStep,
    first_timestep,
    record,
)
from jaxrl_rewards.rewards.base import Reward
from jaxrl_rewards.rewards.spatial import GaussianCoverage, GaussianPoint, point_in_box

TARGETS = 4
NOWHERE = np.array([-9040.0, -9020.0, -9000.0, -9000.0], np.float32)
"""The box that "not there" points at, and the target of what is not on the screen."""
AWAY = np.array([1e6, 1e6, 1.00001e6, 1.00001e6], np.float32)
"""The box of a candidate that is not present: far from every target."""


@record
class Episodes:
    """N instructions with their candidates; K = `MOST` candidates, padded with zeros.

    `right` marks the answers that are right, "not there" (the last) among them.
    """

    features: Float[Array, "N K F"]
    present: Float[Array, "N K"]
    boxes: Float[Array, "N K 4"]
    targets: Float[Array, "N M 4"]
    """Boxes that are right to click; `NOWHERE` first for what is not on the screen."""
    right: Float[Array, "N K+1"]


@record
class ChoiceParams:
    """Numbers of the task: the episodes and the reward."""

    episodes: Episodes
    reward: Reward


@record
class ChoiceState:
    """One instruction and the answer given."""

    obs: dict[str, Array]
    index: Int[Array, ""]
    pred_box: Float[Array, "4"]
    target_box: Float[Array, "4"]
    time: Int[Array, ""]


class ChooseCandidate:
    """Choose the candidate that an instruction means, or none.

    - Observation: `features` float32 `[24, F]` (see `candidate_features.NAMES`) and `present`
      float32 `[24]`.
    - Action: 0 to 23, a candidate; 24, "not there". A candidate that is not present earns nothing.
    - Reward terms: `gaussian_point` and `gaussian_coverage` of the candidate's text box, weights 1,
      against the best of the right boxes; for what is not on the screen "not there" earns all.
    - Termination: after the one answer.
    - Source: the reward is that of Tang et al., "GUI-G²", 2025; the episodes are data
      (`params.episodes`).
    """

    differentiable = False

    def __init__(self, episodes: Episodes, reward: Reward | None = None):
        self._episodes = episodes
        self._reward = (
            1.0 * GaussianPoint() + 1.0 * GaussianCoverage() if reward is None else reward
        )
        observation = DictSpace.of(
            features=Box(-4.0, 4.0, (MOST, FEATURES)), present=Box(0.0, 1.0, (MOST,))
        )
        self.spec = EnvSpec(
            name="gui-choice",
            observation_space=observation,
            action_space=Discrete(MOST + 1),
            max_steps=1,
            term_names=self._reward.names,
        )

    def default_params(self) -> ChoiceParams:
        """The episodes and the published reward."""
        return ChoiceParams(episodes=self._episodes, reward=self._reward)

    def reset(self, key: jax.Array, params: ChoiceParams) -> tuple[ChoiceState, TimeStep]:
        """Draw an instruction."""
        episodes = params.episodes
        index = jax.random.randint(key, (), 0, episodes.present.shape[0])
        obs = {"features": episodes.features[index], "present": episodes.present[index]}
        nothing = jnp.zeros(4, jnp.float32)
        state = ChoiceState(
            obs=obs,
            index=index,
            pred_box=nothing,
            target_box=nothing,
            time=jnp.zeros((), jnp.int32),
        )
        return state, first_timestep(obs, params.reward.names, self._info(state))

    def step(
        self, key: jax.Array, state: ChoiceState, action: Array, params: ChoiceParams
    ) -> tuple[ChoiceState, TimeStep]:
        """Score the answer; the key is not used."""
        episodes = params.episodes
        boxes = jnp.concatenate([episodes.boxes[state.index], jnp.asarray(NOWHERE)[None]])
        known = jnp.append(episodes.present[state.index], 1.0)[action] > 0
        pred = jnp.where(known, boxes[action], jnp.asarray(AWAY))
        target = nearest_box(pred, episodes.targets[state.index])
        nxt = state.replace(pred_box=pred, target_box=target, time=state.time + 1)
        out = params.reward.evaluate(state, action, nxt)
        return nxt, TimeStep(
            obs=state.obs,
            reward=out.total,
            terms=out.terms,
            applicable=out.applicable,
            terminated=jnp.ones((), bool),
            truncated=state.time > 0,
            final_obs=state.obs,
            info=self._info(nxt),
        )

    def _info(self, state: ChoiceState) -> dict[str, Any]:
        middle = (state.pred_box[:2] + state.pred_box[2:]) / 2
        hit = point_in_box(middle, state.target_box) & (state.time > 0)
        return {"hit": hit.astype(jnp.float32)}


def nearest_box(pred: Float[Array, "4"], targets: Float[Array, "M 4"]) -> Float[Array, "4"]:
    """Of the targets with area the one whose middle is nearest, in units of its size."""
    size = targets[:, 2:] - targets[:, :2]
    offset = (pred[:2] + pred[2:] - targets[:, :2] - targets[:, 2:]) / 2
    far = jnp.sum((offset / jnp.maximum(size, 1.0)) ** 2, axis=-1)
    return targets[jnp.argmin(jnp.where(jnp.all(size > 0, axis=-1), far, jnp.inf))]
