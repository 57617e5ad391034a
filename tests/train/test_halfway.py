"""Loops outside the runner go on from where they were stopped."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.train.halfway import Halfway, Stopped
from jaxrl_rewards.train.signals import StopRequest

STEPS = 11


def train(path, stop=None, at=None, how=None):
    """A loop with parameters, a generator and curves; at step `at` it is cut off by `how`."""
    halfway = Halfway(path, every=3, stop=stop)
    state, curve, first = {"w": jnp.zeros(2), "n": jnp.int32(0)}, [], 0
    generator = np.random.default_rng(0)
    found = halfway.load(state)
    if found is not None:
        state, about = found
        generator.bit_generator.state = about["generator"]
        curve, first = about["curve"], about["step"]
    for step in range(first + 1, STEPS + 1):
        state = {"w": state["w"] * 0.9 + generator.random(2), "n": state["n"] + 1}
        curve.append(float(state["w"][0]))
        if step == at:
            how()
        about = {"generator": generator.bit_generator.state, "curve": curve}
        halfway.step(step, STEPS, state, about)
    return jax.device_get(state), curve, STEPS - first


def same(one, two):
    return one[1] == two[1] and one[0]["w"].tobytes() == two[0]["w"].tobytes()


def die():
    raise KeyboardInterrupt


@pytest.mark.parametrize("at", range(1, STEPS + 1))
def test_cut_off_at_any_step(at, tmp_path):
    whole = train(None)
    path = tmp_path / "deep" / "state.npz"
    with pytest.raises(KeyboardInterrupt):
        train(path, at=at, how=die)
    rest = train(path)
    assert same(rest, whole) and rest[2] == STEPS - (at - 1) // 3 * 3
    again = train(path)
    assert same(again, whole) and again[2] == 0


def test_a_signal_saves_at_once(tmp_path):
    path = tmp_path / "state.npz"
    with StopRequest() as stop, pytest.raises(Stopped) as caught:
        train(path, stop, at=5, how=lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert caught.value.number == signal.SIGTERM
    rest = train(path)
    assert rest[2] == STEPS - 5 and same(rest, train(None))


@pytest.mark.parametrize("kind", ["flip", "short", "empty", "other"])
def test_what_is_damaged_or_of_another_loop_begins_anew_and_says_so(kind, tmp_path):
    path = tmp_path / "state.npz"
    whole = train(path)
    data = bytearray(path.read_bytes())
    data[data.index(b'"step"') + 3] ^= 4
    if kind == "other":
        Halfway(path, every=1).step(1, 1, {"w": jnp.zeros(3)}, {})
    else:
        path.write_bytes({"flip": bytes(data), "short": data[:90], "empty": b""}[kind])
    with pytest.warns(RuntimeWarning, match="begins anew"):
        again = train(path)
    assert same(again, whole) and again[2] == STEPS


@pytest.mark.slow
def test_train_gui_goes_on_after_a_signal_to_the_same_policy(tmp_path, monkeypatch):
    from jaxrl_rewards.studies.gui_g2.train import data, pretraining, training
    from jaxrl_rewards.studies.gui_g2.train.checkpoint import load_checkpoint
    from jaxrl_rewards.studies.gui_g2.train.config import PointingConfig

    make = data.make_screens

    def fewer(config, *, count=None, **others):
        return make(config, count=min(count or config.screens, 8), **others)

    for module in (training, pretraining):
        monkeypatch.setattr(module, "make_screens", fewer)
    config = PointingConfig(
        screens=8, patches=8, read_steps=4, point_steps=4, patch_batch=2, batch=2, instructions=2,
        refine_updates=3, report_every=2, system_fonts=False,
    )  # fmt: skip
    training.train(config, tmp_path / "whole", progress=False)
    step = Halfway.step
    for number in (3, 6, 10):

        def stopped(self, *arguments, at=number):
            stopped.steps += 1
            if stopped.steps == at:
                os.kill(os.getpid(), signal.SIGHUP)
            step(self, *arguments)

        stopped.steps = 0
        monkeypatch.setattr(Halfway, "step", stopped)
        folder = tmp_path / str(number)
        with pytest.raises(Stopped):
            training.train(config, folder, progress=False)
        monkeypatch.setattr(Halfway, "step", step)
        training.train(config, folder, progress=False, resume=True)
        first, second = (
            load_checkpoint(tmp_path / name / "gui_reader.npz") for name in ("whole", str(number))
        )
        for one, other in zip(jax.tree.leaves(first.params), jax.tree.leaves(second.params)):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(first.corpus, second.corpus)
