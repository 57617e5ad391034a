"""BARFI: the study's claim and what it writes."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.reward_design import barfi_loop
from jaxrl_rewards.studies.api import StudyResult
from jaxrl_rewards.studies.barfi import arms as of
from jaxrl_rewards.studies.barfi import claim as judged
from jaxrl_rewards.studies.barfi import study


def result(late=False, **final):
    """Results in which every claim holds, with the final returns of some arms replaced."""
    numbers = {arm: [98.0] * 8 for arm in of.ARMS}
    numbers |= {of.NAIVE: [-2.0] * 8, of.FROZEN: [0.0] * 8}
    numbers |= {of.RESTARTS_ONLY: [10.0] * 8, of.ZERO + of.MANY: [98.0] * 512} | final
    numbers[of.PRIMARY + of.MANY] = list(96.5 + 0.1 * np.arange(512) % 1)
    arms = {
        arm: {
            "final_return": values,
            "first_500": [90.0 if arm.startswith("helpful") else 80.0] * 8,
            "centre_weight": [0.5] * 8,
            "visited_weight": [1.2] * 8,
            "discount": [0.9] * 8,
            "late_restarts": [float(late and arm == of.RECOVERED)] * 8,
            **dict.fromkeys(("cosine_series", "cosine_first_order"), [0.5] * 8),
        }
        for arm, values in numbers.items()
    }
    return StudyResult(arms=arms)


@pytest.mark.parametrize(
    ("final", "missed"),
    [
        ({}, None),
        ({of.NAIVE: [11.0] * 8}, "final return, naive sum"),
        ({of.WRONG: [96.0] * 6 + [57.0] * 2}, None),
        (
            {of.WRONG: [96.0] * 5 + [94.0] * 3},
            "fraction of seeds at 95 or more",
        ),
        (
            {of.FROZEN: [40.0] * 8},
            "final return, outer step on minus off",
        ),
        (
            {of.ZERO + of.MANY: [94.0] * 512},
            "final return, zero weights minus primary only",
        ),
        ({of.ZERO + of.MANY: [98.0] * 504 + [0.0] * 8}, None),
        (
            {of.ZERO + of.MANY: [98.0] * 496 + [0.0] * 16},
            "final return, zero weights minus primary only",
        ),
        ({of.RECOVERED: [91.0] * 7 + [0.0]}, None),
        ({of.RECOVERED: [91.0] * 6 + [0.0] * 2}, "fraction of seeds recovered"),
        ({of.RESTARTS_ONLY: [99.0] * 8}, "final return, restarts: with the outer step"),
    ],
)
def test_the_claim_is_judged_as_worded(final, missed):
    verdict = judged.claim(result(**final), study.BarfiStudyConfig())
    assert verdict.passed == (missed is None)
    assert len(verdict.missed) == (missed is not None)
    assert missed is None or missed in verdict.missed[0]


def test_a_restart_near_the_end_is_no_recovery():
    verdict = judged.claim(result(late=True), study.BarfiStudyConfig())
    assert not verdict.passed and any("seeds recovered" in name for name in verdict.missed)


@pytest.mark.slow
def test_the_study_writes_its_table_maps_and_rows(tmp_path, monkeypatch):
    """Everything around the loop, which is tested above and stands still here."""
    from jaxrl_rewards.studies.reproduce import reproduce

    def still(self, key, settings, params):
        rounds = self.config.warmup_rounds + self.config.rounds
        state = self.begin(key, settings).replace(phi=settings.start)
        seen = self.collect(state.theta, key, settings, params)
        buffer = jax.tree.map(lambda old, new: old.at[:3].set(new), state.buffer, seen)
        rows = jnp.zeros(rounds)
        return barfi_loop.BarfiResult(
            state=state.replace(buffer=buffer), returns=rows, weights=rows[:, None],
            discount=rows, stationarity=rows, fallbacks=rows, restarts=rows,
        )  # fmt: skip

    monkeypatch.setattr(barfi_loop.Barfi, "run", still)
    config = study.BarfiStudyConfig(seeds=2, equal_seeds=3, warmup_rounds=1, rounds=3)
    verdict, paths = reproduce(study.STUDY, config, out_dir=tmp_path, quiet=True)
    assert not verdict.passed
    record = json.loads(paths["study-barfi.json"].read_text())
    assert set(record["arms"]) == {*of.ARMS, of.PRIMARY + of.MANY, of.ZERO + of.MANY}
    assert len(record["arms"][of.ZERO + of.MANY]["final_return"]["values"]) == 3
    assert record["budget"]["episodes"] == 12
    rows = json.loads(paths["barfi_weights.json"].read_text())
    assert {row["term"] for row in rows} == {"free", "bonus", "distance"}
    assert len(rows) == len(study.MAPPED) * 2 * 2 * 121
    assert all(row["weight"] == 1.0 for row in rows if row["term"] == "distance")
    assert paths["barfi_weights.png"].stat().st_size > 10_000
    cosines = record["arms"][of.WRONG]["cosine_series"]["values"]
    assert len(cosines) == 2 and np.all(np.abs(cosines) <= 1.0)


def test_settings_by_name_default_to_a_rule_that_never_starts_anew(square):
    config = study.BarfiStudyConfig()
    keys = jax.random.split(jax.random.key(0), 1)
    found = of.arm_settings(square, of.ARMS[of.WRONG], config, keys)
    assert (
        found.restart.threshold.tolist() == [-np.inf] and found.restart.patience.dtype == jnp.int32
    )
    start = barfi_loop.reward_start(square.size, [1.0])
    bare = square.settings(
        {"goal": 1.0}, {"bonus": 1.0}, start=start, warmup=start, alpha=1e-3, gamma=0.9,
        policy_rate=0.1, reward_rate=0.1, discount_rate=0.1, entropy=0.1, discount_penalty=0.0,
        reward_penalty=0.0,
    )  # fmt: skip
    assert jax.tree.structure(bare) == jax.tree.structure(found)
    assert all(leaf.dtype in (jnp.float32, jnp.int32) for leaf in jax.tree.leaves(bare))
    assert float(bare.restart.threshold) == -np.inf and float(bare.potential[0]) == 0.0
