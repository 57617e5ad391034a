"""The runner: chunking, seeds, logs, resumption, refusal, signals, guards."""

import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.jsonl import read_jsonl
from jaxrl_rewards.train import NonFiniteUpdates, load_state, run
from tests.train.toys import BATCH, default_hparams, make_regression

KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def learner():
    return make_regression()


def train(learner, total=23, hparams=None, **options):
    options = {"chunk_updates": 5, "progress": False, "key": KEY, "log": ("jsonl",)} | options
    return run(learner, hparams, total_updates=total, **options)


def plain(leaf):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf)


def assert_same_bits(first, second):
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(first), jax.tree.leaves(second), strict=True
    ):
        assert plain(a).tobytes() == plain(b).tobytes(), jax.tree_util.keystr(path)


def without_clock(rows):
    return [{k: v for k, v in row.items() if "second" not in k} for row in rows]


def test_chunking_changes_no_bit(learner):
    whole = train(learner, chunk_updates=23)
    for chunk in (1, 5, 7):
        assert_same_bits(train(learner, chunk_updates=chunk).state, whole.state)


def test_the_loop_is_the_update_applied_in_turn(learner):
    state = jax.jit(learner.init)(KEY, learner.hparams)
    update = jax.jit(learner.update)
    for _ in range(7):
        state, _ = update(state, learner.hparams)
    ours = train(learner, total=7)
    for a, b in zip(jax.tree.leaves(ours.state.params), jax.tree.leaves(state.params)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert int(ours.state.step) == 7


def test_the_callers_key_and_state_survive_donation(learner):
    key = jax.random.key(9)
    first = train(learner, key=key, total=4)
    again = train(learner, key=key, total=3, initial_state=first.state)
    assert not key.is_deleted()
    assert int(first.state.step) == 4
    assert int(again.state.step) == 7


def test_rows_average_each_chunk_and_leave_out_what_is_unknown(learner, tmp_path):
    fine = train(learner, chunk_updates=1)
    coarse = train(learner, out_dir=tmp_path / "run")
    rows = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert [row["update"] for row in rows] == [5, 10, 15, 20, 23]
    assert rows[-1]["samples"] == 23 * BATCH
    np.testing.assert_allclose(rows[1]["loss"], fine.history["loss"][5:10].mean(), rtol=1e-5)
    np.testing.assert_allclose(rows[1]["sometimes"], fine.history["loss"][[6, 9]].mean(), rtol=1e-5)
    assert np.isnan(fine.history["sometimes"][1])
    np.testing.assert_array_equal(coarse.history["loss"], [row["loss"] for row in rows])
    assert coarse.samples_per_second > 0


def test_seeds_are_trained_as_each_one_alone(learner, tmp_path):
    many = train(learner, num_seeds=3, out_dir=tmp_path / "run", log=("jsonl", "curves"))
    assert many.history["loss"].shape == (5, 3)
    keys = jax.random.split(KEY, 3)
    for seed in range(3):
        alone = train(learner, key=keys[seed])
        for a, b in zip(jax.tree.leaves(many.state.params), jax.tree.leaves(alone.state.params)):
            np.testing.assert_allclose(a[seed], b, rtol=1e-5, atol=1e-6)
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_hyperparameters_are_swept_along_the_seeds(learner):
    rates = jnp.array([0.0, 0.01, 0.05])
    hparams = default_hparams(learning_rate=rates, poison_after=jnp.full((3,), 1_000_000))
    many = train(learner, hparams=hparams, num_seeds=3, vmap_hparams=True)
    start = jax.vmap(learner.init, in_axes=(0, None))(jax.random.split(KEY, 3), learner.hparams)
    moved = jnp.abs(many.state.params["first"] - start.params["first"]).max((1, 2))
    assert moved[0] < 1e-6
    assert (moved[1:] > 0.01).all()


def test_a_longer_run_resumes_a_shorter_one(learner, tmp_path):
    folder = tmp_path / "run"
    whole = train(learner, out_dir=tmp_path / "whole")
    train(learner, total=13, out_dir=folder, config={"hidden": 16})
    resumed = train(learner, out_dir=folder, resume=True, config={"hidden": 16})
    assert_same_bits(resumed.state, whole.state)
    rows = read_jsonl(folder / "metrics.jsonl")
    assert [row["update"] for row in rows] == [5, 10, 13, 15, 20, 23]
    assert len(resumed.history["loss"]) == 6
    again = train(learner, out_dir=folder, resume=True, config={"hidden": 16})
    assert_same_bits(again.state, whole.state)
    assert read_jsonl(folder / "metrics.jsonl") == rows


def test_rows_beyond_the_checkpoint_are_cut_off(learner, tmp_path):
    whole = train(learner, out_dir=tmp_path / "whole")
    train(learner, total=10, out_dir=tmp_path / "run")
    with (tmp_path / "run" / "metrics.jsonl").open("a") as stream:
        stream.write('{"update":15,"loss":1}\n{"update":2')
    train(learner, out_dir=tmp_path / "run", resume=True)
    rows = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert without_clock(rows) == without_clock(read_jsonl(tmp_path / "whole" / "metrics.jsonl"))
    assert whole.updates == 23


def test_a_used_folder_is_refused_and_a_changed_field_is_named(learner, tmp_path):
    folder = tmp_path / "run"
    train(learner, total=5, out_dir=folder, config={"net": {"hidden": 16}, "env": "toy"})
    before = sorted(path.name for path in folder.rglob("*"))
    with pytest.raises(InputError, match="already holds a run"):
        train(learner, out_dir=folder)
    with pytest.raises(InputError, match=r"config\.net\.hidden = 16, now it is 32"):
        train(learner, out_dir=folder, resume=True, config={"net": {"hidden": 32}, "env": "toy"})
    same = {"out_dir": folder, "resume": True, "config": {"net": {"hidden": 16}, "env": "toy"}}
    with pytest.raises(InputError, match="learning_rate"):
        train(learner, hparams=default_hparams(learning_rate=0.1), **same)
    with pytest.raises(InputError, match=r"key\.data"):
        train(learner, key=jax.random.key(4), **same)
    with pytest.raises(InputError, match="num_seeds"):
        train(learner, num_seeds=2, **same)
    with pytest.raises(InputError, match="beyond the 3 asked for"):
        train(learner, total=3, **same)
    assert sorted(path.name for path in folder.rglob("*")) == before
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(InputError, match="is a file"):
        train(learner, out_dir=file)


def test_resuming_an_empty_folder_starts_afresh_and_says_nothing_false(learner, tmp_path, capsys):
    fresh = train(learner, total=5, out_dir=tmp_path / "run", resume=True)
    assert fresh.updates == 5
    other = tmp_path / "other"
    train(learner, total=5, out_dir=other)
    for item in sorted((other / "checkpoints").rglob("*"), reverse=True):
        item.rmdir() if item.is_dir() else item.unlink()
    again = train(learner, total=5, out_dir=other, resume=True, progress=True)
    assert "starting from the beginning" in capsys.readouterr().err
    assert_same_bits(again.state, fresh.state)


def test_config_and_versions_stand_beside_the_results(learner, tmp_path):
    train(learner, total=5, out_dir=tmp_path, config=default_hparams())
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["config"]["learning_rate"] == 0.05
    assert stored["run"]["total_updates"] == 5
    assert stored["versions"]["jax"] == jax.__version__


def test_evaluation_depends_on_the_update_not_on_the_chunks(learner):
    def evaluate(state, key):
        return {"draw": jax.random.uniform(key), "step": state.step}

    options = {"total": 20, "evaluate": evaluate, "evaluate_every": 10}
    coarse = train(learner, chunk_updates=10, **options).history
    fine = train(learner, chunk_updates=2, **options).history
    seen = np.isfinite(fine["evaluation/step"])
    np.testing.assert_array_equal(fine["evaluation/step"][seen], [10, 20])
    np.testing.assert_array_equal(fine["evaluation/draw"][seen], coarse["evaluation/draw"])


def test_the_best_and_the_newest_checkpoints_are_kept(learner, tmp_path):
    def evaluate(state, key):
        return {"score": -jnp.abs(state.step - 10.0)}

    options = {"evaluate": evaluate, "evaluate_every": 5, "checkpoint_every": 5, "keep": 2}
    train(learner, total=30, best_metric="evaluation/score", out_dir=tmp_path, **options)
    kept = sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit())
    assert kept == [10, 25, 30]
    state, update = load_state(tmp_path, learner, which="best")
    assert (update, int(state.step)) == (10, 10)
    with pytest.raises(ValueError, match="best_metric 'nothing' is not logged"):
        train(learner, best_metric="nothing", out_dir=tmp_path / "x")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_at_the_next_chunk_boundary(learner, tmp_path, number):
    whole = train(learner, total=40)

    def evaluate(state, key):
        if int(state.step) == 10:
            os.kill(os.getpid(), number)
        return {}

    former = signal.getsignal(number)
    options = {"evaluate": evaluate, "evaluate_every": 5, "out_dir": tmp_path, "total": 40}
    stopped = train(learner, **options)
    assert signal.getsignal(number) is former
    assert stopped.interrupted and stopped.signal_number == number
    assert stopped.updates == 15
    assert int(load_state(tmp_path, learner)[1]) == 15
    resumed = train(learner, resume=True, out_dir=tmp_path, total=40)
    assert not resumed.interrupted
    assert_same_bits(resumed.state, whole.state)


def test_refused_updates_are_counted_and_a_hopeless_run_ends_with_an_error(
    learner, tmp_path, capsys
):
    hparams = default_hparams(poison_after=12)
    options = {"hparams": hparams, "out_dir": tmp_path, "progress": True, "checkpoint_every": 5}
    with pytest.raises(NonFiniteUpdates, match="every one of the last 10 updates up to update 25"):
        train(learner, total=40, **options)
    assert "3 optimiser steps in updates 11 to 15 were refused" in capsys.readouterr().err
    rows = read_jsonl(tmp_path / "metrics.jsonl")
    assert [row["skipped_total"] for row in rows] == [0, 0, 3, 8, 13]
    state, update = load_state(tmp_path, learner)
    assert update == 20 and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


def test_a_single_seed_that_fails_only_warns(learner, capsys):
    hparams = default_hparams(
        learning_rate=jnp.full((2,), 0.05), poison_after=jnp.array([0, 1_000_000])
    )
    result = train(learner, hparams=hparams, num_seeds=2, vmap_hparams=True, progress=True)
    assert "refused in 1 seeds" in capsys.readouterr().err
    np.testing.assert_array_equal(result.history["skipped_total"][-1], [23, 0])


def test_static_mistakes_are_named(learner):
    with pytest.raises(ValueError, match="total_updates must be at least 1"):
        train(learner, total=0)
    with pytest.raises(ValueError, match="unknown log 'wandb'"):
        train(learner, log=("wandb",))
    with pytest.raises(ValueError, match="vmap_hparams needs num_seeds"):
        train(learner, vmap_hparams=True)

    def grows(state, hparams):
        return state.replace(step=state.step.astype(jnp.float32)), {}

    with pytest.raises(ValueError, match=r"changes state\.step from int32\[\] to float32\[\]"):
        train(learner._replace(update=grows))


def test_tensorboard_gets_the_same_numbers(learner, tmp_path):
    pytest.importorskip("tensorboardX")
    train(learner, total=10, out_dir=tmp_path, log=("jsonl", "tensorboard"))
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_a_run_ends_when_its_row_says_so_and_goes_on_when_asked(learner, tmp_path):
    asked = []

    def enough(row):
        asked.append(row["update"])
        return row["update"] >= 10

    options = {"total": 20, "out_dir": tmp_path}
    early = train(learner, stop_when=enough, **options)
    assert (early.updates, early.interrupted, early.signal_number) == (10, True, None)
    assert asked == [5, 10]
    rest = train(learner, resume=True, **options)
    assert (rest.updates, rest.interrupted) == (20, False)
    assert_same_bits(rest.state, train(learner, total=20).state)
