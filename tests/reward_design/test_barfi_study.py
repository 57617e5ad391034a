"""BARFI: the study's claim and what it writes."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.reward_design import barfi_loop
from jaxrl_rewards.studies import barfi as study
from jaxrl_rewards.studies import barfi_arms, barfi_claim
from jaxrl_rewards.studies.api import StudyResult


def result(late=False, **final):
    """Results in which every claim holds, with the final returns of some arms replaced."""
    numbers = {arm: [98.0] * 8 for arm in barfi_arms.ARMS}
    numbers |= {barfi_claim.NAIVE: [-2.0] * 8, barfi_claim.FROZEN: [0.0] * 8}
    numbers |= {barfi_claim.RESTARTS_ONLY: [10.0] * 8} | final
    arms = {
        arm: {
            "final_return": values,
            "first_500": [90.0 if arm.startswith("helpful") else 80.0] * 8,
            "centre_weight": [0.5] * 8,
            "visited_weight": [1.2] * 8,
            "discount": [0.9] * 8,
            "late_restarts": [float(late and arm == barfi_claim.RECOVERED)] * 8,
        }
        for arm, values in numbers.items()
    }
    return StudyResult(arms=arms)


@pytest.mark.parametrize(
    ("final", "missed"),
    [
        ({}, None),
        ({barfi_claim.NAIVE: [11.0] * 8}, "final return, naive sum"),
        ({barfi_claim.WRONG: [96.0] * 6 + [57.0] * 2}, None),
        ({barfi_claim.WRONG: [96.0] * 5 + [94.0] * 3}, "share of seeds at 95, B"),
        ({barfi_claim.FROZEN: [40.0] * 8}, "final return, B less A"),
        ({barfi_claim.ZERO: [95.0] * 8}, "final return, C less r_p only"),
        ({barfi_claim.RECOVERED: [91.0] * 7 + [0.0]}, None),
        ({barfi_claim.RECOVERED: [91.0] * 6 + [0.0] * 2}, "share of seeds recovered"),
        ({barfi_claim.RESTARTS_ONLY: [99.0] * 8}, "restarts with less without"),
    ],
)
def test_the_claim_is_judged_as_worded(final, missed):
    verdict = barfi_claim.claim(result(**final), study.BarfiStudyConfig())
    assert verdict.passed == (missed is None)
    complaints = [note for note in verdict.notes if note.startswith("not met: ")]
    assert len(complaints) == (missed is not None)
    assert missed is None or missed in complaints[0]


def test_a_restart_near_the_end_is_no_recovery():
    verdict = barfi_claim.claim(result(late=True), study.BarfiStudyConfig())
    assert not verdict.passed and any("seeds recovered" in note for note in verdict.notes)


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
    config = study.BarfiStudyConfig(seeds=2, warmup_rounds=1, rounds=3)
    verdict, paths = reproduce(study.STUDY, config, out_dir=tmp_path, quiet=True)
    assert not verdict.passed
    record = json.loads(paths["study-barfi.json"].read_text())
    assert set(record["arms"]) == set(barfi_arms.ARMS)
    assert record["budget"]["episodes"] == 12
    rows = json.loads(paths["barfi_weights.json"].read_text())
    assert {row["term"] for row in rows} == {"free", "bonus", "distance"}
    assert len(rows) == len(study.MAPPED) * 2 * 2 * 121
    assert all(row["weight"] == 1.0 for row in rows if row["term"] == "distance")
    assert paths["barfi_weights.png"].stat().st_size > 10_000
    cosines = record["arms"][barfi_claim.WRONG]["cosine_series"]["values"]
    assert len(cosines) == 2 and np.all(np.abs(cosines) <= 1.0)
