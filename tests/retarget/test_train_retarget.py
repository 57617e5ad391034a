"""The commands from training to driving, in a few steps."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco")

from jaxrl_envs.retarget.motion import human_pose  # noqa: E402
from motion_files import bvh_text  # noqa: E402

from jaxrl_rewards.cli import main  # noqa: E402
from jaxrl_rewards.core import InputError  # noqa: E402
from jaxrl_rewards.core.files import make_folder  # noqa: E402
from jaxrl_rewards.studies.sparse_retargeting.train.command import (  # noqa: E402
    has_arrived,
    stored_config,
    stored_task,
)
from jaxrl_rewards.studies.sparse_retargeting.train.evaluating import _which  # noqa: E402
from jaxrl_rewards.studies.sparse_retargeting.train.task import (  # noqa: E402
    RetargetEnv,
    RetargetTask,
    generated_motion,
    is_number,
    recorded_motions,
)

SIZES = (
    "--env.physics", "c", "--env.physics-threads", "1", "--num-envs", "16", "--steps", "1024",
    "--hidden", "16", "--clone-rounds", "1", "--chunk", "1", "--evaluate-every", "2",
    "--evaluation-episodes", "4", "--final-episodes", "4", "--picture-seconds", "0.3",
)  # fmt: skip


@pytest.mark.slow
def test_an_avatar_is_trained_resumed_and_evaluated(tmp_path, capsys):
    out = tmp_path / "run"
    train = ["train", "retarget", *SIZES, "--env.character", "mouse", "--out", str(out)]
    assert main([*train, "--stop-at-followed", "0.9"]) == 0
    first = json.loads((out / "evaluation.json").read_text())
    assert first["updates"] == 4 and first["episodes"] == 4 and first["character"] == "mouse"
    assert {"avatar.npz", "avatar.gif", "avatar.png"} <= {path.name for path in out.iterdir()}
    assert main([*train, "--resume"]) == 0
    assert json.loads((out / "evaluation.json").read_text())["survival"] == first["survival"]
    assert main(["evaluate", str(out), "--episodes", "4"]) == 0
    assert "undisturbed: follows" in capsys.readouterr().out
    unseen = tmp_path / "unseen"
    assert main(["evaluate", str(out), "--generated", "turn:5", "--out", str(unseen)]) == 0
    assert {"turn-5.gif", "turn-5.png"} <= {path.name for path in unseen.iterdir()}
    told = capsys.readouterr().out
    assert "8 starts per clip, none trained on" in told and "turn-5 kinematic" in told
    (row,) = json.loads((unseen / "evaluation.json").read_text())["clips"].values()
    # The kinematic row follows for as long as there was to follow.
    assert row["kinematic"]["seconds"] == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("flag", "value", "says"),
    [
        ("--stop-at-followed", "1.5", "above 0 and at most 1"),
        ("--log-std", "nan", "between -20 and 2, got nan"),
        ("--learning-rate", "inf", "above 0 and finite, got inf"),
        ("--env.position-noise", "nan", "at least 0 and finite, got nan"),
        ("--minibatches", "7", "7 must divide the 8192 steps"),
    ],
)
def test_numbers_out_of_range_are_refused(flag, value, says, capsys):
    assert main(["train", "retarget", flag, value]) == 2
    assert f"{flag} " in (told := capsys.readouterr().err) and says in told


def test_a_run_may_go_on_for_longer_and_from_another_folder(tmp_path, monkeypatch):
    env = RetargetEnv(motions=(Path("walk.bvh"),), bvh=Path("options.json"))
    monkeypatch.chdir(tmp_path)
    stored = [stored_config(RetargetTask(env=env, steps=n), "c")["task"] for n in (1024, 4096)]
    assert stored[0] == stored[1] and "steps" not in stored[0]
    assert stored[0]["env"]["character"] == "human"
    own = RetargetTask(env=RetargetEnv(character="own/robot.xml"))
    assert stored_config(own, "c")["task"]["env"]["character"] == str(tmp_path / "own/robot.xml")
    assert stored[0]["env"]["motions"] == [str(tmp_path / "walk.bvh")]
    assert stored[0]["env"]["bvh"] == str(tmp_path / "options.json")
    back = stored_task(tmp_path, {"config": {"task": stored[0]}})
    assert back.env.bvh == tmp_path / "options.json" and back.env.data is None


def test_the_avatar_that_training_kept_is_evaluated(tmp_path):
    assert _which(None, tmp_path) == "latest"
    (tmp_path / "evaluation.json").write_text(json.dumps({"update": 150, "updates": 200}))
    assert (_which(None, tmp_path), _which("best", tmp_path), _which("7", tmp_path)) == (
        150, "best", 7,
    )  # fmt: skip


def test_a_folder_that_cannot_be_is_refused_before_any_work(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["train", "retarget", "--out", str(tmp_path / "file")]) == 2
    assert "is a file" in capsys.readouterr().err
    with pytest.raises(InputError, match="cannot be made"):
        make_folder(tmp_path / "file" / "below")


def test_seeds_are_plain_digits():
    assert is_number("12") and not any(is_number(text) for text in ("", "²", "-1", "1.0", "x"))
    with pytest.raises(InputError, match="walk:²"):
        generated_motion("walk:²")


def test_a_skeleton_with_other_names_is_read_as_its_file_says(tmp_path):
    clip, options = tmp_path / "clip.bvh", tmp_path / "options.json"
    text = bvh_text()
    clip.write_text(text)
    expected = recorded_motions([clip])[0]
    clip.write_text(text.replace("Hips", "Bone1").replace("LeftKnee", "Bone2"))
    with pytest.raises(InputError, match=r", motion clip: no joint plays.*--env\.bvh"):
        recorded_motions([tmp_path])
    options.write_text(json.dumps({"roles": {"pelvis": "Bone1", "left_knee": "Bone2"}}))
    found = recorded_motions([clip], options)[0]
    np.testing.assert_array_equal(human_pose(found).human_q, human_pose(expected).human_q)
    for bad, needed in (
        ("[]", "an object"),
        ('{"roles": {"pelvis": 3}}', "an object of names"),
        ('{"scale": "big"}', "scale a number"),
        ('{"up": "x"}', 'up "y" or "z"'),
        ('{"ground": 1}', "ground true or false"),
        ("{", "is not valid JSON"),
        ('{"mirror": true}', "no option 'mirror'"),
    ):
        options.write_text(bad)
        with pytest.raises(InputError, match=needed):
            recorded_motions([clip], options)


def test_a_run_that_arrived_is_not_trained_on(tmp_path, capsys):
    (tmp_path / "evaluation.json").write_text(json.dumps({"survival": {"followed": 0.96}}))
    again = ["train", "retarget", "--resume", "--out", str(tmp_path), "--stop-at-followed"]
    assert main([*again, "0.95"]) == 0
    assert "follows 95 % already" in capsys.readouterr().out
    task = RetargetTask(resume=True, out=tmp_path, stop_at_followed=0.97)
    assert not has_arrived(task)
    (tmp_path / "evaluation.json").write_text("{")
    assert not has_arrived(dataclasses.replace(task, stop_at_followed=0.95))
