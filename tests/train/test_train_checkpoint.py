"""Checkpoints: round trips, corruption, parameters alone."""

import random
import resource
import shutil
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.errors import WriteError
from jaxrl_rewards.core.jsonl import read_jsonl
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
    data = bytearray(path.read_bytes())
    if kind == "delete" or (not data and kind != "empty"):
        path.unlink()
        return
    if kind == "truncate":
        data = data[: generator.randrange(len(data))]
    elif kind == "empty":
        data = b""
    elif kind == "noise":
        data = generator.randbytes(len(data))
    else:
        data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    path.write_bytes(bytes(data))


KINDS = ("delete", "truncate", "empty", "noise", "flip", "flip")


def test_damaged_checkpoints_never_give_wrong_values(learner, finished, tmp_path, capfd):
    """40 tries over all files of the newest checkpoint: right values, or the older ones."""
    folder, result = finished
    expected = {30: result.state, 20: load_state(folder, learner, which=20)[0]}
    newest = folder / "checkpoints" / "30"
    files = sorted(path for path in newest.rglob("*") if path.is_file())
    generator = random.Random(0)
    tries = [(file, generator.choice(KINDS)) for file in files]
    tries += [(generator.choice(files), generator.choice(KINDS)) for _ in range(40 - len(tries))]
    copy = tmp_path / "copy"
    fallbacks = 0
    for file, kind in tries:
        shutil.copytree(folder, copy)
        damage(copy / file.relative_to(folder), kind, generator)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state, update = load_state(copy, learner)
        assert_same_bits(state, expected[update])
        fallbacks += update == 20
        shutil.rmtree(copy)
    assert fallbacks > 20
    assert "Traceback" not in capfd.readouterr().err


RECORD = "checkpoints/30/record/metadata"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"update": 30', b'"update": 31'),
        (b'"update": 30', b'"update": 20'),
        (b'"step": [30]', b'"step": [29]'),
        (b'"log_bytes": ', b'"log_bytes": 1'),
        (b'"seconds"', b'"secunds"'),
        (b'"checksum"', b'"checksun"'),
        (b'{"facts"', b'[{"facts"'),
    ],
)
def test_a_record_that_says_something_else_is_refused(old, new, learner, finished, tmp_path):
    """Also where the list of files is lost, as after a kill at the wrong moment."""
    folder, _ = finished
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    path = copy / RECORD
    for listed in (True, False):
        path.write_bytes((folder / RECORD).read_bytes().replace(old, new))
        assert path.read_bytes() != (folder / RECORD).read_bytes()
        if not listed:
            (path.parent / "files.json").unlink()
        with pytest.raises(InputError, match="update 30 .* cannot be read"):
            load_state(copy, learner, which=30)
        with pytest.warns(RuntimeWarning, match="going on from update 20"):
            assert load_state(copy, learner)[1] == 20
        with pytest.warns(RuntimeWarning, match="update 30 .* cannot be read"):
            params = load_params(copy)
        np.testing.assert_array_equal(params["first"], load_params(folder, which=20)["first"])


def test_a_checkpoint_under_another_number_is_refused(learner, finished, tmp_path):
    folder, _ = finished
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    shutil.copytree(copy / "checkpoints" / "20", copy / "checkpoints" / "50")
    with pytest.warns(RuntimeWarning, match="update 50 .* record is that of update 20"):
        assert load_state(copy, learner)[1] == 30


@pytest.mark.parametrize("stray", ["file", "folder", "007", "link"])
def test_what_does_not_belong_among_checkpoints_is_set_aside(stray, learner, finished, tmp_path):
    folder, result = finished
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    place = copy / "checkpoints" / ("0099" if stray == "007" else "99")
    if stray == "file":
        place.write_text("x")
    elif stray == "link":
        place.symlink_to(tmp_path / "nowhere")
    else:
        place.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        resumed = run(learner, out_dir=copy, resume=True, **THIRTY)
    assert_same_bits(resumed.state, result.state)


THIRTY = dict(key=KEY, total_updates=30, chunk_updates=10, checkpoint_every=10, progress=False,
              log=("jsonl",))  # fmt: skip


@pytest.mark.parametrize("kind", ["missing", "empty", "short", "torn", "odd", "rows"])
def test_a_damaged_log_never_makes_a_checkpoint_unusable(kind, learner, finished, tmp_path):
    folder, result = finished
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for later in ("30", "20"):
        shutil.rmtree(copy / "checkpoints" / later)
    log = copy / "metrics.jsonl"
    rows = log.read_bytes().splitlines(keepends=True)
    data = {
        "empty": b"",
        "short": rows[0][:-9],
        "torn": rows[0][:20] + b"\n" + rows[1],
        "odd": rows[0].replace(b'"loss":', b'"loss":"x",'),
        "rows": rows[0].replace(b":10,", b":11,") + rows[1],
    }
    if kind == "missing":
        log.unlink()
    else:
        log.write_bytes(data[kind])
    with pytest.warns(RuntimeWarning, match="0 rows up to update 0 are kept"):
        resumed = run(learner, out_dir=copy, resume=True, **THIRTY)
    assert_same_bits(resumed.state, result.state)
    assert [row["update"] for row in read_jsonl(log)] == [20, 30]


def test_a_full_disk_is_one_sentence_and_the_run_goes_on_when_there_is_room(
    learner, finished, tmp_path, capfd, caplog
):
    _, result = finished
    folder = tmp_path / "run"

    def fill(state, key):
        resource.setrlimit(resource.RLIMIT_FSIZE, (300 if state.step == 20 else soft, hard))
        return {}

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(WriteError, match="cannot be written.*then resume"):
            run(learner, out_dir=folder, evaluate=fill, evaluate_every=10, **THIRTY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "Traceback" not in capfd.readouterr().err and not caplog.records
    resumed = run(learner, out_dir=folder, resume=True, **THIRTY)
    assert_same_bits(resumed.state, result.state)
    assert [row["update"] for row in read_jsonl(folder / "metrics.jsonl")] == [10, 20, 30]


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
