"""The loop and the offline proposers, on a toy fitness."""

import json

import numpy as np
import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.reward_design.eureka import candidates as c
from jaxrl_rewards.reward_design.eureka.feedback import (
    Preference,
    apply_preferences,
    ask_in_terminal,
    pairs_to_ask,
    read_preferences,
)
from jaxrl_rewards.reward_design.eureka.offline import (
    EvolutionProposer,
    RandomProposer,
    random_slot,
)
from jaxrl_rewards.reward_design.eureka.prompts import messages
from jaxrl_rewards.reward_design.eureka.recording import RecordingProposer, ReplayProposer
from jaxrl_rewards.reward_design.eureka.search import Search, SearchConfig
from jaxrl_rewards.reward_design.programs.slots import Slot, slots_of
from tests.eureka.toys import QUANTITIES, toy_fitness, toy_runs, toy_search

SMALL = SearchConfig(candidates=16, generations=4, seeds=2)


class Scripted:
    """Proposes given texts, one generation after the other; an exception is raised."""

    def __init__(self, *generations):
        self.generations, self.seen = list(generations), []

    def propose(self, context, count):
        self.seen.append(context)
        given = self.generations.pop(0)
        if isinstance(given, Exception):
            raise given
        return [c.Proposal(text=text) for text in given]


def test_a_generation_has_the_announced_composition():
    search = toy_search(Search(EvolutionProposer(0), QUANTITIES, SMALL), 1)
    assert {one.proposal.origin for one in search.archive} == {"fresh"}
    search.propose()
    origins = [one.proposal.origin for one in search.archive[16:]]
    assert [origins.count(o) for o in ("mutation", "added term", "crossover", "fresh")] == [
        6,
        3,
        5,
        2,
    ]
    best = [one.number for one in search.context().ranked()[:3]]
    assert {one.proposal.parents[0] for one in search.archive[16:25]} == set(best)


def test_random_terms_have_the_announced_distribution():
    rng = np.random.default_rng(0)
    some = [random_slot(rng, QUANTITIES) for _ in range(4000)]
    assert np.mean([s.shape == "identity" for s in some]) == pytest.approx(0.7, abs=0.03)
    signs = [s.weight < 0 for s in some if s.quantity == "near" and s.shape == "identity"]
    assert np.mean(signs) == pytest.approx(0.9, abs=0.04)
    falling = [s.weight > 0 for s in some if s.quantity == "near" and s.shape == "exp"]
    assert np.mean(falling) == pytest.approx(0.9, abs=0.1)
    weights = np.abs([s.weight for s in some if s.quantity == "near" and s.shape == "identity"])
    assert np.median(weights) == pytest.approx(0.5, abs=0.06)  # over the scale of 2
    assert np.std(np.log(weights)) == pytest.approx(1.0, abs=0.08)
    undecided = [s.weight > 0 for s in some if s.quantity == "noise"]
    assert np.mean(undecided) == pytest.approx(0.5, abs=0.05)


def parent(slots, means, spread):
    """A trained candidate whose terms have the given means and relative ranges."""
    proposer = RandomProposer(0)
    from jaxrl_rewards.reward_design.eureka.offline import slot_proposal

    class One:
        def propose(self, context, count):
            return [slot_proposal(slots, QUANTITIES, "fresh")]

    search = Search(One(), QUANTITIES, SearchConfig(candidates=1, seeds=1))
    waiting = search.propose()
    ramp = np.linspace(-0.5, 0.5, 5)[:, None]
    terms = np.asarray(means)[None, :] * (1.0 + np.asarray(spread)[None, :] * ramp)
    search.absorb(waiting, toy_runs(waiting, 1, terms=terms[None]))
    return search.archive[0], proposer


THREE = (Slot("near", weight=-1.0), Slot("fast", weight=2.0), Slot("noise", weight=3.0))


def test_reflection_rewrites_flat_terms_and_quiets_loud_ones():
    for seed in range(20):
        proposer = EvolutionProposer(seed)
        candidate, _ = parent(THREE, [1.0, 1.0, 1.0], [0.5, 0.01, 0.5])
        new = proposer.mutation((candidate, slots_of(candidate.program)), QUANTITIES).slots
        assert new[0] == THREE[0] and new[2] == THREE[2] and new[1] != THREE[1]
        candidate, _ = parent(THREE, [1.0, 1.0, 9.0], [0.5, 0.5, 0.5])
        new = proposer.mutation((candidate, slots_of(candidate.program)), QUANTITIES).slots
        assert new[:2] == THREE[:2] and new[2] == Slot("noise", weight=0.9)


def test_blind_mutation_touches_all_terms_alike():
    candidate, _ = parent(THREE, [1.0, 1.0, 9.0], [0.5, 0.01, 0.5])
    proposer = EvolutionProposer(0, guided=False)
    changed = np.zeros(3)
    for _ in range(300):
        new = proposer.mutation((candidate, slots_of(candidate.program)), QUANTITIES).slots
        kept = [slot in new for slot in THREE]
        changed += ~np.asarray(kept)
    assert changed.min() > 60


def test_evolution_improves_the_toy():
    gains = []
    for seed in range(6):
        search = toy_search(Search(EvolutionProposer(seed), QUANTITIES, SMALL), 4)
        mean = [
            np.mean([one.score for one in search.archive if one.generation == g]) for g in (0, 3)
        ]
        gains.append(mean[1] - mean[0])
        assert search.best.score == max(one.score for one in search.archive)
    assert min(gains) > 0.1


def test_numbers_stay_with_their_records_when_some_fail():
    proposer = Scripted(["a = near", "a = goal", "a = -near", "a = ", "a = fast"])
    search = Search(proposer, QUANTITIES, SearchConfig(candidates=5, seeds=2))
    waiting = search.propose()
    assert [one.number for one in waiting] == [0, 2, 4]
    search.absorb(waiting, toy_runs(waiting, 2))
    assert [one.number for one in search.archive] == [0, 1, 2, 3, 4]
    expected = [toy_fitness(one.program) if one.program else None for one in search.archive]
    for one, value in zip(search.archive, expected, strict=True):
        if value is None:
            assert one.status == c.REFUSED and "line 1" in one.error and one.score == -10000.0
        else:
            assert one.fitness == (value, value) and one.program.names == ("a",)
    assert search.counts() == {"trained": 3, "refused": 2}
    assert search.best.number == 2
    assert json.dumps([one.record() for one in search.archive])


def test_the_context_follows_the_archive_or_the_last_iteration():
    texts = (["a = -near"], ["a = noise"], ["a = fast"])
    shown = {}
    for context in ("archive", "iteration"):
        proposer = Scripted(*texts)
        config = SearchConfig(candidates=1, seeds=1, context=context)
        toy_search(Search(proposer, QUANTITIES, config), 3)
        shown[context] = [x.best.proposal.text if x.best else None for x in proposer.seen]
    assert shown["archive"] == [None, "a = -near", "a = -near"]
    assert shown["iteration"] == [None, "a = -near", "a = noise"]


def test_when_all_fail_the_context_stays():
    proposer = Scripted(["a = -near", "a = fast"], ["?", "?"], ["a = noise", "a = noise"])
    config = SearchConfig(candidates=2, seeds=1, context="iteration")
    search = toy_search(Search(proposer, QUANTITIES, config), 3)
    assert [x.best and x.best.number for x in proposer.seen] == [None, 0, 0]
    assert len(proposer.seen[2].failures()) == 2
    assert search.best.number == 0 and search.shown.number == 4


def test_a_proposer_that_raises_or_answers_too_little_costs_candidates_only():
    proposer = Scripted(RuntimeError("lost"), ["a = -near"], ["a = near"] * 5)
    search = toy_search(Search(proposer, QUANTITIES, SearchConfig(candidates=3, seeds=1)), 3)
    assert search.counts() == {"trained": 4, "no answer": 5}
    assert "RuntimeError: lost" in search.archive[0].error
    assert "gave 1 of 3" in search.archive[4].error


def test_a_broken_training_is_a_failure_with_a_reason():
    search = Search(Scripted(["a = near"]), QUANTITIES, SearchConfig(candidates=1, seeds=2))
    waiting = search.propose()
    runs = toy_runs(waiting, 2)
    runs.fitness[1] = np.nan
    search.absorb(waiting, runs)
    assert search.counts() == {"training broke": 1} and "1 of 2" in search.archive[0].error


def test_programs_beyond_slots_need_the_tape():
    text = ["a = near * fast"]
    for form, status in (("slots", c.REFUSED), ("tape", c.WAITING)):
        search = Search(Scripted(text), QUANTITIES, SearchConfig(candidates=1, form=form))
        search.propose()
        assert search.archive[0].status == status


def test_a_human_reward_comes_first():
    proposer = Scripted(["a = fast", "a = noise"])
    config = SearchConfig(candidates=2, seeds=1)
    search = toy_search(Search(proposer, QUANTITIES, config, human="a = -near"), 2)
    assert [one.proposal.origin for one in search.archive] == ["human", "", ""]
    assert proposer.seen[0].best.proposal.text == "a = -near"
    assert any(line.startswith("task_score") for line in proposer.seen[0].reflection)
    with pytest.raises(InputError, match="no quantity"):
        Search(proposer, QUANTITIES, config, human="a = success")


def test_a_recording_torn_by_a_crash_is_continued(tmp_path):
    path = tmp_path / "proposals.jsonl"
    config = SearchConfig(candidates=2, generations=2, seeds=1)
    toy_search(Search(RecordingProposer(EvolutionProposer(3), path), QUANTITIES, config), 1)
    whole = path.read_text()
    path.write_text(whole + whole[:50])
    RecordingProposer(EvolutionProposer(3), path)
    assert path.read_text() == whole and len(ReplayProposer(path).generations[0]) == 2


def test_recording_and_replay(tmp_path):
    path = tmp_path / "deep" / "proposals.jsonl"
    first = toy_search(Search(RecordingProposer(EvolutionProposer(3), path), QUANTITIES, SMALL), 3)
    second = toy_search(Search(ReplayProposer(path), QUANTITIES, SMALL), 4)
    assert [one.record() for one in first.archive] == [one.record() for one in second.archive[:48]]
    assert second.counts()["no answer"] == 16  # the recording ends
    path.write_text(path.read_text() + '{"generation": 0}\n')
    with pytest.raises(InputError, match="line 49"):
        ReplayProposer(path)


@pytest.mark.parametrize(
    ("typed", "choice", "words"),
    [
        (["1", ""], "first", ""),
        (["3", "", "2", "calmer"], "second", "calmer"),
        (["=", ""], "tie", ""),
        ([], "tie", ""),
    ],
)
def test_asking_in_the_terminal(typed, choice, words):
    shown, keys = [], iter(typed)

    def read(prompt):
        try:
            return next(keys)
        except StopIteration:
            raise EOFError from None

    found = ask_in_terminal((4, "@.."), (7, "..@"), read=read, write=shown.append)
    assert found == Preference(4, 7, choice, words)
    assert "@.." in shown[0] and "..@" in shown[1] and "candidate 7" in shown[1]


def test_preferences_choose_what_is_shown_next(tmp_path):
    proposer = Scripted(["a = -near", "a = fast", "a = near", "a = ?"], ["a = fast"] * 4)
    search = toy_search(Search(proposer, QUANTITIES, SearchConfig(candidates=4, seeds=1)), 1)
    assert search.shown.number == 0 and pairs_to_ask(search.archive) == [(0, 1)]
    path = tmp_path / "preferences.jsonl"
    path.write_text(
        '{"first": 0, "second": 1, "choice": "second", "words": "it runs"}\n\n'
        '{"first": 0, "second": 2, "choice": "tie"}\n'
    )
    assert apply_preferences(search, read_preferences(path)).number == 1
    search.propose()
    assert proposer.seen[1].best.number == 1 and proposer.seen[1].reflection == ("it runs",)
    assert "it runs" in messages(proposer.seen[1])[-1]["content"]
    assert apply_preferences(search, []) is None
    for number in (3, 99):
        with pytest.raises(InputError):
            apply_preferences(search, [Preference(0, number, "first")])


@pytest.mark.parametrize("line", ["{", '{"first": 0}', '{"first":0,"second":1,"choice":"x"}', "3"])
def test_a_bad_preference_is_named(tmp_path, line):
    path = tmp_path / "preferences.jsonl"
    path.write_text('{"first": 0, "second": 1, "choice": "tie"}\n' + line + "\n")
    with pytest.raises(InputError, match="line 2"):
        read_preferences(path)


@pytest.mark.parametrize(
    "wrong", [{"candidates": 0}, {"generations": 0}, {"seeds": 0}, {"form": "x"}, {"context": "x"}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        SearchConfig(**wrong)
