"""What reward programs may read of a step in each world: names, units, sizes, meanings, values.

A world tells by itself: a table `quantities: dict[str, Quantity]`, and either a function
`measure(prev, action, nxt) -> dict[str, Array]` or states with a field `quantities`. For the
worlds of control that have no such table it stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from jaxrl_rewards.core import Env, InputError, Quantity

Values = dict[str, Array]


class Measured(NamedTuple):
    """The quantities of a world and how they are read off a step."""

    table: dict[str, Quantity]
    measure: Callable[[Any, Any, Any], Values]
    """`(prev, action, nxt) -> values by name`, float32, in the shapes of the table."""


def quantities_of(env: Env) -> Measured:
    """The quantities of a world; InputError where it has none."""
    table: Mapping[str, Quantity] | None = getattr(env, "quantities", None)
    if table:
        measure: Any = getattr(env, "measure", None)
        return Measured(dict(table), measure or _of_state)
    found = WORLDS.get(type(env).__name__)
    if found is None:
        raise InputError(
            f"world {env.spec.name!r} has no named quantities for reward programs to read; give "
            "a function instead (--reward FILE.py:FUNCTION), or its class a table `quantities` "
            "and a function `measure(prev, action, nxt)`"
        )
    return found


def _of_state(prev: Any, action: Any, nxt: Any) -> Values:
    return nxt.quantities


CARTPOLE = {
    "position": Quantity((), "m", 1.0, 0, "Place of the cart, 0 in the middle, ±2.4 at the ends."),
    "off_centre": Quantity((), "m", 1.0, -1, "Distance of the cart from the middle."),
    "speed": Quantity((), "m/s", 1.0, -1, "Speed of the cart, without sign."),
    "angle": Quantity((), "rad", 0.1, -1, "Angle of the pole from upright, without sign."),
    "turning": Quantity((), "rad/s", 1.0, -1, "Angular velocity of the pole, without sign."),
    "righting": Quantity((), "rad", 0.02, 1, "How much nearer to upright the pole got."),
}


def cartpole(prev: Any, action: Any, nxt: Any) -> Values:
    """Of `CartPole`."""
    return {
        "position": nxt.x,
        "off_centre": jnp.abs(nxt.x),
        "speed": jnp.abs(nxt.x_dot),
        "angle": jnp.abs(nxt.theta),
        "turning": jnp.abs(nxt.theta_dot),
        "righting": jnp.abs(prev.theta) - jnp.abs(nxt.theta),
    }


PENDULUM = {
    "angle": Quantity((), "rad", 1.5, -1, "Angle from upright, without sign."),
    "speed": Quantity((), "rad/s", 4.0, -1, "Angular velocity, without sign."),
    "height": Quantity((), "lengths", 1.0, 1, "Height of the tip: 1 upright, -1 hanging."),
    "rise": Quantity((), "lengths", 0.3, 1, "How much higher the tip got in this step."),
    "energy": Quantity((), "J", 5.0, 1, "Energy above that of standing upright."),
    "surplus": Quantity((), "J", 5.0, -1, "Energy away from that of standing upright."),
    "torque": Quantity((), "Nm", 2.0, -1, "Torque of the motor, without sign."),
    "side": Quantity((), "lengths", 1.0, 0, "How far the tip is to one side."),
}


def pendulum(prev: Any, action: Any, nxt: Any) -> Values:
    """Of `Pendulum` with mass and length 1 and gravity 10."""
    height = jnp.cos(nxt.theta)
    energy = jnp.square(nxt.theta_dot) / 6.0 + 5.0 * (height - 1.0)
    return {
        "angle": jnp.abs(nxt.theta),
        "speed": jnp.abs(nxt.theta_dot),
        "height": height,
        "rise": height - jnp.cos(prev.theta),
        "energy": energy,
        "surplus": jnp.abs(energy),
        "torque": jnp.abs(action),
        "side": jnp.sin(nxt.theta),
    }


MOUNTAIN_CAR = {
    "position": Quantity((), "lengths", 0.5, 1, "Place of the car; the goal is at 0.5."),
    "speed": Quantity((), "lengths/step", 0.03, 1, "Speed, without sign."),
    "height": Quantity((), "lengths", 0.5, 1, "Height of the car on the hill, sin(3 position)."),
    "rise": Quantity((), "lengths", 0.02, 1, "How much higher the car got in this step."),
    "energy": Quantity((), "gravity", 0.5, 1, "Height and speed together, as mechanical energy."),
    "arrived": Quantity((), "flag", 1.0, 1, "1 in the step that reaches the goal."),
}


def mountain_car(prev: Any, action: Any, nxt: Any) -> Values:
    """Of both cars; gravity is 0.0025 there, and the hill `sin(3 position)`."""
    height = jnp.sin(3.0 * nxt.position)
    return {
        "position": nxt.position,
        "speed": jnp.abs(nxt.velocity),
        "height": height,
        "rise": height - jnp.sin(3.0 * prev.position),
        "energy": height / 3.0 + jnp.square(nxt.velocity) / (2.0 * 0.0025),
        "arrived": nxt.at_goal.astype(jnp.float32),
    }


ACROBOT = {
    "height": Quantity((), "lengths", 1.0, 1, "Height of the tip over the pivot, -2 to 2."),
    "rise": Quantity((), "lengths", 0.2, 1, "How much higher the tip got in this step."),
    "elbow": Quantity((), "lengths", 1.0, 1, "Height of the joint between the links, -1 to 1."),
    "speed_1": Quantity((), "rad/s", 3.0, 0, "Angular velocity of the first link, without sign."),
    "speed_2": Quantity((), "rad/s", 5.0, 0, "Angular velocity of the second, without sign."),
    "arrived": Quantity((), "flag", 1.0, 1, "1 in the step that reaches the line."),
}


def acrobot(prev: Any, action: Any, nxt: Any) -> Values:
    """Of `Acrobot`."""

    def tip(state: Any) -> Array:
        return -jnp.cos(state.theta_1) - jnp.cos(state.theta_1 + state.theta_2)

    return {
        "height": tip(nxt),
        "rise": tip(nxt) - tip(prev),
        "elbow": -jnp.cos(nxt.theta_1),
        "speed_1": jnp.abs(nxt.theta_1_dot),
        "speed_2": jnp.abs(nxt.theta_2_dot),
        "arrived": nxt.at_goal.astype(jnp.float32),
    }


GRIDWORLD = {
    "at_goal": Quantity((), "flag", 1.0, 1, "1 in the step that enters a goal."),
    "fell": Quantity((), "flag", 1.0, -1, "1 in the step that leads into a pit."),
    "new_key": Quantity((), "flag", 1.0, 1, "1 in the step that picks up a key."),
    "keys": Quantity((), "keys", 1.0, 1, "Number of keys held."),
    "stayed": Quantity((), "flag", 1.0, -1, "1 if the step led nowhere: a wall or a shut door."),
    "steps": Quantity((), "steps", 50.0, 0, "Steps taken in this episode, this one included."),
}


def gridworld(prev: Any, action: Any, nxt: Any) -> Values:
    """Of `GridWorld` on any map."""
    held = [(keys >> jnp.arange(16)) & 1 for keys in (prev.keys, nxt.keys)]
    values = {
        "at_goal": nxt.at_goal,
        "fell": nxt.fell,
        "new_key": nxt.keys != prev.keys,
        "keys": held[1].sum(),
        "stayed": nxt.entered == prev.cell,
        "steps": nxt.time,
    }
    return {name: value.astype(jnp.float32) for name, value in values.items()}


CONTINUOUS_GRID = {
    "position": Quantity((2,), "side lengths", 0.5, 0, "Place of the agent, across and up."),
    "moved": Quantity((), "side lengths", 0.05, 0, "How far the step led."),
    "at_goal": Quantity((), "flag", 1.0, 1, "1 in the step that enters the goal."),
    "bonus": Quantity((), "visits", 1.0, 1, "Parts of the step that ended in the bonus box, 0-4."),
    "distance2": Quantity((), "squared", 1.0, -1, "Squared distance to the target, summed."),
}


def continuous_grid(prev: Any, action: Any, nxt: Any) -> Values:
    """Of `ContinuousGridWorld`."""
    return {
        "position": nxt.position,
        "moved": jnp.sqrt(jnp.sum(jnp.square(nxt.position - prev.position)) + 1e-12),
        "at_goal": nxt.at_goal.astype(jnp.float32),
        "bonus": nxt.bonus_visits,
        "distance2": nxt.squared_distance,
    }


WORLDS: dict[str, Measured] = {
    "CartPole": Measured(CARTPOLE, cartpole),
    "Pendulum": Measured(PENDULUM, pendulum),
    "MountainCar": Measured(MOUNTAIN_CAR, mountain_car),
    "MountainCarContinuous": Measured(MOUNTAIN_CAR, mountain_car),
    "Acrobot": Measured(ACROBOT, acrobot),
    "GridWorld": Measured(GRIDWORLD, gridworld),
    "ContinuousGridWorld": Measured(CONTINUOUS_GRID, continuous_grid),
}
"""By the name of the world's class."""
