"""The study of annotated messages, small; and a learner beside annotators that misbehave."""

import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.learners import seed_axes
from jaxrl_rewards.studies.api import StudyResult
from jaxrl_rewards.studies.oni.arms import ARMS, PANELS, Arm, OniConfig
from jaxrl_rewards.studies.oni.claim import claim
from jaxrl_rewards.studies.oni.study import STUDY
from jaxrl_rewards.studies.oni.training import make_world, train_arm
from jaxrl_rewards.studies.shared.arms import window_sum
from jaxrl_rewards.train.annotation import (
    AnnotationService,
    AnnotationSettings,
    LabelTable,
    ScriptedAnnotator,
)
from jaxrl_rewards.train.checkpoint import load_state

TINY = OniConfig(seeds=2, num_envs=8, unroll_length=16)


@pytest.fixture(scope="module")
def world():
    return make_world(TINY, rooms=4, numbered=False, policy="tabular")


def begin(world, seed):
    """States of two seeds in training, and their compiled update."""
    learner, hparams = world.learner, world.hparams(ARMS["ONI"])
    keys = jax.random.split(jax.random.key(seed), TINY.seeds)
    state = jax.vmap(learner.init, (0, None), out_axes=seed_axes())(keys, hparams)
    update = jax.vmap(learner.update, (seed_axes(), None), out_axes=(seed_axes(), 0))
    compiled = jax.jit(update)
    return state, lambda state: compiled(state, hparams)[0]


def complete(good=0.95, poor=0.0):
    """A result in which every claim holds if `good` and `poor` are as they stand."""
    failing = ("extrinsic only", "labels without count", "count without labels")
    arms = {name: [good] * 8 for name in ARMS} | {name: [poor] * 8 for name in failing}
    arms["numbered, retrieval"] = [good] * 4 + [poor] * 4
    return StudyResult(arms={n: {"success": v, "gold share of steps": v} for n, v in arms.items()})


def test_the_claim_asks_for_what_it_says():
    assert claim(complete(), OniConfig()).passed
    assert not claim(complete(good=0.85), OniConfig()).passed
    assert not claim(complete(poor=0.2), OniConfig()).passed
    for arm, values in (
        ("ONI", [1.0] * 6 + [0.0] * 2),
        ("latency x 10", [1.0] * 6 + [0.89] * 2),
        ("numbered, retrieval", [1.0] * 5 + [0.0] * 3),
        ("extrinsic only", [0.5] + [0.0] * 7),
    ):
        result = complete()
        result.arms[arm]["success"] = values
        assert not claim(result, OniConfig()).passed, arm
    result = complete()
    del result.arms["bad answers 20 %"]
    verdict = claim(result, OniConfig())
    assert not verdict.passed and "bad answers 20 %" in verdict.notes[-1]
    assert "arms that were not run" in verdict.missed
    assert set(verdict.measured) == set(verdict.required)


def test_windows_pool_episodes():
    values = np.arange(1.0, 9.0)[None]
    assert window_sum(values.copy(), 5).tolist() == [[1, 3, 6, 10, 15, 20, 25, 30]]


def test_bad_arms_are_refused():
    for bad in (dict(model="x"), dict(policy="x")):
        with pytest.raises(InputError):
            Arm(**bad)
    with pytest.raises(InputError):
        OniConfig(arms=("none such",))
    with pytest.raises(InputError):
        OniConfig(seeds=0)


def test_a_label_table_follows_its_service():
    service = AnnotationService(
        ScriptedAnnotator("good"), AnnotationSettings(mode="sync", latency=1)
    )
    table = LabelTable(["", "good", "bad", "other"], service)
    labels, known = table.exchange([5, 1, 2, 0])
    assert not known.any()
    assert table.labelled_share([5, 1, 2, 0]) == 0 and table.labelled_share([5, 0, 0, 0]) == 1
    labels, known = table.exchange([0, 0, 0, 0])
    assert known.tolist() == [False, True, True, False] and labels.tolist() == [0, 1, 0, 0]
    assert table.labelled_share([9, 1, 1, 2]) == 0.5
    labels[:] = 7
    assert table.labels.max() == 1
    with pytest.raises(InputError, match="one count per text"):
        table.exchange([1, 2])
    with pytest.raises(InputError, match="starts with the empty message"):
        LabelTable(["good"], service)


def test_arms_of_a_world_differ_in_numbers_only(world):
    def form(arm):
        leaves, structure = jax.tree.flatten(world.hparams(arm))
        return structure, [(leaf.shape, leaf.dtype) for leaf in map(jnp.asarray, leaves)]

    assert all(form(arm) == form(ARMS["ONI"]) for arm in ARMS.values())
    assert world.host_part(ARMS["extrinsic only"]) is None
    assert world.host_part(ARMS["count without labels"]) is None
    assert {name for names in PANELS.values() for name in names} <= set(ARMS)


@pytest.mark.slow
def test_arms_repeat_bit_for_bit(world):
    curves = train_arm(world, ARMS["ONI"], total_updates=6)
    again = train_arm(world, ARMS["ONI"], total_updates=6)
    for name, values in curves.items():
        assert np.array_equal(again[name], values) and values.shape == (2, 6)
    assert np.all(curves["labelled"][:, :3] == 0) and np.all(curves["labelled"][:, 4:] > 0)
    assert np.all(curves["gold"] > 0)


@pytest.mark.parametrize(
    "name",
    ["annotator dies after 4", pytest.param("ranking", marks=pytest.mark.slow)],
)
def test_an_interrupted_run_goes_on_bit_for_bit(world, tmp_path, name):
    """Labels under way, generators, networks and the table itself are in the checkpoint."""
    arm = ARMS[name]
    size = {"total_updates": 7, "checkpoint_every": 3}
    whole = train_arm(world, arm, tmp_path / "whole", **size)
    stopped = train_arm(
        world, arm, tmp_path / "parts", **size, stop_when=lambda row: row["update"] == 5
    )
    assert stopped["gold"].shape == (2, 5)
    resumed = train_arm(world, arm, tmp_path / "parts", **size, resume=True)
    for curve, values in whole.items():
        assert np.array_equal(resumed[curve], values), curve
    learner, hparams = world.learner, world.hparams(arm)
    one, other = (
        load_state(tmp_path / folder, learner, hparams=hparams, num_seeds=TINY.seeds)[0]
        for folder in ("whole", "parts")
    )
    leaves = [jax.tree.leaves(state.replace(key=())) for state in (one, other)]
    assert all(np.array_equal(a, b) for a, b in zip(*leaves, strict=True))
    assert np.any(np.asarray(one.memory["given"][1]))


@pytest.mark.slow
def test_labels_change_the_reward_of_the_running_learner(world):
    table = world.env.table
    state, update = begin(world, 0)
    labels, known = np.zeros((2, table.size), np.float32), np.zeros((2, table.size), bool)
    labels[1, table.wall], known[:, table.wall] = 1.0, True
    state = world.learner.receive(state, (jnp.array(labels), jnp.array(known)))
    for _ in range(4):
        state = update(state)
    value = np.abs(np.asarray(state.params["critic"])).sum(axis=1)
    assert value[0] == 0 and value[1] > 0  # only the second seed hears of walls with reward


class Unruly:
    """Slow, one in five answers unreadable, and dead on command, in the middle of a batch too."""

    model, prompt_version = "unruly", "1"

    def __init__(self, helpful, latency):
        self.inner = ScriptedAnnotator(helpful, garbage=0.2, latency=latency, seed=5)
        self.dead = threading.Event()

    def annotate(self, texts):
        if self.dead.is_set():
            raise ConnectionError("killed")
        for annotation in self.inner.annotate(texts):
            yield annotation
            if self.dead.is_set():
                raise ConnectionError("killed in the middle of a batch")


@pytest.mark.slow
def test_a_learner_beside_an_unruly_annotator_goes_on_and_no_label_is_wrong(world):
    table, seeds = world.env.table, TINY.seeds
    helpful = dict(zip(table.texts, table.helpful, strict=True))
    annotator = Unruly(helpful, latency=0.03)
    quick = dict(backoff=0.005, longest_wait=0.02, probe_interval=0.1)
    settings = AnnotationSettings(batch_size=3, **quick)
    state, update = begin(world, 1)
    longest, updates = 0.0, 0
    with AnnotationService(annotator, settings) as service:
        labels = LabelTable(table.texts, service)
        end = time.monotonic() + 60
        killed = revived = False
        arrays = (labels.labels, labels.known)
        while time.monotonic() < end:
            both = [jnp.array(np.broadcast_to(a, (seeds, table.size))) for a in arrays]
            state = update(world.learner.receive(state, tuple(both)))
            heard = np.asarray(state.summary).sum(axis=0)
            start = time.perf_counter()
            arrays = labels.exchange(heard)
            longest = max(longest, time.perf_counter() - start)
            updates += 1
            if not killed and labels.known.sum() >= 5:
                annotator.dead.set()
                killed, at_kill = True, updates
            if killed and not revived and updates >= at_kill + 20:
                assert service.health()["failures"] > 0
                annotator.dead.clear()
                revived, known_then = True, labels.known.sum()
            if revived and labels.known.sum() >= known_then + 5:
                break
            time.sleep(0.005)
        health = service.health()
    assert revived and labels.known.sum() >= known_then + 5, health
    truth = np.asarray(table.helpful, np.float32)
    assert np.array_equal(labels.labels[labels.known], truth[labels.known])
    assert not labels.known[0] and longest < 1.0
    assert int(state.step) == updates


def test_the_study_names_what_exists():
    import importlib

    for name in STUDY.functions:
        module, _, attribute = name.rpartition(".")
        assert callable(getattr(importlib.import_module(module), attribute))
    assert set(STUDY.config.arms) == set(ARMS)
