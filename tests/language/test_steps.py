"""Labelled steps: readers, metrics, and a process reward model on a decoder."""

import copy
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxrl_envs.language import Arithmetic, TokenWorld
from jaxrl_envs.language.step_data import MARK, read_steps

from jaxrl_rewards.core import InputError
from jaxrl_rewards.credit.step_rewards import step_scorer
from jaxrl_rewards.learners import make_fit
from jaxrl_rewards.learners.step_scores import (
    LabelledSteps,
    step_logits,
    step_loss,
    step_scores,
    whole_text,
)
from jaxrl_rewards.learners.texts import text_loss
from jaxrl_rewards.networks.decoder import DecoderConfig
from jaxrl_rewards.networks.language_policy import decoder_actor_critic
from jaxrl_rewards.reward_models.ranking import auc
from jaxrl_rewards.reward_models.step_metrics import (
    answer_score,
    best_of_n,
    first_error,
    first_error_scores,
    step_f1,
)
from jaxrl_rewards.studies.grpo_ppo_core.train.questions import solved
from tests.learners.played import answers

ROWS = {
    "process_bench": {"problem": "1+1+1?", "steps": ["1+1=2", "2+1=4", "so 4"], "label": 1},
    "prm_bench": {
        "question": "2?",
        "modified_question": "3?",
        "modified_process": ["a", "b", "c"],
        "error_steps": [2, 3],
    },
    "prm800k": {
        "question": {"problem": "how many?"},
        "label": {
            "steps": [
                {"completions": [{"text": "one", "rating": 1}], "chosen_completion": 0},
                {"human_completion": {"text": "two"}, "completions": [], "chosen_completion": None},
                {
                    "completions": [{"text": "x", "rating": 0}, {"text": "bad", "rating": -1}],
                    "chosen_completion": None,
                },
            ]
        },
    },
    "math_shepherd": {
        "input": f"How many? Step 1: one {MARK}\nStep 2: two {MARK}\nStep 3: three {MARK}",
        "label": "How many? Step 1: one +\nStep 2: two -\nStep 3: three -",
    },
    "trl_stepwise": {"prompt": "p", "completions": ["a", "b"], "labels": [True, False]},
}
LABELS = {
    "process_bench": (1.0, 0.0, None),
    "prm_bench": (1.0, 0.0, 0.0),
    "prm800k": (1.0, 1.0, 0.0),
    "math_shepherd": (1.0, 0.0, 0.0),
    "trl_stepwise": (1.0, 0.0),
}


def written(tmp_path, row):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    return path


@pytest.mark.parametrize("layout", ROWS)
def test_rows_as_they_are(tmp_path, layout):
    (row,) = read_steps(written(tmp_path, ROWS[layout]))
    assert row.layout == layout
    assert row.labels == LABELS[layout]
    assert len(row.steps) == len(row.labels)
    assert row.first_error == LABELS[layout].index(0.0)
    assert all(isinstance(step, str) and step.strip() for step in row.steps)
    if layout == "math_shepherd":
        assert (row.problem, row.steps[1]) == ("How many?", "Step 2: two")


def spoilt(value, generator):
    """The row with one place changed to something else."""
    value = copy.deepcopy(value)
    spots = []

    def walk(node):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, child in list(items):
            spots.append((node, key))
            if isinstance(child, dict | list):
                walk(child)

    walk(value)
    node, key = spots[generator.integers(len(spots))]
    junk = [None, -7, 2.5, float("inf"), "", "x", [], {}, [None], {"a": 1}, True, "9" * 50]
    node[key] = junk[generator.integers(len(junk))]
    return value


@pytest.mark.parametrize("layout", ROWS)
def test_spoilt_rows_are_one_sentence(tmp_path, layout):
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(120):
        path = written(tmp_path, spoilt(ROWS[layout], generator))
        try:
            read_steps(path)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
            assert str(path) in str(error)
    assert refused > 30


masks = st.lists(st.booleans(), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(masks, st.integers(0, 10_000))
def test_step_metrics_against_plain_python(mask, seed):
    generator = np.random.default_rng(seed)
    scores = generator.random(len(mask)).round(2)
    kept = [s for s, m in zip(scores, mask) if m]
    wrong = [i for i, (s, m) in enumerate(zip(scores, mask)) if m and s < 0.5]
    given_ = jnp.asarray(scores), jnp.asarray(mask)
    assert int(first_error(*given_)) == (wrong[0] if wrong else -1)
    expected = {"min": min, "product": np.prod, "last": lambda v: v[-1], "mean": np.mean}
    for how, function in expected.items():
        value = float(answer_score(*given_, how))
        assert value == pytest.approx(function(kept) if kept else -np.inf, rel=1e-5)


def test_benchmark_figures_against_plain_python():
    predicted = np.array([0, 2, -1, -1, 1, 1, -1])
    label = np.array([0, 1, -1, 2, -1, 1, -1])
    told = first_error_scores(jnp.asarray(predicted), jnp.asarray(label))
    np.testing.assert_allclose(told["error"], 2 / 4)
    np.testing.assert_allclose(told["correct"], 2 / 3)
    np.testing.assert_allclose(told["f1"], 2 * 0.5 * (2 / 3) / (0.5 + 2 / 3), rtol=1e-6)
    assert np.isnan(first_error_scores(jnp.array([1]), jnp.array([1]))["f1"])
    said = np.array([1, 1, 0, 0, 1], bool)
    truth = np.array([1, 0, 0, 1, 1], bool)
    mask = np.array([1, 1, 1, 1, 0], bool)
    found = step_f1(said, truth, mask)
    np.testing.assert_allclose(found["f1"], 2 * 1 / (2 + 2))
    np.testing.assert_allclose(found["negative_f1"], 2 * 1 / (2 + 2))
    scores = jnp.array([[0.1, 0.9], [0.5, 0.5], [jnp.nan, 0.0]])
    right = jnp.array([[False, True], [True, False], [True, False]])
    np.testing.assert_allclose(best_of_n(scores, right), (1 + 0.5 + 0) / 3, rtol=1e-6)


TASK = Arithmetic(max_level=1)
WORLD = TokenWorld(TASK)
CONFIG = DecoderConfig(
    vocabulary=TASK.vocabulary.size, width=32, layers=2, heads=2, kv_heads=2, hidden=64,
    max_length=WORLD.spec.max_steps + 1,
)  # fmt: skip


@pytest.fixture(scope="module")
def network():
    return decoder_actor_critic(CONFIG)


def labelled(key, count):
    """Solutions with a digit changed in half of them, judged by the exact oracle."""
    prompts = TASK.prompts(key, count)
    answer = TASK.solutions(prompts)
    keys = jax.random.split(key, 3)
    place = jax.random.randint(keys[0], (count,), 6, 8)
    digit = TASK.vocabulary.id("0") + jax.random.randint(keys[1], (count,), 0, 10)
    spoil = jax.random.bernoulli(keys[2], 0.6, (count,))
    row = jnp.arange(count)
    answer = answer.at[row, place].set(jnp.where(spoil, digit, answer[row, place]))
    steps = TASK.steps(prompts, answer)
    before = jnp.zeros(prompts.tokens.shape, bool)
    return LabelledSteps(
        tokens=jnp.concatenate([prompts.tokens, answer], axis=1),
        label=jnp.concatenate([before, steps.sound], axis=1).astype(jnp.float32),
        judged=jnp.concatenate([before, steps.end], axis=1),
        ends=jnp.zeros((count, before.shape[1] + answer.shape[1]), bool),
    )


def test_the_loss_against_numpy(network):
    params = network.init(jax.random.key(1))
    params["value"] = {"kernel": jnp.linspace(-1, 1, 32), "bias": jnp.float32(0.2)}
    texts = labelled(jax.random.key(2), 5)
    soft = texts.replace(label=jnp.where(texts.judged, 0.25 + 0.5 * texts.label, jnp.nan))
    logit = np.asarray(step_logits(network, params, texts.tokens, texts.ends), np.float64)
    chance = 1 / (1 + np.exp(-logit))
    label = np.asarray(soft.label, np.float64)
    expected = -(label * np.log(chance) + (1 - label) * np.log(1 - chance))
    loss, grads = jax.value_and_grad(lambda p: step_loss(network)(p, soft, None)[0])(params)
    np.testing.assert_allclose(loss, expected[np.asarray(texts.judged)].mean(), rtol=1e-5)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_a_decoder_learns_to_tell_wrong_steps(network):
    """Ranking of steps of fresh problems, from the weights of a policy that can solve them: .93 to
    .97 on four seeds; from random weights it takes thousands of steps."""
    asked = WORLD.default_params()
    policy = make_fit(
        network.init,
        text_loss(network),
        lambda key, data, hparams: solved(WORLD, key, 64, asked),
        steps_per_update=400,
    )
    hparams = policy.hparams.replace(learning_rate=5e-3)
    begun, _ = jax.jit(policy.update)(jax.jit(policy.init)(jax.random.key(0), hparams), hparams)
    learner = make_fit(
        network.init,
        step_loss(network),
        lambda key, data, hparams: labelled(key, 64),
        steps_per_update=300,
    )
    hparams = learner.hparams.replace(learning_rate=2e-3, initial_params=begun.params)
    state = jax.jit(learner.init)(jax.random.key(0), hparams)
    fresh = labelled(jax.random.key(99), 400)

    def rank(params):
        logit = step_logits(network, params, fresh.tokens, fresh.ends)
        return float(auc(logit[fresh.judged], fresh.label[fresh.judged] > 0.5))

    assert rank(state.params) == pytest.approx(0.5, abs=0.01)  # the value head starts at 0
    state, metrics = jax.jit(learner.update)(state, hparams)
    assert rank(state.params) > 0.85
    assert float(metrics["skipped"]) == 0


def test_scores_follow_the_tokens_as_they_stood(network):
    """Forced tokens are those that the world showed, own ones those that were chosen."""
    played = answers(jnp.zeros((1, 2)), length=4, tokens=9)
    own = jnp.array([[[False, True, True, True], [False, False, True, True]]])
    played = played.replace(own=own, turn=jnp.array([[[-1, 0, 0, 1], [-1, -1, 0, 1]]]))
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), played)
    text = np.asarray(whole_text(flat))
    obs, action = np.asarray(flat.obs), np.asarray(flat.action)
    assert text[0].tolist() == [obs[0, 0], obs[0, 1], *action[0, 1:]]
    assert text[1].tolist() == [obs[1, 0], obs[1, 1], obs[1, 2], *action[1, 2:]]
    params = network.init(jax.random.key(1))
    params["value"] = {"kernel": jnp.linspace(-1, 1, 32), "bias": jnp.float32(0.2)}
    found = step_scores(network)(played, {"process": params}, None)
    logit = step_logits(network, params, jnp.asarray(text), jnp.zeros(text.shape, bool))
    np.testing.assert_allclose(found[0], jax.nn.sigmoid(logit[:, 1:]), rtol=1e-5)
    reward, keep = step_scorer(step_scores(network), kind="raw", max_steps=4)(
        played, {"process": params}, None
    )
    assert keep.all()
    np.testing.assert_allclose(reward.terms["prm"][0, 0, 2], found[0, 0, 2], rtol=1e-6)
