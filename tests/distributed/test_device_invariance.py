"""One device, four virtual devices, and two processes of two devices compute the same update."""

import numpy as np
import pytest

from tests.distributed.pairs import free_port, start

pytestmark = [pytest.mark.distributed, pytest.mark.slow]

RELATIVE = 1e-5
ABSOLUTE = 1e-6


def launch(repository, *arguments):
    return start(repository, "tests.distributed.worker", *arguments)


def finish(*processes):
    try:
        for process in processes:
            output, _ = process.communicate(timeout=600)
            assert process.returncode == 0, output
    finally:
        for process in processes:
            process.kill()


def outputs(repository, tmp_path, learner, *options, out_dirs=False):
    """Final states of the three ways to run, by name."""
    files = {name: tmp_path / f"{name}.npz" for name in ("one", "four", "two-by-two")}

    def common(name):
        folder = ["--out-dir", tmp_path / name] if out_dirs else []
        return ["--learner", learner, "--output", files[name], *options, *folder]

    finish(launch(repository, *common("one")))
    finish(launch(repository, *common("four"), "--devices", 4))
    port = free_port()
    pair = ["--devices", 2, "--processes", 2, "--port", port]
    finish(
        *(launch(repository, *common("two-by-two"), *pair, "--process", index) for index in (0, 1))
    )
    return {name: dict(np.load(file)) for name, file in files.items()}


def largest_difference(reference, other):
    """Largest |a - b| / (|b| + 0.1) over all values: 1e-5 means 1e-5 relative, 1e-6 near 0."""
    assert reference.keys() == other.keys()
    worst = 0.0
    for name, expected in reference.items():
        if "second" in name:
            continue
        assert other[name].shape == expected.shape
        if expected.dtype.kind != "f":
            np.testing.assert_array_equal(other[name], expected, err_msg=name)
            continue
        np.testing.assert_array_equal(np.isfinite(other[name]), np.isfinite(expected))
        finite = np.isfinite(expected)
        difference = np.abs(other[name] - expected)[finite]
        scale = np.abs(expected)[finite] + ABSOLUTE / RELATIVE
        worst = max(worst, float((difference / scale).max(initial=0.0)))
    return worst


def check(found):
    for name in ("four", "two-by-two"):
        worst = largest_difference(found["one"], found[name])
        print(f"{name}: largest relative difference {worst:.2g}")
        assert worst <= RELATIVE, name


def test_toy_learner_and_its_files(repository, tmp_path):
    found = outputs(repository, tmp_path, "toy", "--updates", 3, out_dirs=True)
    check(found)
    rows = {
        name: (tmp_path / name / "metrics.jsonl").read_text().count("\n")
        for name in ("one", "four", "two-by-two")
    }
    assert set(rows.values()) == {3}, rows
    # what two processes have saved, one process reads
    from jaxrl_rewards.train import load_state
    from tests.distributed.learners import build

    state, update = load_state(tmp_path / "two-by-two", build("toy"))
    assert update == 3
    np.testing.assert_array_equal(state.params["first"], found["two-by-two"][".params['first']"])


def test_seeds_are_split_over_devices(repository, tmp_path):
    check(outputs(repository, tmp_path, "toy", "--updates", 2, "--seeds", 4))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("learner", ["ppo", "grpo"])
def test_one_update_of_a_real_learner(repository, tmp_path, learner):
    check(outputs(repository, tmp_path, learner))


@pytest.mark.timeout(1800)
def test_one_update_of_a_decoder_split_over_two_axes(repository, tmp_path):
    """Worlds over two devices, weights over two: as on one device."""
    files = {name: tmp_path / f"{name}.npz" for name in ("one", "split")}
    learner = ["--learner", "language"]
    finish(launch(repository, *learner, "--output", files["one"]))
    finish(launch(repository, *learner, "--output", files["split"], "--devices", 4, "--model", 2))
    found = {name: dict(np.load(file)) for name, file in files.items()}
    worst = largest_difference(found["one"], found["split"])
    print(f"largest relative difference {worst:.2g}")
    assert worst <= 1e-4
