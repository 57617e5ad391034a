"""Checkpoints: round trips, corruption, parameters alone."""

import random
import shutil
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.train import load_params, load_state, read_params, run, write_params
from tests.train.test_train_runner import assert_same_bits
from tests.train.toys import make_regression

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def learner():
    return make_regression()


@pytest.fixture(scope="module")
def finished(learner, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    result = run(
        learner,
        key=KEY,
        total_updates=30,
        chunk_updates=10,
        checkpoint_every=10,
        out_dir=folder,
        progress=False,
        log=("jsonl",),
    )
    return folder, result


def test_states_come_back_bit_for_bit(learner, finished):
    folder, result = finished
    state, update = load_state(folder, learner)
    assert update == 30
    assert_same_bits(state, result.state)
    middle, update = load_state(folder, learner, which=20)
    assert (update, int(middle.step)) == (20, 20)


def test_seeded_states_come_back(learner, tmp_path):
    result = run(
        learner,
        key=KEY,
        total_updates=3,
        num_seeds=2,
        out_dir=tmp_path,
        progress=False,
        log=("jsonl",),
    )
    state, _ = load_state(tmp_path, learner, num_seeds=2)
    assert_same_bits(state, result.state)


def test_parameters_alone_need_no_learner(learner, finished):
    folder, result = finished
    params = load_params(folder)
    np.testing.assert_array_equal(params["first"], result.state.params["first"])
    np.testing.assert_array_equal(params["layers"][0], result.state.params["layers"][0])


def test_missing_things_are_named(learner, finished, tmp_path):
    folder, _ = finished
    with pytest.raises(InputError, match="holds no run with checkpoints"):
        load_params(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InputError, match="no complete checkpoint yet"):
        load_state(tmp_path, learner)
    with pytest.raises(InputError, match=r"choose among \[10, 20, 30\]"):
        load_state(folder, learner, which=15)
    with pytest.raises(InputError, match="named no best metric"):
        load_state(folder, learner, which="best")
    with pytest.raises(InputError, match="can be read into this learner"):
        load_state(folder, make_regression(hidden=8))


def damage(path, kind, generator):
    if kind == "delete":
        path.unlink()
        return
    data = bytearray(path.read_bytes())
    if kind == "truncate":
        data = data[: len(data) // 2]
    else:
        for _ in range(4):
            data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    path.write_bytes(bytes(data))


@pytest.mark.slow
def test_damaged_checkpoints_never_give_wrong_values(learner, finished, tmp_path):
    """Each file of the newest checkpoint is damaged in three ways: right values, or the older."""
    folder, result = finished
    expected = {30: result.state, 20: load_state(folder, learner, which=20)[0]}
    files = [p for p in (folder / "checkpoints" / "30").rglob("*") if p.is_file()]
    generator = random.Random(0)
    fallbacks = 0
    for index, file in enumerate(sorted(files)):
        for kind in ("delete", "truncate", "flip"):
            if file.stat().st_size == 0 and kind != "delete":
                continue
            copy = tmp_path / f"{index}-{kind}"
            shutil.copytree(folder, copy)
            damage(copy / file.relative_to(folder), kind, generator)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                state, update = load_state(copy, learner)
            assert_same_bits(state, expected[update])
            fallbacks += update == 20
    assert fallbacks > 0


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(learner, finished, tmp_path):
    folder, result = finished
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for file in (copy / "checkpoints" / "30" / "state").rglob("*"):
        if file.is_file() and file.parent.name == "d":
            file.write_bytes(file.read_bytes()[:10])
    options = {
        "key": KEY,
        "total_updates": 30,
        "chunk_updates": 10,
        "progress": False,
        "log": ("jsonl",),
    }
    with pytest.warns(RuntimeWarning, match="update 30 .* going on from update 20"):
        resumed = run(learner, out_dir=copy, resume=True, **options)
    assert_same_bits(resumed.state, result.state)
    assert (copy / "unreadable" / "30").is_dir()
    assert_same_bits(load_state(copy, learner)[0], result.state)


def test_where_nothing_is_readable_the_error_says_so_and_nothing_is_moved(
    learner, finished, tmp_path
):
    folder, _ = finished
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for file in (copy / "checkpoints").rglob("*"):
        if file.is_file() and file.stat().st_size:
            file.write_bytes(b"rubbish")
    with pytest.raises(InputError, match="none of the 3 checkpoints"):
        run(
            learner,
            key=KEY,
            total_updates=30,
            out_dir=copy,
            resume=True,
            progress=False,
            log=("jsonl",),
        )
    assert not (copy / "unreadable").exists()


def test_a_half_written_checkpoint_is_ignored_and_swept_away(learner, finished, tmp_path):
    folder, result = finished
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    half = copy / "checkpoints" / "40.orbax-checkpoint-tmp"
    shutil.copytree(copy / "checkpoints" / "30", half)
    resumed = run(
        learner,
        key=KEY,
        total_updates=30,
        out_dir=copy,
        resume=True,
        progress=False,
        log=("jsonl",),
    )
    assert_same_bits(resumed.state, result.state)
    assert not half.exists()


def test_parameters_travel_as_npz(tmp_path):
    params = {"layer": {"kernel": jnp.arange(6.0).reshape(2, 3)}, "list": [jnp.ones(2)]}
    path = tmp_path / "policy.npz"
    write_params(path, params)
    back = read_params(path, like=params)
    assert_same_bits(back, params)
    np.testing.assert_array_equal(read_params(path)["layer"]["kernel"], params["layer"]["kernel"])
    with pytest.raises(InputError, match=r"'list/0' has shape \(2,\), the network needs \(3,\)"):
        read_params(path, like={**params, "list": [jnp.ones(3)]})
    with pytest.raises(InputError, match="has no parameter 'more'"):
        read_params(path, like={**params, "more": jnp.ones(3)})
    with pytest.raises(InputError, match="'list/0' is unknown"):
        read_params(path, like={"layer": params["layer"]})
    with pytest.raises(InputError, match="no parameter file"):
        read_params(tmp_path / "none.npz")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match="not a readable .npz"):
        read_params(path)
    with pytest.raises(ValueError, match="written as .npz"):
        write_params(tmp_path / "policy.bin", params)
