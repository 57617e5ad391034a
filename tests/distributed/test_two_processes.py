"""Two real processes: one is killed, fails, or is asked to stop; the run goes on unchanged."""

import json
import shutil
import signal
import time

import numpy as np
import pytest

from jaxrl_rewards.core.jsonl import read_jsonl
from tests.distributed.pairs import start, start_pair
from tests.distributed.test_device_invariance import RELATIVE, largest_difference

pytestmark = [pytest.mark.distributed, pytest.mark.slow]

NOTICE_SECONDS, SAVE_SECONDS = 60.0, 10.0
UPDATES, EVERY = 400, 40


def worker(folder, output):
    sizes = ["--updates", UPDATES, "--chunk", 5, "--every", EVERY, "--resume"]
    return ["tests.distributed.worker", "--learner", "toy", *sizes, "--out-dir", folder] + [
        "--output",
        output,
    ]


def ended(processes):
    """Outputs and exit codes of processes that end by themselves."""
    try:
        outputs = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return outputs, [process.returncode for process in processes]


def wait_for_rows(folder, count, processes):
    log = folder / "metrics.jsonl"
    while not log.exists() or log.read_bytes().count(b"\n") < count:
        for process in processes:
            assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def kill_one(pair, victim):
    """Kill a process without warning; the other's output and the seconds until it has ended."""
    began = time.monotonic()
    pair[victim].send_signal(signal.SIGKILL)
    survivor = pair[1 - victim]
    output, _ = survivor.communicate(timeout=2 * NOTICE_SECONDS)
    seconds = time.monotonic() - began
    pair[victim].communicate()
    assert survivor.returncode not in (0, None)
    return output, seconds


def to_the_end(processes):
    outputs, codes = ended(processes)
    assert codes == [0] * len(processes), outputs
    return outputs


def values(file):
    arrays = dict(np.load(file))
    return {name: array for name, array in arrays.items() if "second" not in name}


@pytest.mark.timeout(900)
def test_killed_runs_end_with_a_sentence_and_go_on_unchanged(repository, tmp_path):
    whole = tmp_path / "whole.npz"
    to_the_end(start_pair(repository, *worker(tmp_path / "whole", whole)))
    broken, output = tmp_path / "broken", tmp_path / "broken.npz"
    for victim, rows in ((1, 20), (0, 45)):
        pair = start_pair(repository, *worker(broken, output))
        wait_for_rows(broken, rows, pair)
        text, seconds = kill_one(pair, victim)
        print(f"process {victim} killed: the other ended after {seconds:.2f} s")
        assert seconds <= NOTICE_SECONDS
        sentence = f"jaxrl-rewards: process {victim} of 2 was lost, so process {1 - victim} ends"
        assert sentence in text, text
        assert "with the same command and --resume" in text
    alone, of_one = tmp_path / "alone", tmp_path / "alone.npz"
    shutil.copytree(broken, alone)
    to_the_end(start_pair(repository, *worker(broken, output)))
    expected, found = values(whole), values(output)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        assert array.tobytes() == found[name].tobytes(), name
    to_the_end([start(repository, *worker(alone, of_one))])
    worst = largest_difference(expected, values(of_one))
    print(f"gone on with one process: largest relative difference {worst:.2g}")
    assert worst <= RELATIVE


def test_the_others_of_a_failed_process_end(repository):
    outputs, codes = ended(start_pair(repository, "tests.distributed.failing"))
    assert codes == [1, 2], outputs
    assert "jaxrl-rewards: process 1 of 2 has failed, so process 0 ends too" in outputs[0]
    assert "process 1: the disk is full" in outputs[1]
    assert "stack trace" not in outputs[0] + outputs[1]


def test_train_ppo_saves_both_on_sigterm_to_one(repository, tmp_path):
    sizes = ["--num-envs", 4, "--unroll-length", 8, "--num-minibatches", 1, "--num-epochs", 1]
    command = ["jaxrl_rewards.cli", "train", "ppo", *sizes, "--hidden", 8, "--chunk", 10]
    folder = ["--evaluation-episodes", 4, "--resume", "--out", tmp_path]
    pair = start_pair(repository, *command, *folder)
    wait_for_rows(tmp_path, 3, pair)
    began = time.monotonic()
    pair[1].send_signal(signal.SIGTERM)
    outputs, codes = ended(pair)
    seconds = time.monotonic() - began
    print(f"ended {seconds:.2f} s after SIGTERM")
    assert codes == [128 + signal.SIGTERM] * 2, outputs
    assert seconds <= SAVE_SECONDS
    rows = read_jsonl(tmp_path / "metrics.jsonl")
    saved = max(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert saved == rows[-1]["update"] >= 30
    settings = json.loads((tmp_path / "config.json").read_text())
    assert '"processes": 2' in json.dumps(settings)
