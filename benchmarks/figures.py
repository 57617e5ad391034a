"""The figures of README and documentation, drawn from runs that this script makes.

    python -m benchmarks.figures                # all of them; about six minutes on one core
    python -m benchmarks.figures --only sweep   # one: learning, sweep or gradient

Each run is the code block that stands beside the picture. Next to each PNG lies a JSON file with
the numbers drawn, the versions, the machine and the date.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.files import atomic_write_bytes, atomic_write_json
from jaxrl_rewards.studies.provenance import provenance
from jaxrl_rewards.train.compilation import configure_cpu

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pages" / "figures"
LIMIT_BYTES = 100_000
_BLUE, _RED, _GREY = "#2a6f97", "#c0562b", "#777777"
Numbers = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the runs, write the pictures and the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=list(FIGURES), default=list(FIGURES))
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        run, draw = FIGURES[name]
        began = time.perf_counter()
        numbers = run()
        command = f"python -m benchmarks.figures --only {name}"
        record = numbers | provenance(command, time.perf_counter() - began)
        picture = _png(draw, numbers)
        atomic_write_bytes(options.out / f"{name}.png", picture)
        atomic_write_json(options.out / f"{name}.json", record)
        print(f"{name}.png: {len(picture):,} bytes, {record['seconds']} s")
    return 0


# ---------------------------------------------------------------- the runs


def rewarded_pendulum() -> tuple[Any, Any, Any]:
    """The environment of all three figures, its recipe, and its parameters by torque weight."""
    import jax.numpy as jnp

    from jaxrl_rewards import envs, learners, rewards

    env, recipe = envs.make("Pendulum-v1"), learners.preset("Pendulum-v1")
    upright = rewards.reward_term(lambda prev, action, nxt: jnp.cos(nxt.theta), name="upright")
    effort = rewards.reward_term(lambda prev, action, nxt: -jnp.square(action), name="effort")

    def params(weight: Any) -> Any:
        return env.default_params().replace(reward=1.0 * upright + weight * effort)

    return env, recipe, params


def learning() -> Numbers:
    """Four seeds of PPO with the recipe, under a reward of two terms."""
    import jax
    import numpy as np

    from jaxrl_rewards import learners, train

    env, recipe, params = rewarded_pendulum()
    ppo = learners.make_ppo(env, recipe.config, hparams=recipe.hparams(params(0.01)))
    result = train.run(
        ppo, key=jax.random.key(0), total_updates=recipe.updates, num_seeds=4, chunk_updates=5
    )
    steps = np.asarray(result.history["update"]) * ppo.samples_per_update
    return {"steps": steps.tolist(), "upright": np.asarray(result.history["term/upright"]).tolist()}


def sweep() -> Numbers:
    """32 weights of the effort term, each with its own policy, in one compiled program."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxrl_rewards import learners, train

    env, recipe, params = rewarded_pendulum()
    weights = jnp.logspace(-2.0, 1.0, 32)
    hparams = jax.vmap(lambda weight: recipe.hparams(params(weight)))(weights)
    ppo = learners.make_ppo(env, recipe.config, hparams=recipe.hparams(params(0.0)))
    result = train.run(
        ppo,
        hparams,
        key=jax.random.key(0),
        total_updates=recipe.updates,
        num_seeds=32,
        vmap_hparams=True,
    )
    last = {
        name: np.asarray(result.history[f"term/{name}"])[-1].tolist()
        for name in ("upright", "effort")
    }
    return {"weights": weights.tolist(), **last}


def gradient() -> Numbers:
    """How the return after K updates depends on a weight, and the slope that autodiff gives."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxrl_rewards import learners

    env, recipe, params = rewarded_pendulum()
    ppo = learners.make_ppo(env, recipe.config, hparams=recipe.hparams(params(0.1)))
    start = jax.jit(ppo.init)(jax.random.key(0), ppo.hparams)
    starts = jnp.linspace(-0.5, 0.5, 8)

    def upright_after(weight: Any, updates: int) -> Any:
        hparams = recipe.hparams(params(weight))
        state, _ = jax.lax.scan(
            lambda state, _: ppo.update(state, hparams), start, None, length=updates
        )
        return mean_upright(env, ppo, state, params(0.1), starts)

    weights = np.linspace(0.0, 0.4, 41)
    numbers: Numbers = {"weights": weights.tolist(), "at": 0.1}
    for updates in (1, 5, 20):
        curve = jax.jit(jax.vmap(lambda weight, k=updates: upright_after(weight, k)))
        slope = jax.jit(jax.grad(lambda weight, k=updates: upright_after(weight, k)))
        numbers[f"{updates} updates"] = np.asarray(curve(jnp.asarray(weights))).tolist()
        numbers[f"slope after {updates}"] = float(slope(0.1))
    return numbers


def mean_upright(env: Any, ppo: Any, state: Any, env_params: Any, angles: Any) -> Any:
    """Mean of cos(angle) over 40 steps of the most likely actions, from each starting angle."""
    import jax
    import jax.numpy as jnp

    key = jax.random.key(1)

    def play(angle: Any) -> Any:
        begin, _ = env.reset(key, env_params)
        begin = begin.replace(theta=angle, theta_dot=jnp.zeros(()))

        def step(world: Any, _: Any) -> tuple[Any, Any]:
            seen = jnp.stack([jnp.cos(world.theta), jnp.sin(world.theta), world.theta_dot])
            action, _ = ppo.act(state, seen, None, key)
            after, _ = env.step(key, world, action, env_params)
            return after, jnp.cos(after.theta)

        return jnp.mean(jax.lax.scan(step, begin, None, length=40)[1])

    return jnp.mean(jax.vmap(play)(angles))


# ---------------------------------------------------------------- the pictures


def draw_learning(figure: Any, numbers: Numbers) -> None:
    """Mean and range over seeds of how upright the pendulum stands."""
    import numpy as np

    axis = figure.subplots()
    values = np.asarray(numbers["upright"])
    steps = np.asarray(numbers["steps"]) / 1000
    axis.fill_between(steps, values.min(1), values.max(1), color=_BLUE, alpha=0.2, lw=0)
    axis.plot(steps, values.mean(1), color=_BLUE)
    axis.axhline(1.0, color=_GREY, lw=0.8, ls=":")
    axis.set(xlabel="environment steps (thousands)", ylabel="mean of cos(angle); 1 is upright")
    axis.set_title(f"PPO on Pendulum-v1, mean and range of {values.shape[1]} seeds", fontsize=10)


def draw_sweep(figure: Any, numbers: Numbers) -> None:
    """What each weight made of the policy."""
    import numpy as np

    axis = figure.subplots()
    weights = numbers["weights"]
    axis.plot(weights, numbers["upright"], "o-", ms=4, color=_BLUE, label="mean of cos(angle)")
    torque = -np.asarray(numbers["effort"])
    axis.plot(weights, torque, "s-", ms=3, color=_RED, label="mean squared torque")
    axis.set(xscale="log", xlabel="weight of the effort term", ylabel="after training")
    axis.legend(frameon=False, fontsize=8)
    axis.set_title("32 rewards, 32 policies, one compiled program", fontsize=10)


def draw_gradient(figure: Any, numbers: Numbers) -> None:
    """The outer objective after 1, 5 and 20 updates, with its tangent at one weight."""
    import numpy as np

    weights, at = np.asarray(numbers["weights"]), numbers["at"]
    for axis, updates in zip(figure.subplots(1, 3), (1, 5, 20), strict=True):
        values, slope = np.asarray(numbers[f"{updates} updates"]), numbers[f"slope after {updates}"]
        axis.plot(weights, values, color=_BLUE)
        here = np.interp(at, weights, values)
        axis.plot(weights, here + slope * (weights - at), color=_RED, ls="--", lw=1)
        axis.plot([at], [here], "o", color=_RED, ms=4)
        room = 0.3 * (np.ptp(values) + 1e-4)
        axis.set_ylim(values.min() - room, values.max() + room)
        axis.set_title(f"after {updates} update{'s' * (updates > 1)}", fontsize=10)
        axis.set_xlabel("weight of the effort term")
        axis.tick_params(labelsize=7)
    figure.axes[0].set_ylabel("mean of cos(angle)")


FIGURES: dict[str, tuple[Callable[[], Numbers], Callable[[Any, Numbers], None]]] = {
    "learning": (learning, draw_learning),
    "sweep": (sweep, draw_sweep),
    "gradient": (gradient, draw_gradient),
}


def _png(draw: Callable[[Any, Numbers], None], numbers: Numbers) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0 if draw is draw_gradient else 6.0, 3.0), layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure, numbers)
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, metadata={"Software": None})
    data = buffer.getvalue()
    assert len(data) <= LIMIT_BYTES, f"a figure of {len(data):,} bytes; draw it smaller"
    return data


if __name__ == "__main__":
    configure_cpu()
    sys.exit(main())
