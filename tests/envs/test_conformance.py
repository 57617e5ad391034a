"""The conformance suite over the registry: a world cannot be registered without passing it."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jaxrl_envs
import numpy as np
import pytest
import worlds

from jaxrl_rewards.testing import conformance

CHECKS = {**conformance.CHECKS, "golden": worlds.check_golden}
NAMES = jaxrl_envs.names()
HEAVY = ("retarget", "planar-retarget")
"""Worlds under physics, whose programs take long to compile: checked in the slow tier."""
LIGHT = tuple(name for name in NAMES if name not in HEAVY)
TIERS = [*LIGHT, *(pytest.param(name, marks=pytest.mark.slow) for name in HEAVY)]

subject_of = functools.lru_cache(maxsize=None)(worlds.named)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", TIERS)
def test_world_conforms(name, check):
    CHECKS[check](subject_of(name))


@pytest.mark.parametrize(
    "names", [LIGHT, pytest.param(HEAVY, marks=pytest.mark.slow)], ids=["light", "heavy"]
)
def test_another_process_gives_the_same_bits(repository, names):
    script = Path(worlds.__file__)
    path = os.pathsep.join([str(repository), str(repository / "envs")])
    result = subprocess.run(
        [sys.executable, str(script), "fingerprints", *names],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    there = json.loads(result.stdout.splitlines()[-1])
    here = {name: conformance.fingerprint(subject_of(name)) for name in names}
    assert there == here


@pytest.mark.parametrize(
    "names", [LIGHT, pytest.param(HEAVY, marks=pytest.mark.slow)], ids=["light", "heavy"]
)
def test_states_and_keys_survive_a_checkpoint(tmp_path, names):
    from jaxrl_rewards.train.checkpoint import Checkpoints

    tree = {}
    for number, name in enumerate(names):
        subject = subject_of(name)
        state, timestep = subject.reset(jax.random.key(number), subject.params)
        key = jax.random.key(number + 100)
        tree[name] = {"state": state, "params": subject.params, "obs": timestep.obs, "key": key}
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    abstract = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), tree
    )
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, tree, {})
    checkpoints.wait()
    restored, _ = checkpoints.restore_step(1, abstract)
    checkpoints.close()
    assert jax.tree.structure(restored) == jax.tree.structure(tree)
    assert conformance.digest(restored) == conformance.digest(tree)
    for name in names:
        subject = subject_of(name)
        action = subject.env.spec.action_space.sample(jax.random.key(0))
        old, new = (
            subject.step(t[name]["key"], t[name]["state"], action, t[name]["params"])
            for t in (tree, restored)
        )
        assert conformance.digest(old) == conformance.digest(new)
        assert subject.traces == 1, "restoring changed a type"


def test_golden_file_covers_the_registry():
    golden = json.loads(worlds.GOLDEN.read_text())
    assert set(golden) == set(NAMES)
    assert all(np.isfinite(entry["return"]["mean"]) for entry in golden.values())
