"""From the answers of sides to the rows of the physics benchmark; the sides simulate nothing."""

import json

import pytest

from benchmarks.throughput import bench_physics
from benchmarks.throughput.process import WorkerError

RATES = {"c": 900.0, "jax": 200.0, "mjx": 100.0, "ppo-c": 450.0, "ppo-jax": 100.0}


class FakeWorker:
    """Answers at once what a side of that name would; `warp` does not start, `brax` breaks off."""

    started: list[list[str]] = []

    def __init__(self, module, arguments, timeout):
        assert timeout > 0
        self.side = arguments[0]
        self.started.append(arguments)

    def receive(self):
        if self.side == "warp":
            raise WorkerError("InputError: the engine 'warp' needs an NVIDIA GPU")
        return {"compile_seconds": 2.0, "device": "cpu"}

    def ask(self):
        if self.side == "brax":
            raise WorkerError("Killed")
        found = {"steps_per_second": RATES[self.side]}
        if self.side == "c":
            found |= {"raw_steps_per_second": 1000.0, "mujoco_share": 0.9, "callback_share": 0.95}
            found |= {"cpu_ratio_to_raw": 0.85}
        return found

    def close(self):
        pass


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_physics, "Worker", FakeWorker)
    monkeypatch.setattr(FakeWorker, "started", [])

    def run(*arguments):
        out = tmp_path / "bench-physics.json"
        assert bench_physics.main([*arguments, "--batch", "16", "--out", str(out)]) == 0
        return json.loads(out.read_text())

    return run


def by(rows, what, peer):
    return next(row for row in rows if row["what"] == what and row["peer_name"] == peer)


def test_rows_compare_with_raw_mujoco_mjx_and_the_other_engine(bench):
    found = bench("--engines", "c", "jax", "warp", "--peers", "mjx", "brax")
    raw = by(found["rows"], "humanoid, 16 environments: engine c", bench_physics.RAW)
    assert raw["ratio"] == 0.9 and raw["required"] == 0.8
    assert raw["share_in_mujoco"] == 0.9 and raw["share_in_callback"] == 0.95
    assert raw["ratio_per_cpu_second"] == 0.85
    other = by(found["rows"], "humanoid, 16 environments: engine c", "engine jax, tuned")
    assert other["ratio"] == 4.5 and other["required"] == 3.0
    mjx = bench_physics.PEER_NAMES["mjx"]
    plain = by(found["rows"], "humanoid, 16 environments: engine jax", mjx)
    assert plain["ratio"] == 2.0 and plain["required"] is None
    assert found["name"] == "physics" and "--out" not in found["command"]


def test_a_side_that_fails_is_a_row_with_its_reason(bench):
    rows = bench("--engines", "c", "warp", "--peers", "brax")["rows"]
    errors = {row["what"]: row["error"] for row in rows if "error" in row}
    assert errors == {
        "humanoid, 16 environments: warp": "InputError: the engine 'warp' needs an NVIDIA GPU",
        "humanoid, 16 environments: brax": "Killed",
    }
    assert by(rows, "humanoid, 16 environments: engine c", bench_physics.RAW)["ours"] == 900.0


def test_past_the_limit_nothing_starts(bench):
    rows = bench("--engines", "c", "--peers", "--limit", "1")["rows"]
    assert [row["error"] for row in rows] == ["not started: the time limit was reached"]
    assert not FakeWorker.started


def test_a_world_by_name_goes_to_the_sides_and_brings_training_rates(bench):
    rows = bench("--engines", "c", "--peers", "mjx", "--env", "CartPole-v1", "--ppo")["rows"]
    assert [arguments[-1] for arguments in FakeWorker.started] == [
        "CartPole-v1", str(bench_physics_steps(16)), "CartPole-v1",
    ]  # fmt: skip
    training = by(
        rows, "CartPole-v1, 16 environments: PPO on engine c", "the world alone, random actions"
    )
    assert training["ratio"] == 0.5


def bench_physics_steps(batch):
    return 8192 // batch
