"""The grounding task: given a screen and an instruction, point at or outline one element."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrl_envs.gui.actions import decode_box, decode_point
from jaxrl_envs.gui.glyphs import LABELS
from jaxrl_envs.gui.instruct import LENGTH, VOCABULARY, compose
from jaxrl_envs.gui.layout import (
    COLOURS,
    ELEMENTS,
    KINDS,
    Layout,
    LayoutParams,
    ScreenConfig,
    layout_params,
    sample_layout,
)
from jaxrl_envs.gui.metrics import answer_metrics, is_icon_kind, size_class
from jaxrl_envs.gui.render import render
from jaxrl_rewards.core import (
    Box,
    DictSpace,
    EnvSpec,
    InputError,
    MultiDiscrete,
    TimeStep,
    first_timestep,
    record,
)
from jaxrl_rewards.rewards.base import Reward
from jaxrl_rewards.rewards.spatial import GaussianCoverage, GaussianPoint

ACTIONS = ("box", "point", "cell")
OBSERVATIONS = ("pixels", "symbolic")
SPLITS = ("train", "unseen")


@record
class GuiGroundParams:
    """Numbers of the task."""

    layout: LayoutParams
    max_steps: Int[Array, ""]
    reward: Reward


@record
class GuiGroundState:
    """One screen, what is asked, and the answer given."""

    obs: dict[str, Array]
    layout: Layout
    target: Int[Array, ""]
    """Slot of the element meant."""
    form: Int[Array, ""]
    """How it is described: index into `instruct.FORMS`."""
    target_box: Float[Array, "4"]
    """Corners in pixels."""
    pred_box: Float[Array, "4"]
    """The answer in pixels (a point has no area); all 0 before there is one."""
    time: Int[Array, ""]


class GuiGround:
    """Find the element that an instruction means.

    - Observation: `image` uint8 `[H, W, 3]` and `tokens` int32 `[8]` (see `instruct`); with
      `observation="symbolic"` instead of the image `box` float32 `[32, 4]` in 0..1 and
      `attributes` int32 `[32, 5]` (kind, label + 1, colour, parent + 1, valid).
    - Action: "box", four coordinate tokens x1, y1, x2, y2 of `bins` values each; "point", x and y
      as fractions of the screen, float32 in [0, 1], clipped; "cell", column and row of a grid of
      `bins` by `bins`, meaning the cell's centre.
    - Reward terms: `gaussian_point` and, for boxes, `gaussian_coverage`, weights 1.
    - Termination: after the one answer. Never truncated, unless stepped past the end.
    - Source: screens are our own; the reward is that of Tang et al., "GUI-G²", 2025.

    `split="unseen"` draws held-out screens; `unseen` names the axes held out (`layout.SHIFTS`),
    all by default. `scale` is the size of a glyph's pixel.
    """

    differentiable = True

    def __init__(
        self,
        width: int = 64,
        height: int = 64,
        *,
        action: str = "box",
        observation: str = "pixels",
        split: str = "train",
        unseen: tuple[str, ...] | None = None,
        instructions: str = "mixed",
        bins: int = 64,
        scale: int = 1,
    ):
        for name, value, known in (
            ("action", action, ACTIONS),
            ("observation", observation, OBSERVATIONS),
            ("split", split, SPLITS),
            ("instructions", instructions, ("mixed", "shortest")),
        ):
            if value not in known:
                raise InputError(f"{name} {value!r} is unknown; choose one of {known}")
        if bins < 2:
            raise InputError(f"bins must be at least 2, got {bins}")
        if unseen is not None and split == "train":
            raise InputError(f"unseen={unseen} needs split='unseen'; the split is 'train'")
        self.config = ScreenConfig(width, height, scale)
        self.action, self.observation, self.bins = action, observation, bins
        self._instructions = instructions
        held_out = True if unseen is None else tuple(unseen)
        self._unseen = held_out if split == "unseen" else ()
        terms = ("gaussian_point", "gaussian_coverage") if action == "box" else ("gaussian_point",)
        self.spec = EnvSpec(
            name="gui-ground",
            observation_space=self._observation_space(),
            action_space={
                "box": MultiDiscrete((bins,) * 4),
                "point": Box(0.0, 1.0, (2,)),
                "cell": MultiDiscrete((bins,) * 2),
            }[action],
            max_steps=1,
            term_names=terms,
        )

    def default_params(self) -> GuiGroundParams:
        """The published reward and the screens of the split."""
        reward = 1.0 * GaussianPoint()
        if self.action == "box":
            reward = reward + 1.0 * GaussianCoverage()
        return GuiGroundParams(
            layout=layout_params(self._unseen),
            max_steps=jnp.asarray(1, jnp.int32),
            reward=reward,
        )

    def reset(self, key: jax.Array, params: GuiGroundParams) -> tuple[GuiGroundState, TimeStep]:
        """A new screen with an instruction."""
        key_layout, key_instruction = jax.random.split(key)
        layout = sample_layout(key_layout, self.config, params.layout)
        task = compose(key_instruction, layout, self._instructions)
        obs = self.observe(layout, task.tokens)
        state = GuiGroundState(
            obs=obs,
            layout=layout,
            target=task.target,
            form=task.form,
            target_box=layout.box[task.target],
            pred_box=jnp.zeros((4,), jnp.float32),
            time=jnp.zeros((), jnp.int32),
        )
        return state, first_timestep(obs, params.reward.names, self._info(state))

    def step(
        self, key: jax.Array, state: GuiGroundState, action: Array, params: GuiGroundParams
    ) -> tuple[GuiGroundState, TimeStep]:
        """Score the answer; the key is not used."""
        nxt = state.replace(pred_box=self.decode(action), time=state.time + 1)
        out = params.reward.evaluate(state, action, nxt)
        terminated = jnp.ones((), bool)
        return nxt, TimeStep(
            obs=state.obs,
            reward=out.total,
            terms=out.terms,
            applicable=out.applicable,
            terminated=terminated,
            truncated=(nxt.time >= params.max_steps) & (state.time > 0),
            final_obs=state.obs,
            info=self._info(nxt),
        )

    def decode(self, action: Array) -> Float[Array, "4"]:
        """The box in pixels that an action means; points as boxes without area."""
        width, height = self.config.width, self.config.height
        if self.action == "box":
            return decode_box(action, width, height, self.bins)
        if self.action == "cell":
            point = decode_point(action, width, height, self.bins)
        else:
            clean = jnp.clip(jnp.where(jnp.isnan(action), 0.0, action), 0.0, 1.0)
            point = clean.astype(jnp.float32) * np.asarray([width, height], np.float32)
        return jnp.concatenate([point, point])

    def observe(self, layout: Layout, tokens: Int[Array, "8"]) -> dict[str, Array]:
        """What the policy sees of a screen and an instruction."""
        if self.observation == "pixels":
            return {"image": render(layout, self.config), "tokens": tokens}
        size = np.asarray([self.config.width, self.config.height] * 2, np.float32)
        attributes = [layout.kind, layout.label + 1, layout.colour, layout.parent + 1]
        return {
            "box": layout.box / size,
            "attributes": jnp.stack([*attributes, layout.valid.astype(jnp.int32)], axis=-1),
            "tokens": tokens,
        }

    def _observation_space(self) -> DictSpace:
        tokens = Box(0, VOCABULARY - 1, (LENGTH,), jnp.int32)
        if self.observation == "pixels":
            shape = (self.config.height, self.config.width, 3)
            return DictSpace.of(image=Box(0, 255, shape, jnp.uint8), tokens=tokens)
        high = ((len(KINDS) - 1, LABELS, len(COLOURS) - 1, ELEMENTS, 1),) * ELEMENTS
        attributes = Box(0, high, (ELEMENTS, 5), jnp.int32)
        return DictSpace.of(box=Box(0.0, 1.0, (ELEMENTS, 4)), attributes=attributes, tokens=tokens)

    def _info(self, state: GuiGroundState) -> dict[str, Any]:
        answered = state.time > 0
        values = answer_metrics(state.pred_box, state.target_box)
        values = {name: jnp.where(answered, value, 0.0) for name, value in values.items()}
        return values | {
            "is_icon": is_icon_kind(state.layout.kind[state.target]),
            "size": size_class(state.target_box, self.config.width, self.config.height),
            "form": state.form,
        }
