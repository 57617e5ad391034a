"""Training with programs: one compile, equal results however batched, no signal from no reward."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.learners.ppo import PPOConfig, make_ppo
from jaxrl_rewards.networks.tabular import tabular_actor_critic
from jaxrl_rewards.reward_design.eureka.offline import EvolutionProposer
from jaxrl_rewards.reward_design.eureka.search import (
    Search,
    SearchConfig,
    run_search,
    train_candidates,
)
from jaxrl_rewards.reward_design.eureka.trainer import CandidateTrainer
from jaxrl_rewards.reward_design.programs.parser import parse_program
from jaxrl_rewards.reward_design.programs.quantities import state_quantities
from jaxrl_rewards.reward_design.programs.reward import ProgramReward
from jaxrl_rewards.reward_design.programs.slots import compile_slots, slots_of
from jaxrl_rewards.reward_design.programs.tape import compile_tape
from jaxrl_rewards.studies.eureka.train.tasks import EXPERT, at_stairs
from tests.eureka.tiny_learner import tiny_learner

from jaxrl_envs.registry import make  # isort: skip

ENV = make("keydoor", rooms=2, observation="state", max_steps=20)
LEARNER = tiny_learner(ENV)
MEASURE = state_quantities(ENV.quantities)


def trainer(width=4, **options):
    given = dict(measure=MEASURE, success=at_stairs, updates=3, episodes=8, width=width)
    return CandidateTrainer(ENV, LEARNER, **{**given, **options})


def population(compiler, *texts):
    compiled = [compiler(parse_program(text, ENV.quantities)) for text in texts]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *compiled)


def as_slots(program):
    return compile_slots(slots_of(program), ENV.quantities)


def as_tape(program):
    return compile_tape(program, ENV.quantities)


TEXTS = (EXPERT, "far = -d_stairs", "a = 0.3 * tanh(d_key / 2.0)\nb = gold")


@pytest.fixture(scope="module")
def shared():
    return trainer()


@pytest.mark.slow
def test_slots_and_tape_train_the_same_policies(shared):
    keys = jax.random.split(jax.random.key(0), 3)
    one = shared.train(population(as_slots, *TEXTS), keys)
    other = trainer().train(population(as_tape, *TEXTS), keys)
    np.testing.assert_allclose(one.reward, other.reward, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.success, other.success)
    np.testing.assert_allclose(one.terms[..., 0], other.terms[..., 0], rtol=1e-4, atol=1e-6)
    assert np.ptp(one.reward, axis=0).max() > 0.01


@pytest.mark.slow
def test_batches_do_not_matter_and_nothing_is_compiled_twice(shared):
    keys = jax.random.split(jax.random.key(1), 6)
    six = population(as_slots, *TEXTS, *TEXTS[::-1])
    together = shared.train(six, keys)
    apart = [
        shared.train(jax.tree.map(lambda x, i=i: x[i : i + 1], six), keys[i : i + 1])
        for i in range(6)
    ]
    for number, runs in enumerate(apart):
        for one, other in zip(jax.tree.leaves(runs), jax.tree.leaves(together), strict=True):
            np.testing.assert_array_equal(one[0], other[number])
    assert shared.compilations == 1


def test_a_search_of_any_programs_compiles_once(shared):
    config = SearchConfig(candidates=5, generations=3, seeds=2)
    search = Search(EvolutionProposer(0), ENV.quantities, config, human=EXPERT)
    before = shared.trained
    run_search(search, shared, jax.random.key(2))
    assert search.counts() == {"trained": 16} and shared.trained - before == 32
    assert shared.compilations == 1
    assert len({one.proposal.text for one in search.archive}) > 8
    for one in search.archive:
        assert len(one.fitness) == 2 and len(one.logs["consecutive_successes"]) == 3


def test_a_search_repeats_exactly(shared):
    config = SearchConfig(candidates=4, generations=2, seeds=1)
    found = [
        run_search(Search(EvolutionProposer(5), ENV.quantities, config), shared, jax.random.key(3))
        for _ in range(2)
    ]
    assert [c.record() for c in found[0].archive] == [c.record() for c in found[1].archive]


@pytest.mark.slow
def test_no_reward_gives_no_signal():
    """With tables at 0 and a reward of 0, PPO's policy stays exactly uniform."""
    learner = make_ppo(
        ENV,
        PPOConfig(
            num_envs=2, unroll_length=8, num_epochs=1, num_minibatches=1, normalise_rewards=True
        ),
        network=tabular_actor_critic(ENV.num_states, 5),
    )
    empty = jax.tree.map(jnp.asarray, compile_slots((), ENV.quantities))
    reward = ProgramReward(program=empty, measure=MEASURE, success=at_stairs)
    params = learner.hparams.env_params.replace(reward=reward)
    hparams = learner.hparams.replace(env_params=params, entropy_coefficient=0.0)
    state = learner.init(jax.random.key(4), hparams)
    state, _ = jax.jit(learner.update)(state, hparams)
    assert not np.asarray(state.params["actor"]).any()
    assert not np.asarray(state.params["critic"]).any()


def test_the_success_weight_pays_success_only(shared):
    program = population(lambda p: compile_slots((), ENV.quantities), "a = gold")
    key = jax.random.split(jax.random.key(5), 1)
    none, paid = (shared.train(program, key, success_weight=w) for w in (0.0, 1.0))
    assert not none.reward.any() and not none.terms.any()
    np.testing.assert_allclose(paid.reward[0, 0] > 0, paid.success[0, 0] > 0)


@pytest.mark.slow
def test_a_world_that_breaks_spoils_no_reward_and_a_broken_success_is_told():
    key = jax.random.split(jax.random.key(6), 1)
    runs = trainer(width=1, measure=broken_measure).train(population(as_slots, TEXTS[0]), key)
    assert np.isfinite(runs.fitness).all() and not runs.reward.any()  # each node turns NaN to 0
    runs = trainer(width=1, success=broken_success).train(population(as_slots, TEXTS[0]), key)
    assert np.isnan(runs.fitness).all()
    search = Search(EvolutionProposer(0), ENV.quantities, SearchConfig(candidates=1, seeds=1))
    search.absorb(search.propose(), runs)
    assert search.counts() == {"training broke": 1}


def broken_measure(prev, action, nxt):
    return jnp.full((len(ENV.quantities), 1), jnp.nan)


def broken_success(prev, action, nxt):
    return jnp.nan * nxt.quantities["d_stairs"]


@pytest.mark.slow
def test_a_curriculum_starts_in_the_easier_world():
    easy = ENV.default_params().replace(max_steps=jnp.int32(5))
    one = as_slots(parse_program("far = -d_stairs", ENV.quantities))
    batch = jax.tree.map(lambda x: x[None], one)
    key = jax.random.split(jax.random.key(7), 1)
    plain = trainer(width=1).train(batch, key)
    staged = trainer(width=1, easier=(easy, 2)).train(batch, key)
    assert np.abs(staged.reward[0] - plain.reward[0]).max() > 0.01
    same = trainer(width=1, easier=(ENV.default_params(), 2)).train(batch, key)
    np.testing.assert_array_equal(same.reward, plain.reward)
    with pytest.raises(InputError, match="updates"):
        trainer(easier=(easy, 4))


@pytest.mark.parametrize("wrong", [{"updates": 0}, {"episodes": 0}, {"width": 0}])
def test_sizes_must_be_positive(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        trainer(**wrong)


def test_candidates_share_their_training_keys(shared):
    """Two copies of a program get equal results: common random numbers within a generation."""
    search = Search(EvolutionProposer(0), ENV.quantities, SearchConfig(candidates=2, seeds=2))
    waiting = search.propose()
    keys = jax.random.split(jax.random.key(8), 2)
    runs = train_candidates(shared, [waiting[0]] * 2, keys, ENV.quantities, "slots")
    np.testing.assert_array_equal(runs.reward[:2], runs.reward[2:])
