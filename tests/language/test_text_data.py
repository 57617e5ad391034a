"""Questions of a data set: the world, host rewards as a scorer, and `train language --data`."""

import json
import shlex
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxrl_envs.language.data import read_questions
from jaxrl_envs.language.text_world import TextWorld

from jaxrl_rewards import cli
from jaxrl_rewards.core import InputError, check_env
from jaxrl_rewards.learners.text_scorer import text_scorer
from jaxrl_rewards.networks.hugging_face import load_model
from jaxrl_rewards.rewards.text import AnswerReward, OverlongReward, TextSum
from jaxrl_rewards.studies.grpo_ppo_core.train import command
from jaxrl_rewards.studies.grpo_ppo_core.train.data import characters, split
from tests.learners.played import answers

SMALL = shlex.split(
    "--network.width 16 --network.layers 1 --network.heads 2 --network.kv-heads 1 "
    "--network.hidden 16 --warm-start 10 --warm-start-batch 8 --updates 1 --prompts 4 "
    "--answers 4 --evaluation-questions 16 --answer-tokens 8"
)


def write(path, count, columns=None):
    rows = [{"question": f"{i}+{i}", "answer": f"#### {2 * i}"} for i in range(count)]
    path.write_text("\n".join(json.dumps(columns or row) for row in rows))
    return path


def test_the_world_asks_and_ends():
    world = TextWorld(vocabulary=7, prompt_size=4, answer_size=3, stop=(0,))
    check_env(world)
    params = world.params([[5, 4, 3, 0]], [3])
    state, seen = world.reset(jax.random.key(0), params)
    step = jax.jit(world.step)
    tokens, chosen = [int(seen.obs)], []
    for action in (6, 6, 2, 0):
        state, seen = step(jax.random.key(1), state, jnp.int32(action), params)
        tokens.append(int(seen.obs))
        chosen.append(bool(seen.chosen))
    assert tokens == [5, 4, 3, 2, 0]
    assert chosen == [False, False, True, True]
    assert bool(seen.terminated)
    assert not bool(seen.truncated)
    for _ in range(2):
        state, seen = world.reset(jax.random.key(0), params)
    for action in (1, 1, 1, 1, 1):
        state, seen = step(jax.random.key(1), state, jnp.int32(action), params)
    assert bool(seen.truncated)
    with pytest.raises(InputError, match=r"prompts must be \[questions, 4\]"):
        world.params([[1, 2]], [2])


def test_host_rewards_score_the_text_of_own_tokens():
    texts = characters(["0123456789"])
    digits = [texts.encode(str(n))[0] for n in range(10)]
    played = answers(jnp.zeros((2, 2)))
    action = jnp.array([[[digits[1], digits[2], 0]] * 2, [[digits[7], 0, 0]] * 2])
    own = jnp.array([[[True, True, True], [False, True, True]], [[True, True, False]] * 2])
    row = jnp.broadcast_to(jnp.array([0, 1])[:, None, None], (2, 2, 3))
    played = played.replace(action=action, own=own, info={"row": row})
    reward = TextSum(
        rewards=(
            AnswerReward(name="correct"),
            OverlongReward(name="overlong", longest=2, buffer=1),
        ),
        weights=(1.0, 0.5),
    )
    rows = [{"answer": "12"}, {"answer": ""}]
    score = jax.jit(
        lambda played: text_scorer(reward, texts.decode, rows, stop=texts.stop)(played, {}, None)
    )
    found, keep = score(played)
    assert keep.all()
    np.testing.assert_array_equal(found.terms["correct"][0], [[0, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(found.terms["overlong"][0], [[0, 0, -1], [0, 0, 0]])
    np.testing.assert_allclose(jnp.sum(found.total[0], -1), [0.5, 0.0])
    assert not found.applicable["correct"][1].any()  # no target: not applicable
    assert found.applicable["overlong"][1].any()


def test_parts_share_no_question(tmp_path):
    parts = split(read_questions(write(tmp_path / "sums.jsonl", 200)))
    train, test = ({q.text for q in parts[name]} for name in ("train", "test"))
    assert not train & test
    assert len(test) == 20
    with pytest.raises(InputError, match="one question only"):
        split(read_questions(write(tmp_path / "one.jsonl", 1)))


def test_train_and_evaluate_on_a_file(tmp_path, capsys):
    data, out = write(tmp_path / "sums.jsonl", 60), tmp_path / "run"
    flags = [*SMALL, "--data", str(data), "--out", str(out), "--reward-weights", "repetition=0.1"]
    assert command.main(flags) == 0
    assert cli.main(["evaluate", str(out), "--episodes", "64"]) == 0
    assert "held-back questions: " in capsys.readouterr().out
    write(data, 61)
    assert cli.main(["evaluate", str(out)]) == 2
    assert "is not the data that" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("--reward-weights brevity=1", "there is no reward 'brevity' for text"),
        ("--prompt-tokens 2", "raise it or shorten the question"),
        ("--lora 4", "give one with --model FOLDER"),
    ],
)
def test_mistakes_with_data_are_one_sentence(tmp_path, flags, told):
    data = write(tmp_path / "sums.jsonl", 60)
    with pytest.raises(InputError, match=told):
        command.main([*shlex.split(flags), "--data", str(data), "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_adapters_on_a_hugging_face_directory_go_in_and_out(tmp_path):
    pytest.importorskip("tokenizers")
    source = Path(__file__).parents[1] / "networks" / "data" / "hugging_face" / "qwen2"
    rows = [{"question": f"{i}", "answer": f"{i}"} for i in range(30)]
    data, out = tmp_path / "rows.jsonl", tmp_path / "run"
    data.write_text("\n".join(map(json.dumps, rows)))
    folder = with_end(source, tmp_path / "model")
    flags = shlex.split(
        "--warm-start 2 --warm-start-batch 4 --updates 1 --prompts 2 --answers 2 "
        "--evaluation-questions 4 --answer-tokens 4"
    )
    flags += ["--data", str(data), "--model", str(folder), "--out", str(out)]
    assert command.main([*flags, "--lora", "2"]) == 0
    before, after = load_model(folder), load_model(out / "model")
    changed = {
        name: bool(np.any(before.params["layers"][name] != after.params["layers"][name]))
        for name in before.params["layers"]
    }
    assert changed["query"]
    assert changed["value"]
    assert not changed["gate"]
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (out / "model" / name).read_bytes() == (folder / name).read_bytes()


def with_end(source, folder):
    """The directory with a token that ends answers."""
    shutil.copytree(source, folder)
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": 1}))
    return folder
