"""The token worlds: verifier and step labels against plain Python, solutions, levels, no leaks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import text_checkers
from jaxrl_envs.language import (
    TASKS,
    TEXT,
    Arithmetic,
    Countdown,
    GraphPath,
    KeyTokens,
    ModularChain,
    PlantedSequence,
    TokenWorld,
    Vocabulary,
    letters,
    turns,
)

from jaxrl_rewards.core import InputError
from jaxrl_rewards.credit.step_rewards import unit_ends
from jaxrl_rewards.rollout import Policy, independent
from jaxrl_rewards.rollout.collect import Decision

NAMES = tuple(TASKS)
COUNT = 2000


def plain(task):
    """The plain Python rules of a task: `(prompt, answer, level) -> (correct, labels)`."""
    if isinstance(task, ModularChain):
        table = task.table
        return lambda p, a, level: text_checkers.modular_chain(p, a, table, task.modulus)
    if isinstance(task, PlantedSequence):
        return lambda p, a, level: text_checkers.planted_sequence(
            p, a, task.word[:level], task.horizon
        )
    if isinstance(task, KeyTokens):
        keys = ["" if k < 0 else task.vocabulary.symbols[k] for k in task.keys]
        counted = np.cumsum([k != "" for k in keys])
        return lambda p, a, level: text_checkers.key_tokens(
            p, a, [k if n <= level else "" for k, n in zip(keys, counted, strict=True)]
        )
    function = getattr(text_checkers, task.name.replace("-", "_"))
    return lambda p, a, level: function(p, a)


def spoilt(random, task, answers, seen):
    """The answers with random edits: tokens replaced, dropped, added, moved, cut, or all random."""
    size, rows = task.answer_size, []
    for row in answers:
        row, kind = list(row), random.integers(0, 8)
        for _ in range(random.integers(0, 4)):
            place = random.integers(0, size)
            token = (
                random.choice(seen)
                if random.random() < 0.9
                else random.integers(0, task.vocabulary.size)
            )
            if kind < 4:
                row[place] = token
            elif kind == 4:
                del row[place]
            elif kind == 5:
                row.insert(place, token)
            elif kind == 6:
                row[place : place + 2] = row[place : place + 2][::-1]
            row = (row + [task.vocabulary.pad] * size)[:size]
        if kind == 7:
            row = random.choice(seen, size).tolist()
        rows.append(row)
    return np.asarray(rows, np.int32)


@pytest.fixture(scope="module", params=NAMES)
def case(request):
    """A task with prompts of all levels, solutions and spoilt answers."""
    task = TASKS[request.param]()
    levels = 1 + np.arange(COUNT) % task.max_level
    prompts = task.prompts(jax.random.key(5), COUNT, jnp.asarray(levels))
    solutions = np.asarray(task.solutions(prompts))
    seen = np.unique(solutions)
    answers = spoilt(np.random.default_rng(3), task, solutions, seen)
    return task, levels, prompts, solutions, answers


def text(task, tokens):
    return "".join(task.vocabulary.symbols[token] for token in np.asarray(tokens))


def test_solutions_are_right_step_by_step(case):
    task, _, prompts, solutions, _ = case
    assert np.all(np.asarray(task.score(prompts, solutions)) == 1)
    labels = task.steps(prompts, solutions)
    inside = np.asarray(labels.index) >= 0
    assert np.array_equal(labels.right, inside) and np.array_equal(labels.sound, inside)
    assert np.all(np.asarray(labels.end).sum(1) == np.asarray(labels.index).max(1) + 1)


def test_verifier_and_labels_agree_with_plain_python(case):
    task, levels, prompts, _, answers = case
    rule = plain(task)
    scores, labels = np.asarray(task.score(prompts, answers)), task.steps(prompts, answers)
    right, sound, end = (np.asarray(x) for x in (labels.right, labels.sound, labels.end))
    said = []
    for i in range(COUNT):
        prompt, answer = text(task, prompts.tokens[i]), text(task, answers[i])
        correct, steps = rule(prompt, answer, levels[i])
        here = list(zip(right[i][end[i]].tolist(), sound[i][end[i]].tolist(), strict=True))
        assert (bool(scores[i]), here) == (correct, steps), (prompt, answer)
        said += [correct]
    assert 0.02 < np.mean(said) < 0.9  # both kinds occur


def test_a_sound_step_is_one_that_can_still_succeed():
    """By brute force: after a sound prefix some continuation scores 1, after another none does."""
    task = PlantedSequence(word="aba", vocabulary=letters(2), horizon=5)
    every = np.stack(np.meshgrid(*[range(3)] * 5, indexing="ij"), -1).reshape(-1, 5)
    prompts = task.prompts(jax.random.key(0), len(every), 3)
    scores = np.asarray(task.score(prompts, every)).reshape([3] * 5)
    alive = np.asarray(task.steps(prompts, every).index) >= 0
    state = np.asarray(task.steps(prompts, every).sound)
    for t in range(5):
        best = scores.max(axis=tuple(range(t + 1, 5)))
        winnable = best[tuple(every[:, : t + 1].T)] > 0
        right = np.asarray(task.steps(prompts, every).right)[:, t]
        here = alive[:, t]
        assert np.array_equal(state[here, t], (winnable & right)[here])


def test_levels_grow_longer(case):
    task, levels, prompts, solutions, _ = case
    words = task.vocabulary
    length = np.asarray(prompts.length) + (solutions != words.pad).sum(1)
    means = [length[levels == level].mean() for level in range(1, task.max_level + 1)]
    if isinstance(task, KeyTokens):  # more of the same places count
        assert len(set(means)) == 1
    else:
        assert np.all(np.diff(means) > 0)
    assert np.asarray(prompts.length).max() <= task.prompt_size


def written(env, prompts, answers):
    """The prompts' worlds played with given answers: time steps `[n, steps]`."""
    params = env.default_params()
    start = jax.vmap(lambda prompt: env.start(prompt, params))
    state, first = start(prompts)

    def body(carry, _):
        state, played = carry
        forced = state.shown < state.prompt_length
        place = jnp.minimum(state.reader.length, answers.shape[1] - 1)
        action = jnp.take_along_axis(answers, place[:, None], axis=1)[:, 0]
        key = jax.random.key(0)
        state, now = jax.vmap(env.step, (None, 0, 0, None))(key, state, action, params)
        return (state, played), (now, forced)

    return first, jax.lax.scan(body, (state, 0), None, length=env.spec.max_steps)[1]


FEW = 48


@pytest.fixture(scope="module", params=["token", "context"])
def play(request, case):
    """Some spoilt answers as a world plays them."""
    task, _, prompts, _, answers = case
    few, answers = jax.tree.map(lambda leaf: leaf[:FEW], prompts), jnp.asarray(answers[:FEW])
    env = TokenWorld(task, observation=request.param)
    first, (steps, forced) = jax.device_get(jax.jit(lambda p, a: written(env, p, a))(few, answers))
    done = np.cumsum(steps.terminated | steps.truncated, axis=0)
    alive = np.concatenate([np.ones((1, FEW), bool), done[:-1] == 0])
    return env, few, answers, first, steps, forced, alive


def test_the_world_scores_like_the_whole_sequence(play):
    env, few, answers, _, steps, forced, alive = play
    task = env.task
    assert np.array_equal((steps.reward * alive).sum(0), task.score(few, answers))
    labels = task.steps(few, answers)
    sound = (steps.terms["sound_step"] * alive).sum(0)
    assert np.array_equal(sound, np.asarray(labels.sound & labels.end).sum(1))
    assert np.array_equal(steps.chosen, ~forced)
    own, shown = alive & steps.chosen, steps.info["step"]
    assert np.all(shown[alive & ~own] == -1)
    for i, index in enumerate(np.asarray(labels.index)):
        assert np.array_equal(shown[own[:, i], i], index[index >= 0])


def test_observations_show_prompt_and_actions_alone(play):
    """They are rebuilt from the prompt and what was written: nothing else can be in them."""
    env, few, answers, first, steps, _, alive = play
    for i in range(FEW):
        prompt = np.asarray(few.tokens[i])[: int(few.length[i])].tolist()
        whole = prompt + np.asarray(answers[i]).tolist()
        obs = np.concatenate([first.obs[i][None], steps.obs[:, i]])
        for t in range(int(alive[:, i].sum()) + 1):
            if env.observation == "token":
                assert obs[t] == whole[t]
            else:
                seen = whole[: len(prompt) + t]
                rest = [env.task.vocabulary.pad] * (len(obs[t]) - len(seen))
                assert obs[t].tolist() == seen + rest


def test_turns_are_the_written_steps():
    task = ModularChain(max_level=3)
    env = TokenWorld(task)
    size = task.vocabulary.size
    policy = Policy(
        noise=lambda key, lead: jax.random.choice(key, jnp.asarray(TEXT.encode("07a;$")), lead),
        act=lambda noise, obs, carry: Decision(noise, jnp.zeros(noise.shape), (), carry),
        to_env=lambda action: action,
        carry=(),
        restart=lambda carry, done: carry,
    )
    sample = independent(env, 4, 2, turns=turns)
    played = jax.jit(lambda key: sample(key, policy, env.default_params()))(jax.random.key(0))
    own, turn = np.asarray(played.own), np.asarray(played.turn)
    assert own.any() and np.all((turn >= 0) == own) and size > 0
    separators = np.asarray(played.action) == TEXT.separator
    before = np.cumsum(own & separators, axis=-1) - (own & separators)
    assert np.array_equal(turn[own], before[own])
    ends = np.asarray(unit_ends(played.turn))
    closing = separators | np.asarray(played.terminated) | np.asarray(played.truncated)
    assert np.array_equal(ends, own & closing)


def test_levels_are_params_of_the_world():
    env = TokenWorld(Arithmetic(max_level=4))
    params = env.default_params().replace(easiest=jnp.asarray(2), hardest=jnp.asarray(3))
    state, _ = jax.vmap(env.reset, (0, None))(jax.random.split(jax.random.key(0), 200), params)
    assert set(np.asarray(state.problem.level).tolist()) == {2, 3}


def test_countdown_reachable_from_every_pool():
    task = Countdown()
    random = np.random.default_rng(0)
    values = random.integers(0, 30, (300, 4))
    there = np.arange(4) < random.integers(1, 4, (300, 1))
    target = random.integers(0, 100, 300)
    # half the targets are made reachable
    target[::2] = np.where(there, values, 0).sum(1)[::2] % 100
    found = jax.jit(jax.vmap(task.reachable))(values, there, target)
    plainly = [
        text_checkers.can_reach(tuple(sorted(v[t].tolist())), int(n))
        for v, t, n in zip(values, there, target, strict=True)
    ]
    assert np.array_equal(found, plainly) and 0.2 < np.mean(plainly) < 0.8


def test_text_and_tokens():
    assert TEXT.decode(TEXT.encode("12+7=19;0$")) == "12+7=19;0$"
    assert TEXT.decode([*TEXT.encode("1$2"), 0]) == "1$"
    with pytest.raises(InputError, match="'A' is no token"):
        TEXT.encode("A")
    with pytest.raises(InputError, match="token 99 lies outside the vocabulary's 56 ids"):
        TEXT.decode([99])
    with pytest.raises(InputError, match="must differ"):
        Vocabulary("_$^aa")
    with pytest.raises(InputError, match="needs the symbol '_'"):
        Vocabulary("$^a")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Arithmetic(max_level=0), "max_level must lie between 1 and 9, got 0"),
        (lambda: Countdown(max_level=4), "between 1 and 3, got 4"),
        (lambda: GraphPath(max_level=9), "between 1 and 6, got 9"),
        (lambda: ModularChain(modulus=10), "modulus must be a prime"),
        (lambda: PlantedSequence(word="abcdefghijkl"), "1 to horizon=10 letters"),
        (lambda: PlantedSequence(word="zz"), "'z' is no token"),
        (lambda: KeyTokens(num_keys=30), "num_keys must be 1 to length=20"),
        (lambda: TokenWorld(Arithmetic(), observation="all"), "observation 'all' is unknown"),
    ],
)
def test_bad_sizes_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_overlong_answers_are_named():
    task = ModularChain()
    prompts = task.prompts(jax.random.key(0), 2)
    with pytest.raises(InputError, match="answers have 13 tokens, at most 12 are read"):
        task.score(prompts, jnp.zeros((2, 13), jnp.int32))
