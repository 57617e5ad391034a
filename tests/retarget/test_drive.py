"""Driving an avatar: the stream's grammar, its gaps, and what comes back."""

import dataclasses
import functools
import io
import json

import numpy as np
import pytest

pytest.importorskip("mujoco")

from jaxrl_envs.retarget.characters import make_character  # noqa: E402
from jaxrl_envs.retarget.motion import generate_motion, human_pose  # noqa: E402
from jaxrl_envs.retarget.reference import arrays_of, reference_of  # noqa: E402

from jaxrl_rewards import cli  # noqa: E402
from jaxrl_rewards.commands import drive  # noqa: E402
from jaxrl_rewards.commands.retarget.avatar import Avatar, load_avatar, save_avatar  # noqa: E402
from jaxrl_rewards.commands.retarget.driving import Driver  # noqa: E402
from jaxrl_rewards.commands.retarget.stream import parse_frame, read_stream, stream_lines  # noqa: E402
from jaxrl_rewards.core import InputError  # noqa: E402

POSE = [0.0, 0.0, 1.7, 1.0, 0.0, 0.0, 0.0]
LINE = {"t": 0.0, "head": POSE, "left": POSE, "right": None}


@functools.cache
def motion():
    return generate_motion("walk", seconds=4.0)


@functools.cache
def avatar():
    """A policy that holds the pose at rest, whatever it sees."""
    human = make_character("human")
    clip = arrays_of(reference_of(human, motion(), 30)[0])
    features = 1 + 6 + 3 + 3 + 3 * 28 + 15 + 2 + 3 * 3 * 12 + 3
    return Avatar(
        character="human",
        layers=[
            {"kernel": np.zeros((features, 4), np.float32), "bias": np.zeros(4, np.float32)},
            {"kernel": np.zeros((4, 28), np.float32), "bias": np.zeros(28, np.float32)},
        ],
        mean=np.zeros(features, np.float32),
        deviation=np.ones(features, np.float32),
        qpos=clip["qpos"],
        qvel=clip["qvel"],
        sensed={
            "position": clip["sensed_pos"].astype(np.float32),
            "rotation": clip["sensed_quat"],
            "velocity": clip["sensed_vel"].astype(np.float32),
        },
        action_scale=1.0,
        damping=0.04,
    )


@functools.cache
def driver():
    return Driver(avatar(), head_height=float(human_pose(motion()).head_rest_height))


def frames(count=30):
    return list(read_stream(iter(list(stream_lines(human_pose(motion())))[:count])))


def fresh():
    made = driver()
    made._restart()
    return made


def test_the_avatar_starts_where_the_user_is_and_as_the_user_moves():
    made = fresh()
    answers = [made.frame(frame) for frame in frames(9)]
    states = [answer["state"] for answer in answers]
    assert states == ["waiting"] * 6 + ["placed"] + ["following"] * 2
    placed = np.asarray(answers[6]["root"])
    expected = avatar().qpos[6]
    np.testing.assert_allclose(placed, expected[:7], atol=0.02)
    np.testing.assert_allclose(answers[6]["joints"], expected[7:], atol=0.05)
    assert all(answer["ms"] > 0 for answer in answers)


def test_a_turned_and_moved_user_gets_a_turned_and_moved_avatar():
    made = fresh()
    turned = []
    for frame in frames(7):
        x, y, z = frame.position.T
        position = np.stack([-y + 3.0, x - 1.0, z], axis=1)  # a quarter turn to the left
        w, i, j, k = frame.rotation.T
        half = np.sqrt(0.5)
        rotation = half * np.stack([w - k, i - j, i + j, w + k], axis=1)
        turned.append(made.frame(dataclasses.replace(frame, position=position, rotation=rotation)))
    root, plain = np.asarray(turned[6]["root"]), avatar().qpos[6]
    np.testing.assert_allclose(root[:3], [-plain[1] + 3.0, plain[0] - 1.0, plain[2]], atol=0.02)
    np.testing.assert_allclose(turned[6]["joints"], plain[7:], atol=0.05)


def test_frames_that_come_faster_than_the_control_rate_move_it_no_faster():
    made = fresh()
    slow = [made.frame(frame) for frame in frames(12)]
    made = fresh()
    answers = []
    for frame in frames(12):
        answers.append(made.frame(frame))
        answers.append(made.frame(dataclasses.replace(frame, t=frame.t + 1 / 90)))
    assert [answer is None for answer in answers] == [False, True] * 12
    np.testing.assert_allclose(answers[-2]["root"], slow[-1]["root"], atol=1e-4)


def test_lost_devices_are_held_then_masked_and_a_long_gap_starts_anew():
    made = fresh()
    script = frames(29)
    gone = np.array([True, False, True])
    for index, frame in enumerate(script[:20]):
        received = gone if index >= 8 else frame.received
        answer = made.frame(dataclasses.replace(frame, received=received & frame.received))
        seen = None if answer["state"] == "waiting" else float(made._memory.seen[0, 1])
        if 8 <= index < 14:
            assert seen == 1.0
        if index >= 14:
            assert seen == 0.0
    answer = made.frame(dataclasses.replace(script[20], t=script[20].t + 5.0))
    assert answer["state"] == "waiting"


def test_a_fall_is_said_and_the_avatar_comes_back():
    made = fresh()
    states = [made.frame(frame)["state"] for frame in frames(110)]
    assert "fallen" in states  # holding one pose while the user walks on
    assert states[states.index("fallen") + 1] in ("waiting", "placed")
    assert "following" in states[states.index("fallen") :]


BAD_LINES = {
    "not valid JSON": "{",
    "JSON object": "[1, 2]",
    "unknown field 'hed'": json.dumps({**LINE, "hed": POSE}),
    "t must be": json.dumps({**LINE, "t": "now"}),
    "seven finite numbers": json.dumps({**LINE, "left": POSE[:6]}),
    "seven finite": json.dumps({**LINE, "head": [float("nan"), *POSE[1:]]}),
    "length 0": json.dumps({**LINE, "head": [0, 0, 1.7, 0, 0, 0, 0]}),
    "send metres": json.dumps({**LINE, "head": [0, 0, 1.7e6, 1, 0, 0, 0]}),
}


@pytest.mark.parametrize("message", BAD_LINES)
def test_a_malformed_line_is_named_with_its_number(message):
    with pytest.raises(InputError, match=message) as caught:
        parse_frame(BAD_LINES[message], 7)
    assert "line 7" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        json.dumps({**LINE, "t": 1.7e15}),  # microseconds
        json.dumps(LINE).replace("}", ', "left": [' + "9" * 400 + ", 0, 0, 1, 0, 0, 0]}"),
        '{"t": ' + "9" * 400 + "}",
        "[" * 100_000,
    ],
    ids=["microseconds", "huge integer", "huge time", "deep nesting"],
)
def test_lines_made_to_break_the_reader_are_refused(line):
    with pytest.raises(InputError, match="line 3"):
        parse_frame(line, 3)


def test_a_stream_that_is_no_text_is_refused(tmp_path):
    save_avatar(tmp_path, avatar())
    stream = tmp_path / "stream.jsonl"
    stream.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        drive.main([str(tmp_path), "--input", str(stream)])


def test_time_must_not_run_backwards():
    lines = [json.dumps({**LINE, "t": t}) for t in (0.0, 0.1, 0.05)]
    with pytest.raises(InputError, match="line 3: t is 0.05"):
        list(read_stream(iter(lines)))
    frame = parse_frame(json.dumps({"t": 1, "head": [1, 2, 3, 2, 0, 0, 0]}), 1)
    np.testing.assert_array_equal(frame.received, [True, False, False])
    np.testing.assert_array_equal(frame.rotation[0], [1, 0, 0, 0])


def test_the_command_reads_a_file_and_answers_in_json_lines(tmp_path, capsys, monkeypatch):
    save_avatar(tmp_path, avatar())
    stored = load_avatar(tmp_path)
    np.testing.assert_array_equal(stored.qpos, avatar().qpos)
    stream = tmp_path / "stream.jsonl"
    lines = list(stream_lines(human_pose(motion())))[:12]
    stream.write_text("\n".join(lines) + "\n\n")
    monkeypatch.setattr("jaxrl_rewards.commands.retarget.driving.Driver", lambda *_, **__: fresh())
    assert cli.main(["drive", str(tmp_path), "--input", str(stream)]) == 0
    captured = capsys.readouterr()
    answers = [json.loads(line) for line in captured.out.splitlines()]
    assert answers[0]["joints"][0] == "chest_y" and len(answers) == 13
    assert len(answers[-1]["joints"]) == 28 and len(answers[-1]["root"]) == 7
    assert "12 control steps; per step median" in captured.err
    monkeypatch.setattr("sys.stdin", io.StringIO(lines[0] + "\nnonsense\n"))
    assert cli.main(["drive", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("jaxrl-rewards drive: line 2 is not valid JSON")
    assert captured.err.count("\n") == 1


def test_missing_and_damaged_avatars_are_named(tmp_path):
    with pytest.raises(InputError, match="there is no avatar"):
        load_avatar(tmp_path)
    save_avatar(tmp_path, avatar())
    damaged = (tmp_path / "avatar.npz").read_bytes()[:2000]
    (tmp_path / "avatar.npz").write_bytes(damaged)
    with pytest.raises(InputError, match="cannot be read as an avatar"):
        load_avatar(tmp_path)
    with pytest.raises(InputError, match="no person's"):
        Driver(avatar(), head_height=30.0)


def test_the_summary_names_the_slowest():
    assert drive.summary([]) == "no frames"
    assert "longest 9.00 ms" in drive.summary([1.0, 9.0, 2.0])
