"""The user as a stick figure: the common human in the recorded pose, with the sensed points."""

from __future__ import annotations

import numpy as np

from jaxrl_envs.retarget.characters import make_character
from jaxrl_envs.retarget.draw import Figure, character_figure
from jaxrl_envs.retarget.env import Retarget
from jaxrl_envs.retarget.reference import reference_of


def user_figure(world: Retarget, clip: int, first: int, frames: int) -> Figure:
    """`frames` frames of the user of a clip from frame `first` on (30 Hz), held at its end."""
    human = make_character("human")
    reference, _ = reference_of(human, world.motions[clip], world.spec.max_steps)
    index = np.minimum(first + np.arange(frames), len(reference.qpos) - 1)
    title = f"user: {world.clip_names[clip]}"
    points = np.asarray(reference.points)[index]
    return character_figure(human, np.asarray(reference.qpos)[index], title, marks=points)
