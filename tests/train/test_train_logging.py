"""Logs and curves on their own."""

import io

import numpy as np
import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.jsonl import read_jsonl
from jaxrl_rewards.train import logging
from jaxrl_rewards.train.plots import drawing_order, learning_curves, mean_and_band


def test_rows_are_cut_at_a_position_and_read_back(tmp_path):
    path = tmp_path / "log.jsonl"
    log = logging.JsonlLog(path)
    log.write({"update": 1, "loss": float("nan")})
    position = log.position()
    log.write({"update": 2, "loss": [1.0, float("inf")]})
    log.close()
    assert read_jsonl(path) == [
        {"update": 1, "loss": None},
        {"update": 2, "loss": [1.0, None]},
    ]
    logging.JsonlLog(path, position=position).close()
    assert read_jsonl(path) == [{"update": 1, "loss": None}]
    with pytest.warns(RuntimeWarning, match="shorter .* 1 rows up to update 1 are kept"):
        logging.JsonlLog(path, position=10_000, update=4).close()
    assert read_jsonl(path) == [{"update": 1, "loss": None}]


def test_bad_logs_are_named(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"update":1}\n[2]\n{"up')
    with pytest.raises(InputError, match="line 2 is not a JSON object"):
        read_jsonl(path)
    with pytest.raises(InputError, match="none.jsonl cannot be read"):
        read_jsonl(tmp_path / "none.jsonl")


def test_history_fills_what_is_missing():
    rows = [{"update": 1, "loss": [1.0, None]}, {"update": 2, "score": 3}]
    columns = logging.history(rows)
    np.testing.assert_array_equal(columns["update"], [1, 2])
    np.testing.assert_array_equal(columns["loss"], [[1, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(columns["score"], [np.nan, 3])
    assert logging.history([]) == {}


def test_text_for_people():
    assert [logging.si(value) for value in (3.14159, 12_345, 1_234_567, None)] == [
        "3.14",
        "12.3k",
        "1.23M",
        "-",
    ]
    assert [logging.duration(value) for value in (61, 3725, float("nan"))] == [
        "1:01",
        "1:02:05",
        "-:--",
    ]
    row = {"update": 3, "loss": [1.0, 3.0, None], "return": 12.5}
    assert logging.describe(row) == "return 12.5  loss 2"
    assert logging.describe(row, ("loss",)) == "loss 2"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_on_a_terminal_and_elsewhere():
    row = {"update": 10, "samples_per_second": 1500.0, "loss": 0.5}
    for stream, expected in ((Terminal(), "10/10"), (io.StringIO(), "training 10/10  1.5k")):
        bar = logging.Progress(10, 0, stream=stream)
        bar.update(row)
        bar.note("a [note]")
        bar.close()
        assert expected in stream.getvalue()
        assert "a [note]" in stream.getvalue()
    silent = io.StringIO()
    logging.Progress(10, 0, enabled=False, stream=silent).update(row)
    assert silent.getvalue() == ""


def test_bands_leave_out_missing_values():
    centre, spread = mean_and_band(
        np.array([[1.0, 3.0, np.nan], [np.nan] * 3, [2.0] + [np.nan] * 2])
    )
    np.testing.assert_allclose(centre, [2, np.nan, 2])
    np.testing.assert_allclose(spread, [2**0.5, 0, 0])


def test_curves_show_the_return_then_the_evaluation_then_training():
    names = ["update", "kl", "evaluation/walk/seconds", "evaluation/seconds", "episode_return"]
    columns = {name: np.ones((2,)) for name in names}
    shown = ["episode_return", "evaluation/seconds", "kl", "evaluation/walk/seconds"]
    assert drawing_order(columns) == shown


def test_curves_need_something_to_draw(tmp_path):
    path = tmp_path / "curves.png"
    assert not learning_curves(path, {"update": np.arange(2), "loss": np.full((2,), np.nan)})
    assert not path.exists()
    assert learning_curves(path, {"update": np.arange(2), "loss": np.ones((2, 3))}, title="run")
    assert path.read_bytes().startswith(b"\x89PNG")
