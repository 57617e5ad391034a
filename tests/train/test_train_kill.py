"""Runs that are killed without warning go on as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from benchmarks.reliability import kills
from benchmarks.reliability.compare import differences
from jaxrl_rewards.core.files import TEMPORARY
from jaxrl_rewards.core.jsonl import read_jsonl

pytestmark = pytest.mark.distributed


def start(repository, name, folder, updates, chunk, every, output):
    path = os.pathsep.join([str(repository), str(repository / "envs")])
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-m", "tests.train.kill_worker", name, folder, updates, chunk, every]
    return subprocess.Popen(
        [*map(str, command), str(output)],
        cwd=repository,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def to_the_end(process):
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


def rows_of(log):
    return log.read_bytes().count(b"\n") if log.exists() else 0


def kill_and_resume(repository, tmp_path, name, updates, chunk, every, kills):
    """Kill a run at `kills` random moments of its training; compare with an undisturbed one."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    to_the_end(start(repository, name, whole, updates, chunk, every, tmp_path / "whole.npz"))
    rows = read_jsonl(whole / "metrics.jsonl")
    generator = random.Random(0)
    moments = sorted(generator.sample(range(1, len(rows) * 9 // 10), kills))
    chunk_seconds = rows[-1]["seconds"] / len(rows)
    log, text = broken / "metrics.jsonl", ""
    for moment in moments:
        process = start(repository, name, broken, updates, chunk, every, tmp_path / "broken.npz")
        before = log.stat().st_mtime_ns if log.exists() else None
        while process.poll() is None and (
            rows_of(log) < moment or log.stat().st_mtime_ns == before
        ):
            time.sleep(0.005)
        time.sleep(generator.uniform(0.0, 1.0) * chunk_seconds)
        process.send_signal(signal.SIGKILL)
        text += process.communicate()[0]
        assert process.returncode == -signal.SIGKILL, text
    text += to_the_end(
        start(repository, name, broken, updates, chunk, every, tmp_path / "broken.npz")
    )
    assert "cannot be read" not in text
    assert not (broken / "unreadable").exists()
    with np.load(tmp_path / "whole.npz") as a, np.load(tmp_path / "broken.npz") as b:
        assert a.files == b.files
        for entry in a.files:
            assert a[entry].tobytes() == b[entry].tobytes()
    cut = [{k: v for k, v in row.items() if "second" not in k} for row in rows]
    resumed = read_jsonl(broken / "metrics.jsonl")
    assert [{k: v for k, v in row.items() if "second" not in k} for row in resumed] == cut
    print(f"{name}: {kills} kills, {text.count('resuming')} resumptions from a checkpoint")


@pytest.mark.slow
def test_a_polite_stop_exits_at_a_chunk_boundary_and_resumes(repository, tmp_path):
    """SIGTERM in mid-chunk: the process ends by itself and its checkpoint is whole."""
    process = start(repository, "toy", tmp_path / "run", 400, 20, 400, tmp_path / "a.npz")
    log = tmp_path / "run" / "metrics.jsonl"
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    to_the_end(process)
    rows = read_jsonl(log)
    assert 20 <= rows[-1]["update"] < 400
    assert rows[-1]["update"] % 20 == 0
    text = to_the_end(start(repository, "toy", tmp_path / "run", 400, 20, 400, tmp_path / "a.npz"))
    assert f"at update {rows[-1]['update']} of 400" in text
    assert [row["update"] for row in read_jsonl(log)] == list(range(20, 401, 20))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_change_no_bit(repository, tmp_path):
    kill_and_resume(repository, tmp_path, "toy", 1000, 5, 20, kills=20)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kills_change_no_bit_of_ppo(repository, tmp_path):
    kill_and_resume(repository, tmp_path, "ppo", 120, 5, 10, kills=4)


TINY = {
    "ppo": "train ppo --env CartPole-v1 --steps 10240 --num-envs 4 --unroll-length 64 --hidden 8 "
    "--chunk 1 --checkpoint-every 4 --evaluation-episodes 2",
    "eureka": "train eureka --candidates 2 --generations 4 --seeds 1 --seed 3",
}


@pytest.mark.parametrize("name", TINY)
@pytest.mark.timeout(1200)
def test_commands_that_are_killed_go_on_to_the_same_results(
    name, repository, tmp_path, monkeypatch
):
    """One kill, once something was saved; parameters, rows, evaluations, best. The other commands,
    twenty kills each: `python -m benchmarks.reliability.kills`."""
    path = os.pathsep.join([str(repository), str(repository / "envs")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setattr(kills, "COMMANDS", TINY)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert kills.watch(kills.start(name, whole, resume=False), whole)["code"] == 0
    process = kills.start(name, broken, resume=False)
    saved = {"ppo": "checkpoints/*/record", "eureka": "trainings/[!.]*.npz"}[name]
    while process.poll() is None and not any(broken.glob(saved)):
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    end = kills.watch(kills.start(name, broken, resume=True), broken)
    assert end["code"] == 0, (tmp_path / "broken.log").read_text()
    assert differences(whole, broken) == []
    assert not [path for path in broken.rglob("*") if path.name.startswith(TEMPORARY)]
