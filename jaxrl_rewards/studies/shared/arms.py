"""Arms times seeds under one compile, and numbers that are read off their curves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Report = Callable[[str, float], None]


def portion(report: Report, start: float, stop: float, name: str = "") -> Report:
    """A `report` for one part of the work, from the share `start` of the whole to `stop`."""

    def progress(text: str, fraction: float) -> None:
        report(name + text, start + fraction * (stop - start))

    return progress


class Trained(NamedTuple):
    """One arm after training: arrays with a leading axis of seeds."""

    curves: dict[str, np.ndarray]
    """Metrics `[seeds, updates, ...]`: those of the updates that were kept, and `watch`'s."""
    final: dict[str, np.ndarray]
    """What `evaluate` measured, `[seeds, ...]`."""


def train_arms(
    learner: Any,
    arms: Mapping[str, Any],
    keys: jax.Array,
    updates: int,
    evaluate: Callable[[Any, Any, jax.Array], dict[str, Any]] | None = None,
    *,
    keep: tuple[str, ...] = (),
    watch: Callable[[Any, Any], dict[str, Any]] | None = None,
    together: bool = False,
    report: Report = lambda text, fraction: None,
) -> dict[str, Trained]:
    """Train every arm on every seed; `arms[name]` are the hyper-parameters that make the arm.

    Arms differ in leaves of their hyper-parameters only, so that one compile serves them all;
    ValueError names an arm whose tree, shapes or dtypes differ. `keys` `[seeds]` start the seeds;
    all arms share them.

    `keep` names metrics of `learner.update` to hold on to; `watch(state, hparams)` measures after
    every update; `evaluate(state, hparams, key)` at the end, with a key of its own per seed. Arms
    run one after another, so that progress shows between them; with `together` they are an axis of
    one call, which fills an accelerator better. The numbers of an arm that stands alone are
    compiled in.
    """
    _check_alike(arms)

    def one(key: jax.Array, hparams: Any) -> tuple[dict, dict]:
        def update(state, _):
            state, metrics = learner.update(state, hparams)
            kept = {name: metrics[name] for name in keep}
            return state, kept | (watch(state, hparams) if watch else {})

        state, curves = jax.lax.scan(update, learner.init(key, hparams), None, length=updates)
        final = evaluate(state, hparams, jax.random.fold_in(key, 1)) if evaluate else {}
        return curves, final

    over_seeds = jax.vmap(one, (0, None))
    if len(arms) == 1:
        ((name, hparams),) = arms.items()
        report(name, 0.0)
        return {name: Trained(*jax.device_get(jax.jit(lambda k: over_seeds(k, hparams))(keys)))}
    if together:
        report("training", 0.0)
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *arms.values())
        found = jax.device_get(jax.jit(jax.vmap(over_seeds, (None, 0)))(keys, stacked))
        return {
            name: Trained(*jax.tree.map(lambda leaf, i=index: leaf[i], found))
            for index, name in enumerate(arms)
        }
    program, trained = jax.jit(over_seeds), {}
    for index, (name, hparams) in enumerate(arms.items()):
        report(name, index / len(arms))
        trained[name] = Trained(*jax.device_get(program(keys, jax.tree.map(jnp.asarray, hparams))))
    return trained


def train_runs(
    learner: Any,
    place: Callable[[Any, Any], Any],
    each: Any,
    shared: Any,
    keys: jax.Array,
    updates: int,
    chunk: int,
    report: Report = lambda text, fraction: None,
) -> tuple[Any, dict[str, np.ndarray]]:
    """Train arms and seeds as one axis of runs, so that each step calls a shared engine once.

    `place(arm, shared)` makes a run's hyper-parameters from its slice of `each` (leaves `[runs]`)
    and from what all runs share, which is not copied. Returns the final states `[runs]` and the
    metrics' means per `chunk` updates, `[runs, chunks]`.
    """

    def start(key, arm, shared):
        return learner.init(key, place(arm, shared))

    def advance(state, arm, shared):
        def body(state, _):
            return learner.update(state, place(arm, shared))

        state, metrics = jax.lax.scan(body, state, None, length=chunk)
        return state, jax.tree.map(lambda values: values.mean(axis=0), metrics)

    state = jax.jit(jax.vmap(start, (0, 0, None)))(keys, each, shared)
    run = jax.jit(jax.vmap(advance, (0, 0, None)), donate_argnums=0)
    history = []
    for done in range(0, updates, chunk):
        report(f"update {done} of {updates}", done / updates)
        state, metrics = run(state, each, shared)
        history.append(jax.device_get(metrics))
    return state, jax.tree.map(lambda *values: np.stack(values, axis=-1), *history)


def as_runs(arms: Mapping[str, Any], keys: jax.Array) -> tuple[Any, jax.Array]:
    """Every arm with every seed, as one axis of runs: the arms, leaves `[arms * seeds]`, and the
    keys. Arms are one tree with different numbers."""
    repeated = [arm for arm in arms.values() for _ in keys]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *repeated)
    return stacked, jnp.stack(list(keys) * len(arms))


def by_arm(values: Mapping[str, Any], arms: Iterable[str]) -> dict[str, dict[str, np.ndarray]]:
    """Arrays `[arms * seeds, ...]` of such runs, arm by arm, as `[seeds, ...]`."""
    names = list(arms)
    parts = {name: np.split(np.asarray(value), len(names)) for name, value in values.items()}
    return {arm: {name: part[i] for name, part in parts.items()} for i, arm in enumerate(names)}


def first_at(curve: np.ndarray, x: np.ndarray, level: float) -> np.ndarray:
    """The `x` `[points]` at which each row of `curve` `[seeds, points]` is first at `level` or
    above, float64 `[seeds]`; NaN where it never is."""
    reached = np.asarray(curve) >= level
    return np.where(reached.any(axis=1), np.asarray(x, np.float64)[reached.argmax(axis=1)], np.nan)


def between(curve: np.ndarray, x: np.ndarray, level: float) -> np.ndarray:
    """Like `first_at`, with straight lines between the points, so that arms are compared more
    finely than these lie."""
    reached = curve >= level
    after = reached.argmax(axis=1)
    before = np.maximum(after - 1, 0)
    seed = np.arange(len(curve))
    low, high = curve[seed, before], curve[seed, after]
    share = np.where(high > low, (level - low) / np.where(high > low, high - low, 1.0), 0.0)
    place = x[before] + np.clip(share, 0.0, 1.0) * (x[after] - x[before])
    return np.where(reached.any(axis=1), place, np.nan)


def share_row(curve: np.ndarray, episodes: np.ndarray, counted: Any = ...) -> dict[str, list]:
    """What a table says of shares of the optimal value `[seeds, points]` that a learner reaches:
    their mean over the points `counted` (all), the first at 90 %, and the last."""
    return per_seed(
        {
            "mean share": curve[:, counted].mean(axis=1),
            "episodes to 90 %": first_at(curve, episodes, 0.9),
            "last share": curve[:, -1],
        }
    )


def window_sum(values: np.ndarray, window: int) -> np.ndarray:
    """Sums over the last `window` columns, fewer at the beginning; `[seeds, points]`."""
    total = np.cumsum(values, axis=1)
    total[:, window:] -= total[:, :-window].copy()
    return total


def per_seed(numbers: Mapping[str, Any]) -> dict[str, list[float]]:
    """Arrays `[seeds]` as the lists of floats that a result's table holds."""
    return {name: np.asarray(value, np.float64).tolist() for name, value in numbers.items()}


def _check_alike(arms: Mapping[str, Any]) -> None:
    def form(tree: Any) -> Any:
        leaves, structure = jax.tree.flatten(tree)
        return structure, [(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves]

    first, *others = arms
    for name in others:
        if form(arms[name]) != form(arms[first]):
            raise ValueError(
                f"the arms {first!r} and {name!r} differ in more than numbers; give each its own "
                "call, or the same terms with weight 0"
            )
