"""Generation: the policy's own words whatever is asked beside it, and in token worlds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.networks.decoder import DecoderConfig, head, init_decoder, teacher_forced
from jaxrl_rewards.rollout.constraints import TokenMask, stop_strings, trie
from jaxrl_rewards.rollout.generate import GenerateConfig, block_size, generate
from jaxrl_rewards.rollout.sampling import OUT, Sampling, draw, penalised, tempered, truncated

CONFIG = DecoderConfig(
    vocabulary=50, width=32, layers=2, heads=4, kv_heads=2, hidden=48, max_length=80, qk_norm=True
)
PARAMS = init_decoder(jax.random.key(0), CONFIG)
PARAMS = jax.tree.map(
    lambda leaf: leaf + 0.1 * jnp.cos(7.0 * jnp.arange(leaf.size).reshape(leaf.shape)), PARAMS
)
RANDOM = np.random.default_rng(0)
PROMPTS = RANDOM.integers(0, 50, (8, 20)).astype(np.int32)
LENGTHS = np.array([3, 1, 7, 5, 12, 2, 9, 20])
SETTINGS = GenerateConfig(new_tokens=12, group_size=2, stop=(3,))
KEY = jax.random.key(5)
run = jax.jit(generate, static_argnums=(2, 5))


def ask(rows=slice(None), pad=0, sampling=None, **more):
    prompts = PROMPTS[rows]
    junk = RANDOM.integers(0, 50, (len(prompts), pad)).astype(np.int32)
    more = {"numbers": np.arange(8)[rows], **more}
    sampling = sampling or Sampling(temperature=1.3)
    prompts = np.concatenate([prompts, junk], axis=1)
    return run(KEY, PARAMS, CONFIG, prompts, LENGTHS[rows], SETTINGS, sampling, **more)


def answer(played, row, member=0):
    """`(tokens, bits of the log-probabilities)` of one answer."""
    own = np.asarray(played.own[row, member])
    bits = np.asarray(played.log_prob[row, member]).view(np.int32)
    return np.asarray(played.action[row, member])[own], bits[own]


@pytest.fixture(scope="module")
def whole():
    return ask()


def test_rows_are_texts_and_log_probabilities_those_of_one_pass(whole):
    rows = jax.tree.map(lambda leaf: leaf.reshape(16, *leaf.shape[2:]), whole)
    for row, (length, tokens) in enumerate(zip(LENGTHS.repeat(2), rows.obs, strict=True)):
        np.testing.assert_array_equal(tokens[:length], PROMPTS[row // 2, :length])
        assert not rows.own[row, : length - 1].any() and rows.own[row, length - 1]
        there = int(rows.alive[row].sum())
        np.testing.assert_array_equal(tokens[1:there], rows.action[row, : there - 1])
        assert rows.done[row].sum() == 1 and rows.done[row, there - 1]
        assert rows.terminated[row, there - 1] == (rows.action[row, there - 1] == 3)
        assert rows.own[row].sum() == 12 or rows.terminated[row].any()
    hidden, _ = jax.jit(teacher_forced, static_argnums=1)(PARAMS, CONFIG, rows.obs)
    logits = jax.nn.log_softmax(head(PARAMS, CONFIG, hidden) / 1.3)
    expected = jnp.take_along_axis(logits, rows.action[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(
        np.where(rows.own, expected, 0.0), np.where(rows.own, rows.log_prob, 0.0), atol=1e-4
    )
    assert (np.asarray(rows.turn) == np.where(rows.own, 0, -1)).all()


@pytest.mark.parametrize(  # every shape is a compile of its own
    ("rows", "pad"), [([4], 40), ([5, 7, 6], 13), ([3, 0, 4, 7, 6, 2, 1, 5], 1)]
)
def test_bits_do_not_depend_on_batch_order_or_padding(whole, rows, pad):
    played = ask(rows, pad)
    for place, row in enumerate(rows):
        for member in range(2):
            for found, expected in zip(
                answer(played, place, member), answer(whole, row, member), strict=True
            ):
                np.testing.assert_array_equal(found, expected)


def test_generation_without_a_cache_says_the_same(whole):
    last = jax.jit(teacher_forced, static_argnums=1)
    tokens = np.zeros((8, 31), np.int32)
    tokens[:, :20] = PROMPTS
    ended = np.zeros(8, bool)
    for step in range(12):
        at = LENGTHS - 1 + step
        hidden = last(PARAMS, CONFIG, jnp.asarray(tokens))[0][np.arange(8), at]
        keys = [  # of prompt, answer and token; the policy has the first of three
            jax.random.split(
                jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(KEY, row), 0), step), 3
            )[0]
            for row in range(8)
        ]
        noise = jnp.stack([jax.random.gumbel(key, (50,), jnp.float32) for key in keys])
        word = np.asarray(jnp.argmax(head(PARAMS, CONFIG, hidden) / 1.3 + noise, axis=-1))
        for row in np.flatnonzero(~ended):
            assert whole.action[row, 0, at[row]] == word[row], (step, row)
            tokens[row, min(at[row] + 1, 30)] = word[row]
        ended |= word == 3


def test_temperature_0_takes_the_likeliest_and_numbers_may_differ_by_prompt():
    warm = jnp.where(jnp.arange(8) == 2, 1.3, 0.0)
    played = ask(sampling=Sampling(temperature=warm))
    alike = [
        all((a == b).all() for a, b in zip(answer(played, row, 0), answer(played, row, 1)))
        for row in range(8)
    ]
    assert alike == [row != 2 for row in range(8)]


def test_masks_tries_and_stop_strings():
    mask = jnp.zeros((1, 50), bool).at[0, jnp.array([3, 8, 9])].set(True)
    played = ask(constraint=TokenMask(mask=mask))
    assert set(np.asarray(played.action)[np.asarray(played.own)]) <= {3, 8, 9}
    words = [[10, 11], [10, 12, 13], [20]]
    played = ask(constraint=trie(words, 50, end=3))
    for row in range(8):
        for member in range(2):
            assert list(answer(played, row, member)[0]) in [[*word, 3] for word in words]
    assert float(played.terminated.sum()) == 16.0
    texts = [bytes([97 + token % 5, 97 + token % 3]) for token in range(50)]
    played = ask(stop_strings=stop_strings(["bcc", "aa"], texts))
    for row in range(8):
        said = [texts[token] for token in answer(played, row)[0]]
        spelt, before = b"".join(said), b"".join(said[:-1])
        hit = b"bcc" in spelt or b"aa" in spelt or int(answer(played, row)[0][-1]) == 3
        assert bool(played.terminated[row, 0].any()) == hit
        assert b"bcc" not in before and b"aa" not in before


def test_truncation_keeps_what_its_definition_says():
    logits = jnp.log(jnp.array([[0.4, 0.3, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25]]))

    def kept(**numbers):
        sampling = Sampling(**{name: jnp.full((2, 1), value) for name, value in numbers.items()})
        return (truncated(logits, sampling) > OUT).tolist()

    assert kept(top_k=2) == [[True, True, False, False], [True] * 4]  # ties stay
    assert kept(top_k=0) == kept(top_p=1.0) == [[True] * 4] * 2
    assert kept(top_p=0.65)[0] == [True, True, False, False]
    assert kept(top_p=0.0)[0] == [True, False, False, False]
    assert kept(min_p=0.6)[0] == [True, True, False, False]
    assert kept(min_p=2.0)[0] == [True, False, False, False]
    punished = penalised(jnp.array([[2.0, -2.0]]), jnp.array([[True, True]]), jnp.array([[2.0]]))
    np.testing.assert_array_equal(punished, [[1.0, -4.0]])
    cold = jnp.zeros((1, 1))
    assert tempered(logits[:1], cold).tolist() == logits[:1].tolist()
    assert draw(jnp.array([[0.0, 9.0, 0.0, 0.0]]), logits[:1], cold).tolist() == [0]
    assert draw(jnp.array([[0.0, 9.0, 0.0, 0.0]]), logits[:1], cold + 1).tolist() == [1]


def test_repetition_is_punished():
    often = ask(sampling=Sampling(temperature=0.0, repetition_penalty=50.0))
    plain = ask(sampling=Sampling(temperature=0.0))

    def repeats(played):
        rows = [answer(played, row)[0] for row in range(8)]
        return sum(len(row) - len(set(row.tolist())) for row in rows)

    assert repeats(often) < repeats(plain)


def test_blocks_hold_a_multiple_of_16_rows_and_bad_input_is_named():
    for group in (1, 3, 7, 8, 100):
        assert block_size(1000, group, 64) * group % 16 == 0
    with pytest.raises(ValueError, match="need max_length >= 101, it is 80"):
        ask(pad=70)
    with pytest.raises(ValueError, match="new_tokens must be at least 1, got 0"):
        GenerateConfig(new_tokens=0)
    with pytest.raises(ValueError, match="token 50 is outside the vocabulary of 50"):
        trie([[50]], 50, end=3)
    with pytest.raises(ValueError, match="sequences of at least one token"):
        trie([], 50, end=3)
    with pytest.raises(ValueError, match="must not be empty"):
        stop_strings([""], [b"a"])
