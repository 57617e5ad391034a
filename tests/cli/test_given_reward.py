"""`train ppo --reward`: a program, a designed table, a function; and what a run remembers of it."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxrl_envs import make
from jaxrl_envs.control import line_key_model
from jaxrl_envs.quantities import quantities_of

from jaxrl_rewards.cli import main
from jaxrl_rewards.commands.describe import SLOW_TO_MAKE, describe_world, quantities_text, terms_of
from jaxrl_rewards.commands.given_reward import find_reward
from jaxrl_rewards.commands.train_ppo import PPOTask, build_ppo
from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.tabular import save_tabular_model
from jaxrl_rewards.reward_design.explicable import write_design_csv
from jaxrl_rewards.reward_design.programs import eval_reward_expression, parse_program
from jaxrl_rewards.reward_design.programs.terms import program_terms
from tests.cli.test_cli import SMALL, call, refused

PROGRAM = "upright = -10 * angle\ncalm = -0.1 * sq(speed)\n"
FUNCTIONS = """
import jax.numpy as jnp
from jaxrl_rewards.rewards import reward_term

def upright(prev, action, nxt, scale=2.0):
    return jnp.exp(-scale * jnp.abs(nxt.theta))

def middle(prev, action, nxt):
    return -jnp.abs(nxt.x)

both = 2.0 * reward_term(upright) + reward_term(middle)

def made():
    return both

def pair(prev, action):
    return 0.0

def vector(prev, action, nxt):
    return jnp.zeros(3)

def broken(prev, action, nxt):
    return nxt.no_such_field

number = 3

def nothing():
    return None
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with rewards of all kinds, and standing in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "found.txt").write_text(PROGRAM)
    (tmp_path / "mine.py").write_text(FUNCTIONS)
    return tmp_path


def total_of(reward, **state):
    """What a reward says of a step of CartPole into such a state."""
    from jaxrl_envs.control.cartpole import CartPoleState

    zeros = dict.fromkeys(("x", "x_dot", "theta", "theta_dot"), 0.0) | {"time": 1}
    step = CartPoleState(**(zeros | state))
    total, terms = reward(CartPoleState(**zeros), jnp.int32(0), step)
    return float(total), {name: float(value) for name, value in terms.items()}


def test_a_program_is_trained_on_and_the_own_terms_are_logged(here):
    _, learner = build_ppo(PPOTask(), find_reward("found.txt"))
    reward = learner.hparams.env_params.reward
    total, terms = total_of(reward, theta=0.1, x_dot=2.0)
    assert total == pytest.approx(-10 * 0.1 - 0.1 * 4.0)
    assert terms == pytest.approx({"upright": -1.0, "calm": -0.4, "cut": 0.0, "alive": 1.0})
    total, terms = total_of(reward, theta=2.0)
    assert total == pytest.approx(-10.0) and terms["cut"] == pytest.approx(10.0)


@pytest.mark.parametrize("name", ["mine.py:both", "mine.py:made", "mine:both"])
def test_functions_and_rewards_of_files_and_modules(here, monkeypatch, name):
    monkeypatch.syspath_prepend(here)
    _, learner = build_ppo(PPOTask(reward_weights='{"middle": 0.5}'), find_reward(name))
    reward = learner.hparams.env_params.reward
    total, terms = total_of(reward, theta=0.2, x=-3.0)
    assert total == pytest.approx(2.0 * np.exp(-0.4) - 0.5 * 3.0, rel=1e-5)
    assert set(terms) == {"upright", "middle", "alive"}


def test_a_function_of_a_step_is_a_term(here):
    _, learner = build_ppo(PPOTask(), find_reward("mine.py:upright"))
    assert total_of(learner.hparams.env_params.reward, theta=0.2)[0] == pytest.approx(np.exp(-0.4))


def test_a_designed_table_is_what_the_world_pays(here):
    """By names of actions that only `design.json` knows the order of."""
    model = line_key_model()
    save_tabular_model("model.npz", model)
    designed = np.where(model.terminal[:, None], 0.0, np.arange(float(model.reward.size)).reshape(
        model.reward.shape))  # fmt: skip
    named = type(model)(
        model.transition, model.reward, model.start, model.terminal, model.discount,
        action_names=("b", "c", "a")[: model.num_actions],
    )  # fmt: skip
    write_design_csv("design.csv", named, designed)
    task = PPOTask(env="model.npz")
    with pytest.raises(InputError, match="action 'c' is unknown"):
        build_ppo(task, find_reward("design.csv"))
    (here / "design.json").write_text(json.dumps({"action_names": list(named.action_names)}))
    env, learner = build_ppo(task, find_reward("design.csv"))
    paid = env.reward_matrix(learner.hparams.env_params)
    np.testing.assert_allclose(paid, designed)
    assert learner.hparams.env_params.reward.names == ("designed", "table")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--reward", "lost.txt"), ("no reward at lost.txt", "FILE.py:NAME")),
        (("--reward", "lost.py:f"), ("no reward at lost.py",)),
        (("--reward", "no_such_module:f"), ("no_such_module", "can be imported")),
        (("--reward", "mine.py"), ("mine.py:NAME",)),
        (("--reward", "mine.py:absent"), ("has no 'absent'", "upright")),
        (("--reward", "mine.py:pair"), ("takes 2 arguments", "(prev, action, nxt)")),
        (("--reward", "mine.py:vector"), ("shape [3]",)),
        (("--reward", "mine.py:broken"), ("CartPole-v1", "no_such_field")),
        (("--reward", "mine.py:number"), ("is int",)),
        (("--reward", "mine.py:nothing"), ("is NoneType",)),
        (("--reward", "fails.py:f"), ("fails", "ZeroDivisionError")),
        (("--reward", "wrong.txt"), ("hight", "list --quantities CartPole-v1")),
        (("--reward", "wrong.txt", "--env", "roguelike"), ("no named quantities", "FILE.py")),
        (("--reward", "table.csv"), ("table of states", "MODEL.npz")),
        (("--reward", "found.txt", "--reward.hight", "1"), ("'hight'", "upright")),
        (("--env", "lost.npz"), ("lost.npz",)),
        (("--reward", "."), ("cannot be read",)),
        (("--reward", "bytes.txt"), ("bytes.txt cannot be read: it is no text",)),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_reward_that_cannot_be_used_is_one_sentence(here, capsys, arguments, words):
    (here / "wrong.txt").write_text("a = hight\n")
    (here / "fails.py").write_text("1 / 0\n")
    (here / "table.csv").write_text("state,state_name,action,reward\n")
    (here / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    before = sorted(here.iterdir())
    message = refused(capsys, "train", "ppo", *arguments)
    assert all(word in message for word in words), message
    assert len(message.strip().splitlines()) == 1
    assert [path for path in sorted(here.iterdir()) if path.name != "__pycache__"] == before


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two short runs: on a program, and on a function."""
    folder = tmp_path_factory.mktemp("given")
    (folder / "found.txt").write_text(PROGRAM)
    (folder / "mine.py").write_text(FUNCTIONS)
    for name, given in (("program", "found.txt"), ("function", "mine.py:upright")):
        done = call(
            "train", "ppo", "--out", folder / name, "--steps", 64, "--reward", folder / given,
            *SMALL,
        )  # fmt: skip
        assert done == 0
    return folder


def again(folder, name, given):
    return (
        "train", "ppo", "--out", folder / name, "--steps", 64, "--reward", given, "--resume",
        *SMALL,
    )  # fmt: skip


def test_a_run_goes_on_with_its_own_reward_only(runs, tmp_path, capsys):
    moved = tmp_path / "found.txt"
    moved.write_text(PROGRAM)
    assert call(*again(runs, "program", moved)) == 0
    moved.write_text(PROGRAM.replace("10", "11"))
    capsys.readouterr()
    for given in (moved, runs / "mine.py:upright"):
        message = refused(capsys, *again(runs, "program", given))
        assert "was trained on found.txt as it was then" in message
    plain = [part for part in again(runs, "program", "x") if part not in ("--reward", "x")]
    assert "not on the world's own" in refused(capsys, *plain)


def test_evaluate_scores_by_the_given_and_by_the_own_reward(runs, tmp_path, capsys):
    out = tmp_path / "out"
    assert call("evaluate", runs / "program", "--episodes", 2, "--out", out) == 0
    record = json.loads((out / "evaluation.json").read_text())
    assert record["scored_by"] == "given"
    assert record["own_episode_returns"]["mean"] >= 1.0 > record["episode_returns"]["mean"]
    shown = capsys.readouterr().out
    assert "by the given reward" in shown and "by the own reward" in shown


def test_evaluate_runs_no_code_that_a_folder_names(runs, tmp_path, capsys):
    """The function is gone: the world's own reward is left, unless it is named again."""
    out = tmp_path / "out"
    source = runs / "mine.py"
    hidden = source.rename(tmp_path / "hidden.py")
    assert call("evaluate", runs / "function", "--episodes", 2, "--out", out) == 0
    record = json.loads((out / "evaluation.json").read_text())
    assert record["scored_by"] == "own" and record["episode_returns"]["mean"] >= 1.0
    assert "--reward mine.py:NAME" in capsys.readouterr().out
    named = ("evaluate", runs / "function", "--episodes", 2, "--out", out, "--reward")
    assert call(*named, f"{hidden}:upright") == 0
    record = json.loads((out / "evaluation.json").read_text())
    assert record["scored_by"] == "given" and "own_episode_returns" in record
    capsys.readouterr()
    assert "is not what" in refused(capsys, *named, runs / "found.txt")
    program = ("evaluate", runs / "program", "--reward", runs / "found.txt", "--episodes", 1)
    assert call(*program, "--out", out) == 0
    hidden.rename(source)


def test_a_damaged_record_of_the_reward_is_named(runs, tmp_path, capsys):
    stored = json.loads((runs / "program" / "config.json").read_text())
    for change, word in (({"kind": "magic"}, "magic"), ({"terms": 3}, "terms")):
        broken = {**stored, "config": {**stored["config"], "reward": {
            **stored["config"]["reward"], **change}}}  # fmt: skip
        (tmp_path / "config.json").write_text(json.dumps(broken))
        assert word in refused(capsys, "evaluate", tmp_path)


WITH_QUANTITIES = [
    "CartPole-v1", "Pendulum-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Acrobot-v1",
    "gridworld", "gridworld-door-key", "gridworld-continuous", "keydoor", "keydoor_text",
]  # fmt: skip


def test_a_world_without_quantities_says_what_to_do_instead(capsys):
    message = refused(capsys, "list", "--quantities", "roguelike")
    assert "'roguelike' has no named quantities" in message and "FILE.py:FUNCTION" in message
    assert "unknown" in refused(capsys, "list", "no-such-world")


@pytest.mark.parametrize("name", WITH_QUANTITIES)
def test_every_quantity_of_a_world_can_be_read(name, capsys):
    """By a program that reads all of them, on the states that the world goes through."""
    env = make(name)
    table, measure = quantities_of(env)
    lines = [
        f"t{i} = 0.001 * {f'norm({key})' if quantity.shape else key}"
        for i, (key, quantity) in enumerate(table.items())
    ]
    reward = program_terms(parse_program("\n".join(lines), table), measure)
    params = env.default_params().replace(reward=reward)
    keys = jax.random.split(jax.random.key(0), 3)
    state, _ = jax.jit(env.reset)(keys[0], params)
    nxt, timestep = jax.jit(env.step)(keys[1], state, env.spec.action_space.sample(keys[2]), params)
    assert np.isfinite(float(timestep.reward))
    values = measure(state, jnp.float32(0.0), nxt)
    assert {key: value.shape for key, value in values.items()} == {
        key: quantity.shape for key, quantity in table.items()
    }
    for i, (key, quantity) in enumerate(table.items()):
        expected = values[key]
        if quantity.shape:
            expected = eval_reward_expression(f"norm({key})", {key: expected})
        if "action" not in key and key != "torque":
            assert float(timestep.terms[f"t{i}"]) == pytest.approx(
                0.001 * float(expected), abs=1e-6
            )
    told = quantities_text(name)
    assert all(key in told and quantity.text in told for key, quantity in table.items())
    example = told.split("for example:\n")[1].split("\n\n")[0]
    parse_program("\n".join(line.strip() for line in example.splitlines()), table)


def test_worlds_tell_their_terms_and_recipes(capsys):
    for name in (*SLOW_TO_MAKE[:1], "CartPole-v1", "gui-ground"):
        assert set(terms_of(name)) == set(make(name).spec.term_names)
    described = describe_world("Pendulum-v1")
    assert described["preset"]["discount"] == 0.95 and len(described["terms"]) == 3
    assert main(["list", "Pendulum-v1"]) == 0
    text = capsys.readouterr().out
    for word in ("weight -0.1", "Squared applied torque", "discount 0.95", "--quantities"):
        assert word in text
    assert call("train", "ppo", "--env", "Pendulum-v1", "--help") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "velocity (-0.1)" in told and "default: 400000" in told
