"""How well an avatar follows, and where that is measured."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.learning.retarget import run_row
from benchmarks.learning.retarget_unseen import unseen_rows
from jaxrl_rewards.core import InputError
from jaxrl_rewards.studies.sparse_retargeting.train.follow import survival
from jaxrl_rewards.studies.sparse_retargeting.train.host import on_host


def played():
    """Four steps of three episodes: one fails after two steps, one clip ends after three, one goes
    on; errors after an end are nonsense that must not count."""
    alive = np.array([[1, 1, 1], [1, 1, 1], [0, 1, 1], [0, 1, 1]], bool)
    within = np.array([[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 0, 1]], bool)
    error = np.where(alive & within, 0.1, np.nan)
    error[0, 0] = 0.4
    names = ("keypoint_error", "joint_error", "contact_match")
    errors = {name: error for name in names}
    return {"alive": alive, "within": within, "clip": np.array([0, 0, 1]), **errors}


def test_survival_counts_until_the_first_end():
    result = survival(played(), ("walk", "jog"))
    assert result["seconds"] == pytest.approx((2 + 3 + 4) / 3 / 30)
    assert result["followed"] == pytest.approx(2 / 3)
    assert result["available"] == pytest.approx((4 + 3 + 4) / 3 / 30)
    assert result["keypoint_error"] == pytest.approx((0.4 + 8 * 0.1) / 9)
    assert result["walk/followed"] == pytest.approx(0.5)
    assert result["jog/seconds"] == pytest.approx(4 / 30)


def test_one_clip_has_no_rows_of_its_own_and_one_without_episodes_no_figure():
    assert not any("/" in name for name in survival(played(), ("walk",)))
    result = survival(played(), ("walk", "jog", "turn"))
    assert np.isnan(result["turn/followed"]) and np.isnan(result["turn/seconds"])


def test_work_on_the_host_gives_the_same():
    double = on_host(jax.jit(lambda tree: jax.tree.map(lambda leaf: 2 * leaf, tree)))
    out = double({"a": jnp.arange(3), "key": jnp.float32(1.5)})
    np.testing.assert_array_equal(out["a"], [0, 2, 4])
    assert out["a"].devices() == {jax.local_devices(backend="cpu")[-1]} and out["key"] == 3.0


def test_a_run_becomes_a_row(tmp_path):
    reached = {
        "character": "human", "clips": ["deepmimic_humanoid3d_jog"], "seed": 3, "samples": 81920,
        "minutes": 1.0, "episodes": 64, "episode_seconds": 10.0,
        "survival": {
            "seconds": 8.0, "followed": 0.75, "keypoint_error": 0.1, "joint_error": 0.2,
        },
    }  # fmt: skip
    task = {"seed": 3, "steps": 16_000_000, "env": {"character": "human", "damping": 0.025}}
    rows = [
        {"samples": 40960, "seconds": 60.0},
        {"samples": 81920, "seconds": 120.0, "evaluation/seconds": 7.0, "evaluation/followed": 0.5},
    ]
    with pytest.raises(InputError, match="evaluation.json"):
        run_row(tmp_path)
    (tmp_path / "evaluation.json").write_text(json.dumps(reached))
    (tmp_path / "config.json").write_text(json.dumps({"config": {"task": task}}))
    (tmp_path / "metrics.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    row = run_row(tmp_path)
    assert row["what"] == "human, jog, seed 3: success rate, user followed for 10 s"
    assert (row["ours"], row["required"], row["minutes"]) == (0.75, 0.8, 2.0)
    assert row["curve"] == {"samples": [81920], "seconds": [7.0], "followed": [0.5]}
    assert row["trained_by"] == "jaxrl-rewards train retarget --seed 3 --env.damping 0.025"


def test_what_an_avatar_was_not_trained_on_becomes_rows(tmp_path):
    with pytest.raises(InputError, match="evaluate"):
        unseen_rows(tmp_path)
    trained = {"character": "mouse", "clips": ["walk-0", "turn-1"], "seed": 2, "samples": 81920}
    (tmp_path / "evaluation.json").write_text(json.dumps({**trained, "minutes": 3.0}))
    task = {"seed": 2, "hidden": [256, 256], "env": {"generated": ["walk:0", "turn:1"]}}
    (tmp_path / "config.json").write_text(json.dumps({"config": {"task": task}}))
    rows = {name: {"avatar": {"seconds": 4.0}, "kinematic": {"seconds": 8.0}}
            for name in ("walk-0", "turn-7")}  # fmt: skip
    (tmp_path / "evaluation").mkdir()
    played = {"clips": rows, "episodes": 8}
    (tmp_path / "evaluation/evaluation.json").write_text(json.dumps(played))
    (row,) = unseen_rows(tmp_path)
    assert row["what"] == "mouse, trained on 2 motions, seed 2: time followed on turn-7"
    assert (row["ours"], row["peer"], row["ratio"], row["starts"]) == (4.0, 8.0, 0.5, 8)
    assert row["trained_by"] == (
        "jaxrl-rewards train retarget --seed 2 --hidden 256 256 --env.generated walk:0 turn:1"
    )
