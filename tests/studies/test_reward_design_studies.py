"""The studies of explicable, adaptive and exploration-guided rewards: verdicts and small runs."""

import dataclasses

import numpy as np
import pytest

from jaxrl_rewards.studies import StudyResult
from jaxrl_rewards.studies.expadard import study as expadard
from jaxrl_rewards.studies.explors import study as explors
from jaxrl_rewards.studies.exprd import study as exprd

QUIET = lambda text, fraction: None  # noqa: E731


def arms_of(rows, seeds=8, spread=0.01):
    """One metric per arm from its mean, with a small spread over seeds."""
    offsets = np.linspace(-spread, spread, seeds)
    return {
        arm: {metric: list(mean * (1 + offsets)) for metric, mean in metrics.items()}
        for arm, metrics in rows.items()
    }


def explors_result(own=10.0, rival=7.0):
    rows = {
        f"{chain}: {arm}": {"return": {"ExploRS": own, "R̄": 0.0}.get(arm, rival)}
        for chain in explors.CHAINS
        for arm in explors.ARMS
    }
    return StudyResult(arms=arms_of(rows))


@pytest.mark.parametrize(
    ("own", "rival", "holds"), [(10.0, 7.0, True), (9.0, 7.0, False), (10.0, 10.0, False)]
)
def test_the_verdict_on_explors(own, rival, holds):
    verdict = explors.claim(explors_result(own, rival), explors.ExploRSConfig())
    assert verdict.passed == holds
    assert set(verdict.required) == set(verdict.measured)


def exprd_result(five=0.7, task=0.1, states=6, gap=1e-9, keeps=1.0, last=0.07):
    rows = {
        arm + ending: {"mean share": {"ExpRD B=5": five}.get(arm, task)}
        for arm in ("R̄", "ExpRD B=5")
        for ending in exprd.TIES.values()
    }
    facts = {"largest missing gap": gap, "share of designs that keep optima": keeps}
    facts |= {f"-I of the programme, B={n}": v for n, v in enumerate((0.16, 0.1, last))}
    facts |= {"I of R̄, evaluated": -0.2, "I of potential V*, evaluated": -0.1}
    budget = {"exact": facts, "states with rewards": {"ExpRD B=5": states}}
    return StudyResult(arms=arms_of(rows, 16), budget=budget)


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"five": 0.4}, False),
        ({"task": 0.5}, False),
        ({"states": 7}, False),
        ({"gap": 1e-3}, False),
        ({"keeps": 0.9}, False),
        ({"last": 0.1}, False),
    ],
)
def test_the_verdict_on_exprd(change, holds):
    assert exprd.claim(exprd_result(**change), exprd.ExpRDConfig()).passed == holds


def expadard_result(adaptive=4000.0, one_shot=6000.0, sparse=0.2, late=0):
    """32 seeds, the last `late` of which need 9800 episodes under the adaptive reward."""
    rows = {
        "adaptive": {"mean share": 0.8, "episodes to 90 %": adaptive},
        "one-shot": {"mean share": 0.7, "episodes to 90 %": one_shot},
        "ExpRD B=5": {"mean share": sparse, "episodes to 90 %": np.nan},
    }
    rows = {arm + end: row for arm, row in rows.items() for end in expadard.WORLDS}
    arms = arms_of(rows, 32)
    arms["adaptive"]["episodes to 90 %"][32 - late :] = [9800.0] * late
    return StudyResult(arms=arms)


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"one_shot": np.nan}, True),
        ({"one_shot": 4000.0}, False),
        ({"late": 1}, True),  # 31 of 32 are [.84, .99]: one slow seed is no failure
        ({"late": 3}, True),  # 29 of 32 are [.76, .97]
        ({"late": 4}, False),  # 28 of 32 are [.72, .95]
        ({"adaptive": np.nan}, False),
        ({"sparse": 0.6}, False),
    ],
)
def test_the_verdict_on_expadard(change, holds):
    config = expadard.ExpAdaRDConfig()
    assert expadard.claim(expadard_result(**change), config).passed == holds


@pytest.mark.parametrize(
    ("config", "change"),
    [
        (exprd.ExpRDConfig(), {"episodes": 1005}),
        (exprd.ExpRDConfig(), {"budgets": (1, 2)}),
        (exprd.ExpRDConfig(), {"seeds": 0}),
        (expadard.ExpAdaRDConfig(), {"design_every": 7}),
        (expadard.ExpAdaRDConfig(), {"steps": 0}),
        (explors.ExploRSConfig(), {"every": 33}),
        (explors.ExploRSConfig(), {"seeds": 0}),
    ],
)
def test_bad_configurations_are_refused(config, change):
    with pytest.raises(ValueError, match=next(iter(change))):
        dataclasses.replace(config, **change)


@pytest.mark.slow
def test_exprd_in_small(tmp_path):
    """At 16 seeds and 3000 episodes B=5 is .76 above R̄; the design is exact at any size."""
    config = exprd.ExpRDConfig(seeds=4, episodes=600, first=600)
    result = exprd.run(config, QUIET)
    exact = result.budget["exact"]
    assert exact["share of designs that keep optima"] == 1.0
    assert exact["largest missing gap"] <= 1e-6
    assert exact["-I of the programme, no budget"] == pytest.approx(0.0, abs=1e-7)
    assert result.budget["states with rewards"]["ExpRD B=5"] == 6
    mean = {arm: np.mean(row["mean share"]) for arm, row in result.arms.items()}
    assert mean["ExpRD B=5"] > mean["R̄"] + 0.2
    assert mean["potential V*"] > 0.97
    path = tmp_path / "reward.csv"
    result.files["exprd_reward.csv"](path)
    assert len(path.read_text().splitlines()) > 10


@pytest.mark.slow
def test_expadard_in_small():
    """By 2000 episodes both informative rewards are far above the others, on every seed seen."""
    config = expadard.ExpAdaRDConfig(seeds=2, episodes=2000)
    result = expadard.run(config, QUIET)
    last = {arm: np.mean(row["last share"]) for arm, row in result.arms.items()}
    for ending in expadard.WORLDS:
        assert last[f"adaptive{ending}"] > 0.4
        assert last[f"R̄{ending}"] < 0.05 and last[f"any feasible{ending}"] < 0.05


@pytest.mark.slow
def test_explors_in_small():
    """By 6500 episodes ExploRS alone has found the reward, on every seed seen."""
    curves = explors.learning_curves(explors.ExploRSConfig(seeds=2, episodes=6500, root_key=5))
    last = curves[..., -5:].mean(axis=(2, 3))
    arms = dict(zip(explors.ARMS, last.T, strict=True))
    assert np.all(arms["ExploRS"] > 10.0) and np.all(arms["ExploRS"] < 14.5)
    assert np.all(arms["R̄"] < 0.1) and np.all(arms["bonus only"] < 1.0)
