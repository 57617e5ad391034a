"""The commands from training to driving, in a few steps."""

import dataclasses
import json

import pytest

pytest.importorskip("mujoco")

from jaxrl_rewards.cli import main  # noqa: E402
from jaxrl_rewards.commands.retarget.task import RetargetTask  # noqa: E402
from jaxrl_rewards.commands.train_retarget import has_arrived  # noqa: E402

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
    motions = ["--generated", "turn:5", "--generated", "reach"]
    assert main(["evaluate", str(out), *motions, "--out", str(unseen)]) == 0
    rows = json.loads((unseen / "evaluation.json").read_text())["clips"]
    assert set(rows) == {"turn-5", "reach-0"}
    assert rows["turn-5"]["kinematic"]["seconds"] == pytest.approx(20.0, abs=0.1)
    assert main(["evaluate", str(out), "--generated", "turn:x"]) == 2
    assert "the seed after the colon must be a number" in capsys.readouterr().err


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


def test_a_run_that_arrived_is_not_trained_on(tmp_path, capsys):
    (tmp_path / "evaluation.json").write_text(json.dumps({"survival": {"followed": 0.96}}))
    again = ["train", "retarget", "--resume", "--out", str(tmp_path), "--stop-at-followed"]
    assert main([*again, "0.95"]) == 0
    assert "follows 95 % already" in capsys.readouterr().out
    task = RetargetTask(resume=True, out=tmp_path, stop_at_followed=0.97)
    assert not has_arrived(task)
    (tmp_path / "evaluation.json").write_text("{")
    assert not has_arrived(dataclasses.replace(task, stop_at_followed=0.95))
