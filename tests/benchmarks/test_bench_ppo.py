"""From the sides' answers to the rows of the PPO benchmark, with sides that do not train."""

import json

import pytest

from benchmarks import tables
from benchmarks.throughput import bench_ppo


class FakeWorker:
    """Answers at once what a side of that name would."""

    def __init__(self, module, arguments, timeout=0.0):
        self.module, self.side = module.rpartition(".")[2], (arguments or [""])[0]

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def receive(self):
        if self.module == "cartpole_return":
            late = self.side == "rejax"
            returns = [[100.0, 480.0], [480.0, 100.0 if late else 500.0], [500.0, 500.0]]
            return {"steps": [10, 20, 30], "returns": {"sampled": returns, "greedy": returns[::-1]}}
        return {
            "compilations": 1, "cache_size": 1, "compile_seconds": 2.0, "distinct": 256,
            "steps_per_second": [5.0, 6.0, 7.0],
        }  # fmt: skip


def fake_alternate(sides, repetitions, report):
    rate = {"ours": 200e3, "rejax": 160e3, "brax": 100e3}
    ready = {name: {"compile_seconds": 5.0} for name in sides}
    answers = {
        name: [
            {
                "steps_per_second": rate.get(name, 0.0),
                "steps_per_cpu_second": rate.get(name, 0.0),
                "flops_per_second": 1e11,
            }
        ]
        * repetitions
        for name in sides
        if name != "brax"
    }
    return ready, answers, {"brax": "not installed"}


@pytest.fixture
def found(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_ppo, "Worker", FakeWorker)
    monkeypatch.setattr(bench_ppo, "alternate", fake_alternate)
    folder = tmp_path / "results" / "cpu-2core"
    folder.mkdir(parents=True)
    out = folder / "bench-ppo.json"
    options = ["--repetitions", "3", "--learning-seeds", "2", "--learning-steps", "30"]
    assert bench_ppo.main([*options, "--worlds", "CartPole-v1", "--out", str(out)]) == 0
    return tmp_path / "results", json.loads(out.read_text())


def test_rows_of_all_parts(found):
    results, record = found
    rows = {(row["what"], row["peer_name"]): row for row in record["rows"]}
    speed = rows[("PPO on CartPole-v1, 64 environments x 128", "rejax")]
    assert (speed["ratio"], speed["ratio_best"], speed["required"]) == (1.25, 1.25, 1.5)
    limit = next(row for row in record["rows"] if row["peer_name"] == "float32 matrix product")
    assert limit["ratio"] == pytest.approx(200e3 * 231_296 / 1e11, rel=1e-3)
    seeds = next(row for row in record["rows"] if row["peer_name"] == "one compile")
    assert (seeds["ours"], seeds["ratio"], seeds["required"]) == (1.0, 1.0, 1.0)
    steps = next(row for row in record["rows"] if "to return 475, sampled" in row["what"])
    assert (steps["ours"], steps["peer"], steps["lower_is_better"]) == (15.0, 15.0, True)
    assert steps["reached"] == {"ours": 2, "rejax": 2}
    assert "--out" not in record["command"]
    assert "1.25 (best 1.25) | 1.5 |" in tables.benchmarks(results)
