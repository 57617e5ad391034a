"""Tabular simulators as npz, designed rewards as CSV and pictures."""

import numpy as np
import pytest
from explicable_cases import line_model, random_model

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.tabular import load_tabular_model, save_tabular_model
from jaxrl_rewards.reward_design import explicable


def arrays(model):
    return {
        "T": model.transition,
        "R": model.reward,
        "init": model.start,
        "terminal": model.terminal,
    }


def test_a_simulator_comes_back(tmp_path):
    model = random_model(1)
    save_tabular_model(tmp_path / "m.npz", model)
    again = load_tabular_model(tmp_path / "m.npz", 0.9)
    for name, value in arrays(model).items():
        assert np.array_equal(arrays(again)[name], value)
    np.savez(tmp_path / "n.npz", **(arrays(model) | {"terminal": model.terminal_state}))
    numbered = load_tabular_model(tmp_path / "n.npz", 0.9)
    assert np.array_equal(numbered.terminal, model.terminal)
    assert numbered.reward_states == (0,) and numbered.name == "n.npz"


def change(name, place, value):
    def apply(data):
        data[name] = np.array(data[name])
        data[name][place] = value

    return apply


def drop(data):
    del data["R"]


def leave_the_end(data):
    data["T"] = np.array(data["T"])
    data["T"][-1, 0] = np.eye(6)[0]


def cut(data):
    data["R"] = data["R"][:, :1]


BROKEN = [
    (change("T", (1, 0, 2), 0.5), "T of state 1, action 0 sums to"),
    (change("T", (2, 1, 3), np.nan), r"T\[2, 1, 3\] is not finite"),
    (change("T", (0, 1, slice(0, 3)), [-0.1, 1.1, 0.0]), "state 0, action 1 has a negative"),
    (change("R", (0, 0), np.inf), r"R\[0, 0\] is not finite"),
    (change("R", (5, 1), 1.0), "terminal state 5 is rewarded"),
    (change("init", 0, 0.5), "init sums to 0.5"),
    (leave_the_end, "terminal state 5 can be left by action 0"),
    (drop, "has no array 'R'"),
    (cut, r"R has shape \(6, 1\), but T needs \(6, 2\)"),
    (lambda data: data.update(T=np.ones((2, 2))), r"T has shape \(2, 2\)"),
    (lambda data: data.update(T=1.0), "T is a single number"),
    (lambda data: data.update(terminal=7), "terminal names state 7 of only 6"),
    (lambda data: data.update(terminal=0.5), "give flags or state numbers"),
    (lambda data: data.update(T=np.array(["a"])), "T|number"),
]


@pytest.mark.parametrize(("breaks", "words"), BROKEN)
def test_a_broken_simulator_is_refused_by_name(tmp_path, breaks, words):
    data = arrays(line_model())
    breaks(data)
    np.savez(tmp_path / "broken.npz", **data)
    with pytest.raises(InputError, match=words) as caught:
        load_tabular_model(tmp_path / "broken.npz", 0.9)
    assert "broken.npz" in str(caught.value)


@pytest.mark.parametrize("discount", [1.0, -0.1, float("nan")])
def test_a_discount_of_one_is_refused(discount):
    with pytest.raises(InputError, match="discount"):
        line_model(discount=discount)


def test_what_is_no_simulator_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "single.npy", np.ones(3))
    save_tabular_model(tmp_path / "whole.npz", line_model())
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:300])
    for name in ("text.npz", "missing.npz", "single.npy", "cut.npz"):
        with pytest.raises(InputError, match="cannot be read"):
            load_tabular_model(tmp_path / name, 0.9)


def test_a_model_with_two_ends_has_no_single_one():
    model = random_model(0)
    plain = type(model)(
        transition=model.transition,
        reward=model.reward,
        start=model.start,
        terminal=np.zeros(model.num_states, bool),
        discount=0.9,
    )
    with pytest.raises(InputError, match="0 terminal states, but exactly one"):
        _ = plain.terminal_state


def test_designed_rewards_come_back_exactly(tmp_path):
    model = line_model()
    reward = np.where(
        np.arange(12).reshape(6, 2) % 3 * (np.arange(6) < 5)[:, None],
        np.random.default_rng(0).normal(size=(6, 2)),
        0,
    )
    path = tmp_path / "design.csv"
    explicable.write_design_csv(path, model, reward)
    assert np.array_equal(explicable.read_design_csv(path, model), reward)
    lines = path.read_text().splitlines()
    assert lines[0] == "state,state_name,action,reward"
    assert len(lines) == 1 + np.count_nonzero(reward) and lines[1].startswith("0,0,right,")
    with pytest.raises(InputError, match="shape"):
        explicable.write_design_csv(path, model, reward[:2])
    with pytest.raises(InputError, match="pays in state 5, which is terminal"):
        explicable.write_design_csv(path, model, np.ones((6, 2)))
    with pytest.raises(InputError, match="not finite"):
        explicable.write_design_csv(path, model, np.where(reward > 0, np.inf, reward))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n", "the first line must read"),
        ("", "the first line must read"),
        ("H\n9,9,left,1\n", "line 2: state '9' is none of 0 ... 5"),
        ("H\n-1,x,left,1\n", "state '-1'"),
        ("H\n0,0,up,1\n", "action 'up' is unknown; use left, right"),
        ("H\n0,0,left,nan\n", "line 2: reward 'nan' is no finite number"),
        ("H\n0,0,left,x\n", "reward 'x'"),
        ("H\n0,0,left\n", "3 fields"),
        ("H\n5,5,left,1\n", "state 5 is terminal"),
        ("H\n0,0,left,1\n\n0,0,left,2\n", "line 4: state 0, action left was given before"),
    ],
)
def test_a_broken_design_is_refused(tmp_path, text, words):
    path = tmp_path / "design.csv"
    path.write_text(text.replace("H\n", "state,state_name,action,reward\n"))
    with pytest.raises(InputError, match=words):
        explicable.read_design_csv(path, line_model())


def test_a_grid_is_drawn_in_wedges_and_other_models_as_tables():
    from jaxrl_envs.control import rooms_model
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    FigureCanvasAgg(figure)
    grid, table = figure.subplots(1, 2)
    rooms = rooms_model()
    explicable.draw_design(grid, rooms, rooms.reward, "goal")
    wedges = grid.collections[0]
    values = wedges.get_array().reshape(49, 4)
    assert np.array_equal(values, rooms.reward[:49])
    for cell, action in ((0, 0), (10, 1), (10, 2), (30, 3)):  # the wedge points where the move goes
        corners = wedges.get_paths()[4 * cell + action].vertices[:3]
        direction = corners.mean(axis=0) - corners[0]
        expected = np.array([(0, 1), (-1, 0), (0, -1), (1, 0)][action])
        np.testing.assert_allclose(direction / np.abs(direction).max(), expected, atol=1e-9)
    line = line_model()
    explicable.draw_design(table, line, line.reward)
    assert np.array_equal(table.images[0].get_array(), line.reward.T)
    figure.canvas.draw()
