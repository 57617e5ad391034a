"""Driving an avatar: the stream's grammar, its gaps, and what comes back."""

import dataclasses
import functools
import inspect
import io
import json
import signal
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("mujoco")

from jaxrl_envs.retarget.characters import make_character  # noqa: E402
from jaxrl_envs.retarget.motion import generate_motion, human_pose  # noqa: E402
from jaxrl_envs.retarget.reference import arrays_of, reference_of  # noqa: E402

from jaxrl_rewards import cli  # noqa: E402
from jaxrl_rewards.commands import drive  # noqa: E402
from jaxrl_rewards.core import InputError  # noqa: E402
from jaxrl_rewards.studies.sparse_retargeting.train.avatar import Avatar, load_avatar, save_avatar  # noqa: E402
from jaxrl_rewards.studies.sparse_retargeting.train.driving import Driver  # noqa: E402
from jaxrl_rewards.studies.sparse_retargeting.train.stream import (  # noqa: E402
    StreamCounts,
    StreamFrame,
    StreamWatch,
    parse_frame,
    read_stream,
    stream_lines,
)

POSE = [0.0, 0.0, 1.7, 1.0, 0.0, 0.0, 0.0]
LINE = {"t": 0.0, "head": POSE, "left": POSE, "right": None}

TRAIN = "jaxrl_rewards.studies.sparse_retargeting.train"


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
    "lacks head": json.dumps({"t": 0.0, "hed": POSE}),
    "t must be": json.dumps({**LINE, "t": "now"}),
    "a time in seconds, got None": json.dumps({"head": POSE}),
    "seven finite numbers": json.dumps({**LINE, "left": POSE[:6]}),
    "seven finite": json.dumps({**LINE, "head": [float("nan"), *POSE]}),
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


def test_a_stream_that_is_no_text_is_refused(tmp_path, monkeypatch):
    save_avatar(tmp_path, avatar())
    monkeypatch.setattr(f"{TRAIN}.driving.Driver", lambda *_, **__: fresh())
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
    monkeypatch.setattr(f"{TRAIN}.driving.Driver", lambda *_, **__: fresh())
    assert cli.main(["drive", str(tmp_path), "--input", str(stream)]) == 0
    captured = capsys.readouterr()
    answers = [json.loads(line) for line in captured.out.splitlines()]
    assert answers[0]["joints"][0] == "chest_y" and len(answers) == 13
    assert len(answers[-1]["joints"]) == 28 and len(answers[-1]["root"]) == 7
    assert captured.err.startswith("frames: 12; 5 control steps in 5 answers; per answer median")
    monkeypatch.setattr("sys.stdin", io.StringIO(lines[0] + "\nnonsense\n"))
    assert cli.main(["drive", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    told, error = captured.err.splitlines()
    assert told == "frames: 1; 0 control steps; placed: 0; fallen: 0"
    assert error.startswith("jaxrl-rewards drive: line 2 is not valid JSON")


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


def tally(**numbers):
    return drive.Tally(StreamCounts(), **numbers)


def test_the_summary_names_the_slowest_and_what_was_passed_over():
    assert tally().summary() == "no frames"
    told = tally(frames=4, steps=5, spent=[1.0, 9.0, 2.0], events=Counter(placed=2)).summary()
    assert "5 control steps in 3 answers" in told and "longest 9.00 ms" in told
    assert told.endswith("; placed: 2; fallen: 0")
    stream = StreamCounts(not_finite=3, repeated=2, unknown=7, first_unknown="'x'")
    told = drive.Tally(stream, frames=9).summary()
    assert "not tracked: 3; " in told and "skipped: 2; " in told
    assert told.endswith("frames with unknown fields ('x'), ignored: 7")


def test_only_answers_in_which_the_avatar_moved_are_timed():
    counted = tally()
    for state, events, steps, ms in [
        ("waiting", [], 1, 0.01),
        ("placed", ["placed"], 1, 50.0),
        ("following", [], 3, 2.0),
        ("following", ["fallen", "placed"], 12, 60.0),
        ("fallen", ["fallen"], 1, 3.0),
        ("waiting", ["fallen"], 2, 1.0),
    ]:
        counted.add({"state": state, "events": events, "steps": steps, "ms": ms})
    assert counted.spent == [2.0, 3.0] and counted.steps == 4
    assert counted.events == {"placed": 2, "fallen": 3}


def test_every_event_of_the_steps_that_a_frame_covers_is_told(monkeypatch):
    made = fresh()
    first, second = frames(2)
    states = iter(["waiting", "following", "fallen", "placed", "following"])
    monkeypatch.setattr(made, "_one", lambda received: next(states))
    assert made.frame(first)["events"] == []
    answer = made.frame(dataclasses.replace(second, t=4 / 30))
    assert answer["state"] == "following" and answer["steps"] == 4
    assert answer["events"] == ["fallen", "placed"]


@pytest.mark.parametrize("away", [1500.0, 123_456.7])
def test_far_from_the_origin_the_avatar_moves_as_near_it(away):
    made = fresh()
    near = [made.frame(frame) for frame in frames(14)]
    made = fresh()
    shift = np.array([away, -2.0 * away, 0.0])
    far = [
        made.frame(dataclasses.replace(frame, position=frame.position + shift))
        for frame in frames(14)
    ]
    assert [answer["state"] for answer in far] == [answer["state"] for answer in near]
    for here, there in zip(near[6:], far[6:], strict=True):
        root = np.asarray(there["root"])
        root[:3] -= shift * made._size
        np.testing.assert_allclose(root, here["root"], atol=1e-4)
        np.testing.assert_allclose(there["joints"], here["joints"], atol=1e-4)


def test_a_teleport_places_the_avatar_at_the_other_end():
    made = fresh()
    script = frames(18)
    for frame in script[:8]:
        made.frame(frame)
    shift = np.array([-9000.0, 0.0, 0.0])
    answers = [
        made.frame(dataclasses.replace(frame, position=frame.position + shift))
        for frame in script[8:]
    ]
    assert [answer["state"] for answer in answers] == (
        ["fallen"] + ["waiting"] * 6 + ["placed"] + ["following"] * 2
    )
    np.testing.assert_allclose(answers[-1]["root"][0], -9000.0 * made._size[0], atol=1.0)


def test_the_avatar_waits_for_the_headset():
    made = fresh()
    hands = np.array([False, True, True])
    script = [dataclasses.replace(frame, received=hands) for frame in frames(20)]
    assert {made.frame(frame)["state"] for frame in script} == {"waiting"}
    assert made.frame(frames(21)[20])["state"] == "placed"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), None])
def test_a_pose_that_is_not_finite_is_not_tracked(number):
    counts = StreamCounts()
    for place in (0, 5):
        pose = [*POSE[:place], number, *POSE[place + 1 :]]
        frame = parse_frame(json.dumps({**LINE, "head": pose}), 1, counts)
        np.testing.assert_array_equal(frame.received, [False, True, False])
        assert np.all(np.isfinite(frame.position)) and np.all(np.isfinite(frame.rotation))
    assert counts == StreamCounts(not_finite=2)


def test_repeated_times_are_skipped_and_unknown_fields_ignored():
    counts = StreamCounts()
    moved = [5.0, *POSE[1:]]
    lines = [LINE, {**LINE, "head": moved}, {**LINE, "t": 0.1, "hed": 1, "buttons": [1]}]
    read = list(read_stream(map(json.dumps, lines), counts))
    assert [frame.t for frame in read] == [0.0, 0.1]
    assert read[0].position[0, 0] == 0.0  # the first of the two counts
    assert counts == StreamCounts(repeated=1, unknown=1, first_unknown="'buttons'")


def warnings_of(times, head=True, waiting=True):
    watch, received = StreamWatch(), np.array([head, True, True])
    made = [StreamFrame(t, np.zeros((3, 3)), np.zeros((3, 4)), received) for t in times]
    told = [(frame.t, watch.note(frame, waiting)) for frame in made]
    return [(t, warning) for t, warning in told if warning is not None]


def test_a_wait_is_explained_once():
    ((t, warning),) = warnings_of(33.3 * np.arange(50))
    assert t == 66.6 and "is t in seconds?" in warning and "33.3 s apart" in warning
    ((t, warning),) = warnings_of(np.arange(300) / 30, head=False)
    assert 2.0 <= t < 2.1 and "the headset has not been tracked" in warning
    ((t, warning),) = warnings_of(0.25 * np.arange(50), waiting=False)
    assert 2.0 <= t < 2.3 and "held for 0.2 s" in warning


def test_a_good_stream_is_not_warned_about():
    assert warnings_of(np.arange(300) / 30, head=False, waiting=False) == []
    assert warnings_of(np.arange(30) / 90, head=False) == []  # not yet 2 s
    assert warnings_of(0.2 * np.arange(50)) == []
    assert warnings_of([0.0, *(5.0 + np.arange(300) / 90)]) == []  # a pause before the start


def run_with(monkeypatch, tmp_path, lines, made):
    save_avatar(tmp_path, avatar())
    monkeypatch.setattr(f"{TRAIN}.driving.Driver", lambda *_, **__: made)
    monkeypatch.setattr("sys.stdin", lines)
    return cli.main(["drive", str(tmp_path)])


def test_the_command_warns_and_counts(tmp_path, capsys, monkeypatch):
    lines = [json.dumps({**LINE, "t": 1.5 * (index // 2), "x": 1}) for index in range(8)]
    assert run_with(monkeypatch, tmp_path, iter(lines), fresh()) == 0
    warning, told = capsys.readouterr().err.splitlines()
    assert warning.startswith("jaxrl-rewards drive: the avatar is not placed, because frames are")
    assert told.startswith("frames: 4; 0 control steps; ")
    assert "skipped: 4; " in told and "ignored: 8" in told


@pytest.mark.parametrize("when", ["reading", "answering"])
def test_ctrl_c_ends_between_two_answers_with_the_summary(when, tmp_path, capsys, monkeypatch):
    class Pressed:
        """A driver, or a stream, during whose third call Ctrl-C is pressed."""

        header = {"joints": []}

        def __init__(self):
            self.calls = 0

        def press(self):
            self.calls += 1
            if self.calls == 3:
                signal.raise_signal(signal.SIGINT)

        def frame(self, frame):
            if when == "answering":
                self.press()
            return {"t": frame.t, "state": "following", "events": [], "steps": 1, "ms": 1.0}

        def lines(self):
            for index in range(10):
                if when == "reading":
                    self.press()
                yield json.dumps({**LINE, "t": index / 30})

    before = signal.getsignal(signal.SIGINT)
    made = Pressed()
    assert run_with(monkeypatch, tmp_path, made.lines(), made) == 130
    assert signal.getsignal(signal.SIGINT) is before
    captured = capsys.readouterr()
    answered = 2 if when == "reading" else 3
    assert len(captured.out.splitlines()) == 1 + answered
    assert json.loads(captured.out.splitlines()[-1])["t"] == (answered - 1) / 30
    assert captured.err.count("\n") == 1
    assert captured.err.startswith(f"frames: {answered}; {answered} control steps")


def test_ctrl_c_while_loading_ends_the_process_at_once(tmp_path, monkeypatch):
    found = []

    def load(*_):
        found.append(signal.getsignal(signal.SIGINT))
        raise InputError("enough")

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(f"{TRAIN}.avatar.load_avatar", load)
    assert cli.main(["drive", str(tmp_path)]) == 2
    assert found == [signal.SIG_DFL] and signal.getsignal(signal.SIGINT) is before


def test_a_reader_that_goes_away_still_gets_the_summary(tmp_path, capsys, monkeypatch):
    class Gone:
        header = {"joints": []}

        def frame(self, frame):
            raise BrokenPipeError

    assert run_with(monkeypatch, tmp_path, iter([json.dumps(LINE)]), Gone()) == 0
    assert capsys.readouterr().err.startswith("frames: 1; ")


def test_help_and_docstring_name_every_field_and_state(capsys):
    with pytest.raises(SystemExit):
        cli.main(["drive", "--help"])
    told = capsys.readouterr().out
    made = fresh()
    answers = [made.frame(frame) for frame in frames(110)]
    states = {answer["state"] for answer in answers}
    assert states == {"waiting", "placed", "following", "fallen"}
    for name in states | set(answers[-1]) | {"30", "90 Hz", "130", "head", "left", "right"}:
        assert name in told, name
    for name in states | set(answers[-1]) - {"t"}:
        assert f"`{name}`" in inspect.getdoc(Driver.frame), name


def own_avatar():
    return dataclasses.replace(avatar(), character="own/robot.xml")


def test_the_avatar_of_a_user_s_file_is_found_from_any_folder(tmp_path, monkeypatch):
    for folder in ("own", "run", "elsewhere"):
        (tmp_path / folder).mkdir()
    (tmp_path / "own" / "robot.xml").touch()
    monkeypatch.chdir(tmp_path)
    save_avatar(tmp_path / "run", own_avatar())
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_avatar(tmp_path / "run").character == str(tmp_path / "own" / "robot.xml")
    (tmp_path / "own" / "robot.xml").rename(tmp_path / "run" / "robot.xml")
    assert load_avatar(tmp_path / "run").character == str(tmp_path / "run" / "robot.xml")


def test_the_avatar_of_a_file_that_is_gone_says_so(tmp_path, capsys, monkeypatch):
    with monkeypatch.context() as patched:  # as earlier versions stored it
        patched.setattr(f"{TRAIN}.avatar.absolute_character", str)
        save_avatar(tmp_path, own_avatar())
    monkeypatch.chdir(tmp_path)
    assert cli.main(["drive", "."]) == 2
    error = capsys.readouterr().err
    assert "trained with the MJCF file own/robot.xml" in error and "--character PATH" in error
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "robot.xml").touch()
    assert load_avatar(tmp_path).character == "own/robot.xml"
    assert cli.main(["drive", ".", "--character", "moved.xml"]) == 2
    assert "moved." in capsys.readouterr().err
