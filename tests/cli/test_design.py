"""`jaxrl-rewards design`: a simulator's file in; a table, a picture and numbers out."""

import json

import numpy as np
import pytest
from jaxrl_envs.control import line_key_model, rooms_model

from jaxrl_rewards.cli import main
from jaxrl_rewards.core.tabular import TabularModel, load_tabular_model, save_tabular_model
from jaxrl_rewards.reward_design.explicable import optimal_values, read_design_csv


def call(*arguments) -> int:
    """The exit code of one command in this process."""
    try:
        return main(["design", *map(str, arguments)])
    except SystemExit as end:
        return int(end.code or 0)


def test_the_designed_reward_is_sparse_and_keeps_the_policy(tmp_path, capsys):
    source, out = tmp_path / "line.npz", tmp_path / "out"
    save_tabular_model(source, line_key_model())
    assert call(source, "--budget", 2, "--horizons", 1, 4, "--max-reward", 12, "--out", out) == 0
    assert "stays optimal" in capsys.readouterr().out
    assert sorted(file.name for file in out.iterdir()) == [
        *("design.csv", "design.json", "design.png")
    ]
    record = json.loads((out / "design.json").read_text())
    model = load_tabular_model(source, 0.95)
    reward = read_design_csv(out / "design.csv", model)
    states = np.flatnonzero(np.any(reward != 0, axis=1))
    assert len(record["rewarded_states"]) == 3 and set(states) <= set(record["rewarded_states"])
    assert np.abs(reward).max() <= 12 + 1e-6 and record["optimal_policy_kept"] is True
    assert record["rewarded_entries"] == np.count_nonzero(reward)
    assert record["greatest_shortfall_of_a_gap"] < 1e-6
    objectives = record["not_informative"]
    assert len(objectives) == 3 and objectives == sorted(objectives, reverse=True)
    own, best = optimal_values(model.transition, model.reward, model.discount)
    designed, _ = optimal_values(model.transition, reward, model.discount)
    chosen = np.take_along_axis(own, designed.argmax(1)[:, None], 1)[:, 0]
    np.testing.assert_allclose(chosen[~model.terminal], best[~model.terminal], atol=1e-9)


def chain(cells: int = 6) -> TabularModel:
    """Left or right, without noise; stepping onto the last cell pays 1 and ends."""
    transition = np.zeros((cells, 2, cells))
    for cell in range(cells - 1):
        transition[cell, 0, max(cell - 1, 0)] = transition[cell, 1, cell + 1] = 1.0
    transition[-1, :, -1] = 1.0
    reward = np.zeros((cells, 2))
    reward[-2, 1] = 1.0
    return TabularModel(transition, reward, np.eye(cells)[0], np.arange(cells) == cells - 1, 0.95)


def test_default_options_leave_an_end_worth_reaching(tmp_path, capsys):
    """A reward in every state, the end included, once made staying alive the best policy."""
    source, out, model = tmp_path / "chain.npz", tmp_path / "out", chain()
    save_tabular_model(source, model)
    assert call(source, "--out", out) == 0
    reward = read_design_csv(out / "design.csv", model)
    assert not reward[5].any() and np.abs(reward).max() <= 1.0 + 1e-6
    values = np.zeros(6)
    for _ in range(2000):  # episodes end: the last cell is worth 0
        q_values = reward + 0.95 * model.transition @ values
        values = np.where(model.terminal, 0.0, q_values.max(axis=1))
    assert np.array_equal(q_values[:5].argmax(axis=1), np.ones(5))
    assert np.all(q_values[:5, 1] > q_values[:5, 0] + 1e-3)
    record = json.loads((out / "design.json").read_text())
    assert record["terminal_states"] == [5] and 5 not in record["rewarded_states"]
    assert len(record["rewarded_states"]) < 5 and record["not_informative"][-1] < 1e-6
    shown = capsys.readouterr().out
    assert "more states would not help" in shown and "a second solver" in shown


def test_a_design_that_fails_the_check_is_not_written(tmp_path, monkeypatch, capsys):
    from jaxrl_rewards.reward_design import explicable

    source, out = tmp_path / "chain.npz", tmp_path / "out"
    save_tabular_model(source, chain())
    fails = explicable.Verdict(False, 3, 0, 0.1)
    monkeypatch.setattr(explicable, "check_design", lambda *_: fails)
    assert call(source, "--out", out) == 2 and not out.exists()
    shown = capsys.readouterr().err
    assert "no designed reward passed the check: in state 3 action 0" in shown


def test_a_design_is_not_overwritten_unasked(tmp_path, capsys):
    source, out = tmp_path / "chain.npz", tmp_path / "out"
    save_tabular_model(source, chain())
    assert call(source, "--out", out) == 0
    before = (out / "design.csv").read_bytes()
    capsys.readouterr()
    assert call(source, "--out", out, "--max-reward", 2) == 2
    assert "design.csv is there already; give another folder" in capsys.readouterr().err
    assert (out / "design.csv").read_bytes() == before
    assert call(source, "--out", out, "--max-reward", 2, "--overwrite") == 0
    assert (out / "design.csv").read_bytes() != before
    assert f"--env {source} --reward {out / 'design.csv'}" in capsys.readouterr().out


def test_cells_of_a_grid_are_named(tmp_path):
    source, out = tmp_path / "rooms.npz", tmp_path / "out"
    save_tabular_model(source, rooms_model())
    names = ("up", "left", "down", "right")
    given = ("--budget", 0, "--horizons", 1, "--grid", 7, 7, "--actions", *names, "--out", out)
    assert call(source, *given) == 0
    lines = (out / "design.csv").read_text().splitlines()[1:]
    assert lines and all(line.split(",")[2] in names for line in lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("missing.npz",), "missing.npz cannot be read"),
        (("line.npz", "--discount", "1"), "discount is 1.0"),
        (("line.npz", "--budget", "-1"), "budget must be at least 0"),
        (("line.npz", "--goals", "99"), "--goals must lie in 0 ... 20"),
        (("line.npz", "--goals", "20"), "state 20, which is terminal"),
        (("line.npz", "--max-reward", "nan"), "max_reward must be positive"),
        (("line.npz", "--max-reward", "0.01", "--budget", "0"), "no reward on"),
        (("line.npz", "--horizons", "-2"), "horizons must be"),
        (("line.npz", "--actions", "left"), "names 1 actions, but line.npz has 3"),
        (("line.npz", "--actions", "a", "b", "b"), "one action twice"),
        (("line.npz", "--grid", "9", "9"), "--grid 9 9 does not fit"),
        (("line.npz", "--grid", "2", "10"), "--grid needs --actions"),
        (("line.npz", "--max-reward", "1e300"), "--max-reward is 1e+300"),
        (("line.npz", "--max-reward", "1e5"), "at most 1000 times the largest |R| of line.npz"),
        (("line.npz", "--horizons", "1000000000"), "--horizons must be at most 10000"),
        (("large.npz",), "large.npz has 2050 pairs of state and action"),
        (("huge.npz",), "the largest |R| is 1e+300"),
        (("idle.npz",), "R of idle.npz is 0 everywhere"),
        (("line.npz", "--tie-break", "coin"), "coin"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    tmp_path, monkeypatch, capsys, arguments, words
):
    monkeypatch.chdir(tmp_path)
    model = line_key_model()
    save_tabular_model("line.npz", model)
    save_tabular_model("idle.npz", type(model)(
        transition=model.transition, reward=0 * model.reward, start=model.start,
        terminal=model.terminal, discount=model.discount,
    ))  # fmt: skip
    save_tabular_model("huge.npz", type(model)(
        transition=model.transition, reward=1e299 * model.reward, start=model.start,
        terminal=model.terminal, discount=model.discount,
    ))  # fmt: skip
    arrays = {"T": np.ones((2, 1025, 2)) / 2, "R": np.ones((2, 1025)), "init": np.ones(2) / 2}
    np.savez("large.npz", **arrays, terminal=np.zeros(2, bool))
    before = sorted(file.name for file in tmp_path.iterdir())
    assert call(*arguments) == 2
    shown = capsys.readouterr().err
    assert words in shown and "Traceback" not in shown
    assert sorted(file.name for file in tmp_path.iterdir()) == before
