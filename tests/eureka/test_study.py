"""The study in small: arms of equal budget, the claim's arithmetic, pictures, the command."""

import json

import jax
import numpy as np
import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.reward_design.eureka import lockstep
from jaxrl_rewards.reward_design.eureka.offline import EvolutionProposer
from jaxrl_rewards.reward_design.eureka.recording import RecordingProposer
from jaxrl_rewards.studies.api import StudyResult
from jaxrl_rewards.studies.eureka import arms as of
from jaxrl_rewards.studies.eureka import study as eureka
from jaxrl_rewards.studies.eureka.claim import claim
from jaxrl_rewards.studies.eureka.train import TRAIN
from jaxrl_rewards.studies.eureka.train.render import draw_rooms
from tests.eureka.toys import QUANTITIES, toy_fitness

from jaxrl_envs.registry import make  # isort: skip

TINY = eureka.EurekaConfig(
    search_seeds=2,
    candidates=4,
    generations=2,
    seeds=2,
    rescored=2,
    final_seeds=2,
    envs=4,
    steps=16,
    updates=2,
    epochs=1,
    episodes=4,
    width=8,
    other_tasks=(),
)


class ToyTrainer:
    """Counts trainings; the fitness is that of the toy, from the compiled slots."""

    def __init__(self):
        self.trained = 0

    def train(self, programs, keys, *, success_weight=0.0):
        from jaxrl_rewards.reward_design.eureka.trainer import Runs

        self.trained += len(keys)
        near = (programs.quantity == 0) & (programs.weight < 0) & programs.used
        value = 0.2 + 0.5 * near.any(axis=-1)
        shape = (len(keys), 3)
        return Runs(
            fitness=value,
            success=np.broadcast_to(value[:, None], shape),
            reward=np.zeros(shape),
            terms=np.broadcast_to(np.linspace(0.0, 1.0, 3)[None, :, None], (*shape, 4)),
        )


@pytest.mark.parametrize("arm", list(of.ARMS))
def test_all_arms_spend_the_same(arm):
    sizes = lockstep.Sizes(
        search_seeds=3, candidates=8, generations=3, seeds=4, rescored=2, final_seeds=2
    )
    bench = lockstep.Bench(ToyTrainer(), QUANTITIES, sizes)
    shares = []
    found = lockstep.search_in_lockstep(
        bench,
        of.ARMS[arm].proposers(0, sizes),
        jax.random.key(0),
        racing=of.ARMS[arm].racing,
        report=shares.append,
    )
    search = 8 * 4 * 3
    assert bench.trainer.trained == 3 * (search + sizes.rescored * 4 + sizes.final_seeds)
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert found.good.shape == found.best.shape == (3, 3)
    assert len(found.retrained) == len(found.winners) == 3
    for winner, search in zip(found.winners, found.searches, strict=True):
        assert winner.score == max(c.score for c in search.archive if len(c.fitness) > 4)
        assert set(search.counts()) == {"trained"}


def test_a_failed_claim_is_seen():
    rng = np.random.default_rng(0)

    def result(eureka_mean, naive, last):
        rows = {
            "sparse": {"success": np.zeros(8)},
            "naive human": {"success": np.clip(naive + 0.02 * rng.normal(size=8), 0, 1)},
            "expert human": {"success": np.ones(8)},
        }
        for arm in ("eureka offline", "random search", "eureka, blind mutation"):
            values = np.clip(eureka_mean + 0.05 * rng.normal(size=8), 0, 1)
            rows[arm] = {
                "success": values,
                "in_search": values + 0.1,
                "good_first": np.full(8, 0.3),
                "good_last": np.full(8, last),
            }
        arms = {f"keydoor: {name}": row for name, row in rows.items()}
        arms |= {f"ball: {name}": row for name, row in rows.items()}
        return StudyResult(arms={n: {"seed_noise": np.full(8, 0.25)} | r for n, r in arms.items()})

    good = claim(result(0.75, 0.3, 0.6), eureka.EurekaConfig())
    assert good.passed and good.seeds == 8 and set(good.required) <= set(good.measured)
    assert good.measured[
        "optimism: fitness in the search minus success rate when trained again"
    ] == (pytest.approx(0.1))
    assert any("not told apart from random search" in note for note in good.notes)
    assert any(n.startswith("ball: eureka offline: better than sparse") for n in good.notes)
    assert sum("sparse 0.25" in note for note in good.notes) == 2
    for bad in (result(0.35, 0.1, 0.6), result(0.75, 0.75, 0.6), result(0.75, 0.3, 0.4)):
        assert not claim(bad, eureka.EurekaConfig()).passed


def test_the_sizes_of_a_task():
    sizes = eureka.EurekaConfig().sizes
    assert sizes() == lockstep.Sizes()
    assert (sizes("swing-up").candidates, sizes("swing-up").seeds) == (8, 4)
    assert (sizes("ball").generations, sizes("ball").seeds) == (3, 2)


def test_rooms_are_drawn():
    plan = make("keydoor", rooms=2).map
    picture = draw_rooms(plan, 0, [4, 8, 12, 12]).split("\n")
    assert picture[0] == "S . . . D . . . ." and picture[3][0] == "r" and picture[3][-1] == ">"
    assert [line[0] for line in picture] == ["S", "0", "9", "r"]


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--world", "moon"], "no world"),
        (["--proposer", "oracle"], "unknown"),
        (["--proposer", "replay"], "--recording"),
        (["--world", "swing-up", "--preferences", "ask"], "keydoor only"),
        (["--human", "nowhere.txt"], "cannot be read"),
    ],
)
def test_wrong_flags_are_named(flags, word, tmp_path):
    with pytest.raises(InputError, match=word):
        TRAIN.main([*flags, "--out", str(tmp_path)])


def test_a_chat_search_needs_an_address(monkeypatch, tmp_path):
    monkeypatch.delenv("JAXRL_CHAT_URL", raising=False)
    with pytest.raises(InputError, match="JAXRL_CHAT_URL"):
        TRAIN.main(["--proposer", "chat", "--out", str(tmp_path)])


def test_the_command_searches_listens_and_writes(monkeypatch, tmp_path, capsys):
    """All of the command but the training, which a toy replaces."""
    from jaxrl_rewards.reward_design.eureka import search as loop
    from tests.eureka.toys import toy_runs

    def instead(trainer, candidates, keys, quantities, form):
        assert form == "tape"
        return toy_runs(candidates, len(keys), fitness=lambda program: 0.1 * len(program.terms))

    monkeypatch.setattr(loop, "train_candidates", instead)
    (tmp_path / "human.txt").write_text("key = new_key\ndoor = where(new_door > 0, 1, 0)\n")
    preferences = tmp_path / "preferences.jsonl"
    preferences.write_text('{"first": 0, "second": 1, "choice": "first", "generation": 2}\n')
    flags = ["--candidates", "3", "--generations", "2", "--seeds", "1", "--out", str(tmp_path)]
    more = ["--human", str(tmp_path / "human.txt"), "--preferences", str(preferences)]
    assert TRAIN.main([*flags, *more]) == 0
    written = json.loads((tmp_path / "candidates.json").read_text())
    assert written["counts"] == {"trained": 7}
    assert [c["origin"] for c in written["candidates"]][0] == "human"
    assert (tmp_path / "best.txt").read_text().strip() in capsys.readouterr().out
    assert len((tmp_path / "proposals.jsonl").read_text().splitlines()) == 6
    again = [*flags, "--proposer", "replay", "--recording", str(tmp_path / "proposals.jsonl")]
    assert TRAIN.main([*again, *more[:2], "--out", str(tmp_path / "again")]) == 0
    with pytest.raises(InputError, match="holds a search; go on with it by --resume"):
        TRAIN.main([*flags, *more])
    with pytest.raises(InputError, match="candidates = 3, now it is 4"):
        TRAIN.main(["--candidates", "4", *flags[2:], *more, "--resume"])


@pytest.mark.slow
def test_a_tiny_study_runs_from_start_to_verdict():
    seen = []
    result = eureka.run(TINY, lambda text, fraction: seen.append(fraction))
    assert seen == sorted(seen) and seen[-1] == pytest.approx(1.0)
    assert len(result.arms) == 3 + len(of.ARMS)
    assert all(len(row["success"]) == 2 for row in result.arms.values())
    assert result.budget["spent"]["keydoor"]["compiles"] == 1
    verdict = claim(result, TINY)
    assert verdict.seeds == 2 and set(verdict.required) <= set(verdict.measured)
    from matplotlib.figure import Figure

    for draw in result.figures.values():
        draw(Figure())


@pytest.mark.parametrize(
    "wrong", [{"width": 0}, {"candidates": 3, "seeds": 1}, {"other_tasks": ("moon",)}]
)
def test_wrong_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[-1].rstrip("s")):
        eureka.EurekaConfig(**wrong)


def test_the_toy_and_recorder_agree(tmp_path):
    """The recorder hands proposals through unchanged."""
    from jaxrl_rewards.reward_design.eureka.search import Search, SearchConfig
    from tests.eureka.toys import toy_search

    config = SearchConfig(candidates=4, generations=2, seeds=1)
    plain = toy_search(Search(EvolutionProposer(1), QUANTITIES, config), 2, toy_fitness)
    recorder = RecordingProposer(EvolutionProposer(1), tmp_path / "p.jsonl")
    other = toy_search(Search(recorder, QUANTITIES, config), 2, toy_fitness)
    assert [c.record() for c in plain.archive] == [c.record() for c in other.archive]
