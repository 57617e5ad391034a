"""GRPO's variants against plain calculations, and what theory says of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core import Trajectories
from jaxrl_rewards.learners.group import (
    GroupBatch,
    GroupHParams,
    Objective,
    outcome,
    token_objective,
)
from jaxrl_rewards.learners.grpo import (
    ADVANTAGES,
    LOSSES,
    GRPOConfig,
    make_grpo,
    named_credit,
    objective,
)
from jaxrl_rewards.losses.kl import KINDS as KL_KINDS
from tests.learners.toys import Bandit, Corridor, arrays, assert_close, distance

PROMPTS, GROUP, TIME = 3, 4, 5
CONFIG = GRPOConfig(num_prompts=PROMPTS, group_size=GROUP, hidden=(8,))


def made_up(seed=0):
    """Answers of different lengths, and the current log-probabilities of their tokens."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, TIME + 1, (PROMPTS, GROUP))
    old = -random.uniform(0.1, 2.0, (PROMPTS, GROUP, TIME, 1))
    new = old + random.normal(0.0, 0.3, old.shape)
    reference = old + random.normal(0.0, 0.3, old.shape)
    alive = jnp.asarray(np.arange(TIME) < lengths[..., None])
    score = jnp.asarray(random.normal(size=(PROMPTS, GROUP)), jnp.float32)
    nowhere = jnp.zeros_like(alive)
    answers = Trajectories(
        obs=(), action=(), log_prob=jnp.asarray(old, jnp.float32), terms={}, applicable={},
        reward=jnp.zeros(alive.shape).at[..., 0].set(score), terminated=nowhere, truncated=nowhere,
        alive=alive, own=alive, broken=nowhere, turn=(), group=(), info=(),
    )  # fmt: skip
    return jnp.asarray(new, jnp.float32), Batch(answers, jnp.asarray(reference, jnp.float32))


@dataclasses.dataclass(frozen=True)
class Batch:
    """Answers, and their log-probabilities under the reference."""

    played: Trajectories
    reference: jnp.ndarray

    @property
    def alive(self):
        return self.played.alive

    @property
    def log_prob(self):
        return self.played.log_prob

    @property
    def ref_log_prob(self):
        return self.reference

    @property
    def score(self):
        return self.played.reward[..., 0]


def answer_advantages(answers, config):
    """One advantage per answer; the credit gives the same at every position."""
    reward, keep = outcome(answers.played, {}, None)
    credit = named_credit(config.advantage, config.epsilon)(answers.played, reward, keep, None)
    assert float(jnp.ptp(credit, axis=-1).max()) == 0.0
    return credit[..., 0]


def grpo_loss(new, answers, advantage, config, hparams):
    spread = jnp.broadcast_to(advantage[..., None], answers.alive.shape)
    batch = GroupBatch(
        played=answers.played, advantage=spread, keep=jnp.ones(PROMPTS, bool),
        reference=answers.reference,
    )  # fmt: skip
    return token_objective(new, batch, Objective(*objective(config), config.kl), hparams)


NUMBERS = GroupHParams(env_params=(), clip_low=0.2, clip_high=0.3, kl_coefficient=0.1)


def plain_advantages(score, kind, epsilon):
    score = np.asarray(score, np.float64)
    found = np.zeros_like(score)
    for p, group in enumerate(score):
        for g, own in enumerate(group):
            others = np.delete(group, g)
            found[p, g] = {
                "grpo": (own - group.mean()) / (group.std(ddof=1) + epsilon),
                "dr_grpo": own - group.mean(),
                "reinforce_plus_plus": own - group.mean(),
                "rloo": own - others.mean(),
                "pass_at_k": max(0.0, own - others.max()) / (group.std(ddof=1) + epsilon),
            }[kind]
    if kind == "reinforce_plus_plus":
        found = (found - found.mean()) / np.sqrt(found.var(ddof=1) + 1e-8)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ADVANTAGES)
def test_advantages_of_answers(kind):
    _, answers = made_up()
    config = dataclasses.replace(CONFIG, advantage=kind)
    found = answer_advantages(answers, config)
    expected = plain_advantages(answers.score, kind, config.epsilon)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    if kind != "pass_at_k":
        centre = found.sum(-1) if kind != "reinforce_plus_plus" else found.sum()
        np.testing.assert_allclose(centre, 0.0, atol=1e-5)


def plain_loss(new, answers, advantage, config):
    """Token by token in float64."""
    new, old, reference = (
        np.asarray(x, np.float64)[..., 0] for x in (new, answers.log_prob, answers.ref_log_prob)
    )
    alive = np.asarray(answers.alive)
    loss, kl = np.zeros(new.shape), np.zeros(new.shape)
    for index in zip(*np.nonzero(alive), strict=True):
        own = float(advantage[index[:2]])
        log_ratio = new[index] - old[index]
        if config.loss == "gspo":
            row = alive[index[:2]]
            log_ratio = (new[index[:2]] - old[index[:2]])[row].mean()
        ratio = np.exp(log_ratio)
        held = np.clip(ratio, 0.8, 1.3)
        if config.loss == "reinforce":
            loss[index] = -own * new[index]
        elif config.loss == "cispo":
            loss[index] = -held * own * new[index]
        elif config.loss == "sapo":
            tau = 1.0 if own > 0 else 1.05
            loss[index] = -own * (4 / tau) / (1 + np.exp(-tau * (ratio - 1)))
        else:
            loss[index] = -min(ratio * own, held * own)
        d = new[index] - reference[index]
        kl[index] = {
            "k1": d, "k2": d * d / 2, "k3": np.exp(-d) - 1 + d,
            "k3+": np.exp(-d) - 1 + d, "abs": abs(d),
        }[config.kl]  # fmt: skip
    by_answer = config.loss in ("grpo", "gspo", "sapo")
    length = alive.sum(-1)

    def mean(x):
        return (x.sum(-1) / length).mean() if by_answer else x.sum() / alive.sum()

    return mean(loss) + 0.1 * mean(kl), mean(kl)  # the penalty is averaged like the loss


@pytest.mark.parametrize(
    ("loss", "kl"),
    [(loss, "k3") for loss in LOSSES] + [("grpo", kl) for kl in KL_KINDS if kl != "k3"],
)
def test_losses_over_answers(loss, kl):
    new, answers = made_up()
    config = dataclasses.replace(CONFIG, loss=loss, kl=kl)
    advantage = answer_advantages(answers, config)
    found, metrics = grpo_loss(new, answers, advantage, config, NUMBERS)
    expected, divergence = plain_loss(new, answers, np.asarray(advantage, np.float64), config)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(metrics["kl"], divergence, rtol=2e-5, atol=1e-6)


def token_gradients(config, answers, new=None):
    """Gradient of the loss in the tokens' log-probabilities at the sampling policy."""
    new = answers.log_prob if new is None else new
    advantage = answer_advantages(answers, config)
    numbers = NUMBERS.replace(kl_coefficient=0.0)
    return jax.grad(lambda x: grpo_loss(x, answers, advantage, config, numbers)[0])(new)


def cosine(a, b):
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_within_a_group_grpo_rloo_and_dr_grpo_point_the_same_way():
    """RLOO is G / (G - 1) times the centred score, GRPO its quotient by the deviation."""
    _, answers = made_up()
    found = {
        kind: np.asarray(token_gradients(dataclasses.replace(CONFIG, advantage=kind), answers))
        for kind in ("grpo", "rloo", "dr_grpo")
    }
    for prompt in range(PROMPTS):
        one = {kind: gradient[prompt] for kind, gradient in found.items()}
        assert cosine(one["grpo"], one["rloo"]) > 1 - 1e-6
        np.testing.assert_allclose(
            one["rloo"], one["dr_grpo"] * GROUP / (GROUP - 1), rtol=1e-5, atol=1e-7
        )
        deviation = np.std(np.asarray(answers.score)[prompt], ddof=1) + CONFIG.epsilon
        np.testing.assert_allclose(one["grpo"] * deviation, one["dr_grpo"], rtol=1e-4, atol=1e-7)
    assert 0.0 < cosine(found["grpo"], found["rloo"]) < 1 - 1e-4  # weighs prompts differently


def test_first_step_losses_agree_and_dead_tokens_get_no_gradient():
    """At the sampling policy every ratio is 1: ppo, dapo, cispo and reinforce share a gradient."""
    _, answers = made_up()
    found = {
        loss: token_gradients(
            dataclasses.replace(CONFIG, loss=loss, aggregation="token-mean"), answers
        )
        for loss in LOSSES
    }
    for loss, gradient in found.items():
        np.testing.assert_allclose(gradient, found["reinforce"], rtol=1e-5, atol=1e-7, err_msg=loss)
        assert float(jnp.abs(jnp.where(answers.alive[..., None], 0.0, gradient)).max()) == 0.0
    alive = answers.alive[..., None]
    broken = Batch(
        answers.played.replace(log_prob=jnp.where(alive, answers.log_prob, jnp.nan)),
        jnp.where(alive, answers.reference, jnp.nan),
    )
    assert_close(token_gradients(CONFIG, broken), token_gradients(CONFIG, answers))


def test_dr_grpo_weighs_tokens_alike_and_grpo_answers():
    new, answers = made_up()
    alive = jnp.zeros((PROMPTS, GROUP, TIME), bool).at[:, :, :2].set(True).at[:, 0].set(True)
    score = jnp.tile(jnp.asarray([1.0, 1.0, -1.0, -1.0]), (PROMPTS, 1))
    reward = jnp.zeros(alive.shape).at[..., 0].set(score)
    answers = Batch(
        answers.played.replace(alive=alive, own=alive, reward=reward), answers.reference
    )
    dr = dataclasses.replace(CONFIG, advantage="dr_grpo", aggregation="seq-mean-token-sum-norm")
    per_token = np.abs(token_gradients(dr, answers))[0, :2, 0, 0]
    np.testing.assert_allclose(per_token[0], per_token[1], rtol=1e-6)
    per_token = np.abs(token_gradients(CONFIG, answers))[0, :2, 0, 0]
    np.testing.assert_allclose(per_token[0] * TIME, per_token[1] * 2, rtol=1e-6)


def test_answers_start_alike_and_end_with_their_episode():
    env = Corridor(limit=4)
    learner = make_grpo(env, GRPOConfig(num_prompts=3, group_size=4, horizon=6, hidden=(8,)))
    state = jax.jit(learner.init)(jax.random.key(0), learner.hparams)
    new, metrics = jax.jit(learner.update)(state, learner.hparams)
    assert distance(new.params, state.params) > 1e-5
    assert_close(new.models["reference"], state.params, rtol=0, atol=0)  # the reference stays
    assert 1.0 <= float(metrics["length"]) <= 4.0
    assert float(metrics["kl"]) == 0.0 and float(metrics["clip_fraction"]) == 0.0
    again, metrics = jax.jit(learner.update)(new, learner.hparams)
    assert float(metrics["kl"]) > 0.0
    np.testing.assert_allclose(
        metrics["score"], metrics["term/position"] - 0.1 * metrics["term/effort"], rtol=1e-5
    )


def test_grpo_and_rloo_updates_of_one_prompt_agree():
    """Adam's first step does not see the scale, so the two move the parameters alike."""
    updates = {}
    for kind in ("grpo", "rloo", "dr_grpo"):
        config = GRPOConfig(num_prompts=1, group_size=16, advantage=kind, hidden=(8,))
        learner = make_grpo(Bandit(), config)
        hparams = learner.hparams.replace(max_grad_norm=jnp.inf, kl_coefficient=0.0)
        state = jax.jit(learner.init)(jax.random.key(4), hparams)
        new, _ = jax.jit(learner.update)(state, hparams)
        flat = lambda tree: np.concatenate([x.ravel() for x in arrays(tree)])  # noqa: E731
        updates[kind] = flat(new.params) - flat(state.params)
    assert np.abs(updates["grpo"]).max() > 1e-5
    assert cosine(updates["grpo"], updates["rloo"]) > 0.999
    assert cosine(updates["grpo"], updates["dr_grpo"]) > 0.999


def test_without_a_divergence_no_reference_is_kept_or_evaluated():
    """The same step as with a coefficient of 0, with less work."""
    learner = make_grpo(Bandit(), CONFIG)
    found, work = [], []
    for coefficient in (0.0, None):
        hparams = learner.hparams.replace(kl_coefficient=coefficient)
        state = jax.jit(learner.init)(jax.random.key(0), hparams)
        assert set(state.models) == (set() if coefficient is None else {"reference"})
        program = jax.jit(learner.update).trace(state, hparams)
        work.append(str(program.jaxpr).count("dot_general"))
        found.append(program.lower().compile()(state, hparams))
        assert ("kl" in found[-1][1]) is (coefficient is not None)
    assert_close(found[0][0].params, found[1][0].params)
    assert work[1] < work[0]
