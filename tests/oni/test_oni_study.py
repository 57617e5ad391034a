"""The study of annotated messages, small; and a learner beside annotators that misbehave."""

import dataclasses
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.studies.api import StudyResult
from jaxrl_rewards.studies.oni import STUDY
from jaxrl_rewards.studies.oni_arms import ARMS, Arm, OniConfig
from jaxrl_rewards.studies.oni_claim import claim
from jaxrl_rewards.studies.oni_training import Curves, Trainer, _window_sum
from jaxrl_rewards.train.annotation import (
    AnnotationService,
    AnnotationSettings,
    LabelTable,
    ScriptedAnnotator,
)

TINY = OniConfig(seeds=2, num_envs=8, unroll_length=16)


@pytest.fixture(scope="module")
def trainer():
    return Trainer(TINY, rooms=4, numbered=False, policy="tabular")


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
    del result.arms["garbage 20 %"]
    verdict = claim(result, OniConfig())
    assert not verdict.passed and "garbage 20 %" in verdict.notes[-1]
    assert set(verdict.measured) == set(verdict.required) == set(verdict.interval)


def test_windows_pool_episodes():
    values = np.arange(1.0, 9.0)[None]
    assert _window_sum(values.copy()).tolist() == [[1, 3, 6, 10, 15, 20, 25, 30]]
    curves = Curves(
        success=np.asarray([[0.0, 0.9, 0.5], [0.1, 0.2, 0.3]]), gold=values, labelled=values
    )
    assert curves.final.tolist() == [0.5, 0.3]
    assert curves.first_solved[0] == 2 and np.isnan(curves.first_solved[1])


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


@pytest.mark.slow
def test_arms_share_one_program_and_repeat_bit_for_bit(trainer):
    arms = ("ONI", "reward-free (c_e = 0)", "labels without count", "garbage 20 %")
    short = {n: dataclasses.replace(ARMS[n], updates=6) for n in (*arms, "extrinsic only")}
    curves = {name: trainer.run(arm) for name, arm in short.items()}
    assert trainer.traces == 1
    again = trainer.run(short["ONI"])
    assert trainer.traces == 1
    for field in ("success", "gold", "labelled"):
        assert np.array_equal(getattr(again, field), getattr(curves["ONI"], field))
    labelled = curves["ONI"].labelled
    assert np.all(labelled[:, :3] == 0) and np.all(labelled[:, 4:] > 0)
    assert np.all(curves["extrinsic only"].labelled == 0)
    assert np.all(curves["ONI"].gold > 0)


@pytest.mark.slow
def test_labels_change_the_reward_of_the_running_learner(trainer):
    size = trainer.table.size
    state = trainer.init(jax.random.split(jax.random.key(0), 2))
    before = trainer.traces
    numbers = trainer.numbers(ARMS["ONI"])
    labels, known = jnp.zeros((2, size)), jnp.zeros((2, size), bool)
    labels = labels.at[1, trainer.table.wall].set(1.0)
    known = known.at[:, trainer.table.wall].set(True)
    for _ in range(4):
        state, _ = trainer.update(state, labels, known, numbers)
    assert trainer.traces == max(before, 1)
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
def test_a_learner_beside_an_unruly_annotator_goes_on_and_no_label_is_wrong(trainer):
    table, seeds = trainer.table, TINY.seeds
    helpful = dict(zip(table.texts, table.helpful, strict=True))
    annotator = Unruly(helpful, latency=0.03)
    quick = dict(backoff=0.005, longest_wait=0.02, probe_interval=0.1)
    settings = AnnotationSettings(batch_size=3, **quick)
    state = trainer.init(jax.random.split(jax.random.key(1), seeds))
    numbers, longest, updates = trainer.numbers(ARMS["ONI"]), 0.0, 0
    with AnnotationService(annotator, settings) as service:
        labels = LabelTable(table.texts, service)
        end = time.monotonic() + 60
        killed = revived = False
        arrays = (labels.labels, labels.known)
        while time.monotonic() < end:
            both = [jnp.array(np.broadcast_to(a, (seeds, table.size))) for a in arrays]
            state, _ = trainer.update(state, *both, numbers)
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
    assert int(np.asarray(state.step)[0]) == updates


def test_the_study_names_what_exists():
    import importlib

    for name in STUDY.functions:
        module, _, attribute = name.rpartition(".")
        assert callable(getattr(importlib.import_module(module), attribute))
    assert set(STUDY.config.arms) == set(ARMS)
