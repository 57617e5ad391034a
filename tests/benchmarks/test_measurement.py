"""The benchmarks' own arithmetic, and that NumPy peers do the same work as the jitted code."""

import json

import jax
import numpy as np
import pytest

from benchmarks import record, report
from benchmarks.learning.cartpole_return import restricted_mean, steps_to
from benchmarks.throughput import numpy_gui
from benchmarks.throughput.ppo_settings import PPOSettings, flops_per_step
from benchmarks.throughput.process import Worker, WorkerError, alternate


def test_ratios_above_one_are_better():
    assert report.row("a", 3.0, 2.0, "p", "x/s")["ratio"] == 1.5
    assert report.row("a", 2.0, 3.0, "p", "s", lower_is_better=True)["ratio"] == 1.5
    assert report.row("a", 2.0, None, "none", "s")["ratio"] is None


def test_timed_rows_use_medians_and_bests():
    row = report.timed_row("a", [1.0, 2.0, 9.0], [1.0, 1.0, 3.0], "p", "x/s", required=1.2)
    assert (row["ours"], row["peer"], row["ratio"]) == (2.0, 1.0, 2.0)
    assert (row["ours_best"], row["peer_best"], row["ratio_best"]) == (9.0, 3.0, 3.0)
    assert row["repetitions"] == 3 and row["required"] == 1.2


def test_the_ratio_of_pairs_does_not_feel_a_machine_that_changes_its_speed():
    ours, peer = [8.0, 4.0, 16.0, 4.0], [10.0, 5.0, 20.0, 4.0]
    assert report.timed_row("a", ours, peer, "p", "x/s", paired=True)["ratio"] == 0.8
    assert report.timed_row("a", ours, [], "none", "x/s", paired=True)["ratio"] is None


def test_a_file_has_the_fields_that_tables_read(tmp_path):
    path = report.write_benchmark(
        tmp_path / "bench-a.json", "a", [], command="c", seconds=1.0, load=[0.5]
    )
    found = json.loads(path.read_text())
    wanted = {"name", "rows", "command", "seconds", "commit", "versions", "hardware", "date"}
    assert wanted <= set(found)


def test_the_stored_command_names_no_path():
    text = report.command_line("benchmarks.a", ["--seeds", "3", "--out", "/some/where.json"])
    assert text == "python -m benchmarks.a --seeds 3"


def test_flops_are_those_of_the_matrix_products():
    assert flops_per_step(PPOSettings(), "CartPole-v1") == 2 * (
        4 * 64 + 64 * 64 + 64 * 2 + 4 * 64 + 64 * 64 + 64
    ) * (1 + 3 * 4)


def test_steps_to_a_threshold():
    returns = [[10.0, 480.0, 0.0], [476.0, 20.0, 0.0]]
    assert steps_to(475.0, [100, 200], returns) == [200.0, 100.0, None]
    assert restricted_mean([200.0, 100.0, None], 300.0) == 200.0


SIDE = """
import sys
sys.path.insert(0, {root!r})
from benchmarks.throughput.process import serve
print("noise on the output")
calls = []
def measure():
    calls.append(1)
    if {fails!r} and len(calls) > 1:
        raise RuntimeError("broke")
    return {{"calls": len(calls)}}
serve({{"ready": True}}, measure)
"""


def _side(tmp_path, monkeypatch, repository, name, fails):
    (tmp_path / f"{name}.py").write_text(SIDE.format(root=str(repository), fails=fails))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lambda: Worker(name, [], timeout=60)


@pytest.mark.slow
def test_sides_take_turns_and_a_broken_one_is_left_out(tmp_path, monkeypatch, repository):
    sides = {
        "good": _side(tmp_path, monkeypatch, repository, "good_side", False),
        "bad": _side(tmp_path, monkeypatch, repository, "bad_side", True),
    }
    ready, answers, failed = alternate(sides, 3)
    assert ready["good"] == {"ready": True}
    assert answers == {"good": [{"calls": 1}, {"calls": 2}, {"calls": 3}]}
    assert failed == {"bad": "RuntimeError: broke"}


def test_a_side_that_cannot_start_says_why():
    missing = Worker("benchmarks.no_such_side", [], timeout=60)
    with missing as worker, pytest.raises(WorkerError, match="no_such_side"):
        worker.receive()


@pytest.mark.parametrize("size", [(64, 64, 1), (112, 96, 2)])
def test_numpy_paints_the_same_pixels(size):
    from jaxrl_envs.gui.layout import ScreenConfig, layout_params, sample_layout
    from jaxrl_envs.gui.render import render

    config = ScreenConfig(*size)
    keys = jax.random.split(jax.random.key(3), 24)
    params = layout_params(("palette", "size")) if size[2] == 2 else layout_params()
    draw = jax.jit(jax.vmap(lambda key: sample_layout(key, config, params)))
    layouts = draw(keys)
    expected = np.asarray(jax.jit(jax.vmap(lambda one: render(one, config)))(layouts))
    host = numpy_gui.to_numpy(layouts)
    loop = numpy_gui.render_loop(host, numpy_gui.LoopPainter(config))
    np.testing.assert_array_equal(loop, expected)
    np.testing.assert_array_equal(numpy_gui.render_vectorised(host, config), expected)


@pytest.mark.slow
def test_numpy_scores_the_same_rewards():
    from jaxrl_rewards.rewards.spatial import (
        combined_reward,
        gaussian_coverage_reward_safe,
        gaussian_point_reward,
    )

    generator = np.random.default_rng(0)
    corner = generator.uniform(0, 500, (300, 2))
    gt = np.concatenate([corner, corner + generator.uniform(5, 40, (300, 2))], 1)
    pred = gt + generator.normal(0, 6, gt.shape)
    pred[0], pred[1] = gt[0], [5, 5, 5, 5]
    pred, gt = pred.astype(np.float32), gt.astype(np.float32)
    expected = combined_reward(
        gaussian_point_reward(pred, gt), gaussian_coverage_reward_safe(pred, gt)
    )
    for score in (numpy_gui.rewards_loop, numpy_gui.rewards_vectorised):
        np.testing.assert_allclose(score(pred, gt), expected, rtol=2e-4, atol=1e-5)


def test_studies_are_stored_small(tmp_path):
    from PIL import Image

    out, folder = tmp_path / "out", tmp_path / "results" / "cpu-2core"
    out.mkdir()
    (out / "study-a.json").write_text("{}")
    noise = np.random.default_rng(0).integers(0, 255, (900, 1600, 3), np.uint8)
    Image.fromarray(np.tile(noise[:90, :160], (10, 10, 1))).save(out / "a.png")
    stored = record.store_study(out, "a", folder)
    assert [path.name for path in stored] == ["study-a.json", "a.png"]
    assert Image.open(stored[1]).width <= record.WIDTH


def test_runs_of_one_benchmark_become_one_file():
    first = {"name": "a", "rows": [{"what": "x"}], "load": [0.1], "seconds": 1.5}
    first |= {"command": "one", "settings": {"substeps": 3, "samples": 8}}
    second = {**first, "rows": [{"what": "y"}], "load": [0.2], "seconds": 2.0}
    second |= {"command": "two", "settings": {"substeps": 3, "samples": 16}}
    joined = record.join_parts([first, second])
    assert joined["rows"] == [{"what": "x"}, {"what": "y"}] and joined["load"] == [0.1, 0.2]
    assert joined["seconds"] == 3.5 and joined["command"] == "one ; two"
    assert joined["settings"] == {"substeps": 3, "samples": "8; 16"} and joined["name"] == "a"
    assert record.join_parts([first]) == first
