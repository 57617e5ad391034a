"""`jaxrl-rewards drive RUN`: headset and controllers in, an avatar out, as JSON lines."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from jaxrl_rewards.core.errors import InputError

if TYPE_CHECKING:
    from jaxrl_rewards.studies.sparse_retargeting.train.stream import StreamCounts

INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell reports it."""
FORMATS = """\
input, one line for each frame:
  t            seconds, growing; steps of more than 1 s start the avatar anew
  head, left, right
               [x, y, z, qw, qx, qy, qz], metres, z up from the ground, unit quaternion; null where
               a device is not tracked (held for 0.2 s, then ignored). A pose with a number that is
               not finite counts as null. left and right may be absent
  other fields are ignored; a frame with the time of the one before is skipped

output, first a line with the avatar's name, the rate, the names of the joints and the scale (the
avatar's size over a human's), then one line for each frame in which a control step is due:
  t            of the frame
  state        after the last step: waiting (until the headset is tracked and the stream has lasted
               0.2 s), placed (put where the user is), following, fallen (or strayed from the user
               or broken; it is placed anew after 0.2 s)
  events       every placed and fallen in the steps of this line, in order, mostly none. After a
               hitch a line may cover several steps, and state tells of the last alone
  steps        control steps that the line covers
  root         [x, y, z, qw, qx, qy, qz] of the avatar's root, metres, in the user's space times the
               avatar's size over the user's; absent until first placed
  joints       angles in radians, in the order of the first line; absent with root
  ms           milliseconds that the answer took

rates: the avatar moves in steps of 1/30 s of t. Frames that come faster do not each give a line
(90 Hz gives a line for every third); slower ones give a line that covers several steps, but below
5 Hz the avatar sees nothing between frames.

Ctrl-C ends the program with code 130. However it ends, a summary goes to stderr; its times are of
the answers in which the avatar moved.
"""


@dataclasses.dataclass
class Tally:
    """What a run of `drive` counts."""

    stream: StreamCounts
    frames: int = 0
    steps: int = 0
    """Control steps of the answers in which a placed avatar moved."""
    spent: list[float] = dataclasses.field(default_factory=list)
    """Milliseconds of each of those answers."""
    events: Counter[str] = dataclasses.field(default_factory=Counter)

    def add(self, answer: dict[str, Any]) -> None:
        """Count an answer of the driver."""
        self.events.update(answer["events"])
        if answer["state"] != "waiting" and "placed" not in answer["events"]:
            self.steps += answer["steps"]
            self.spent.append(answer["ms"])

    def summary(self) -> str:
        """One line."""
        if not self.frames:
            return "no frames"
        told = [f"frames: {self.frames}", f"{self.steps} control steps"]
        if self.spent:
            ordered = sorted(self.spent)
            pick = lambda share: ordered[min(len(ordered) - 1, int(share * len(ordered)))]  # noqa: E731
            told[-1] += (
                f" in {len(ordered)} answers; per answer median {pick(0.5):.2f} ms, 99 % within "
                f"{pick(0.99):.2f} ms, longest {ordered[-1]:.2f} ms"
            )
        told += [f"{event}: {self.events[event]}" for event in ("placed", "fallen")]
        return "; ".join([*told, *self.stream.told()])


class Interruption:
    """Ctrl-C, taken between two answers: no line is cut, and no computation is torn. A third one
    takes effect wherever it comes, for a reader that has stopped."""

    def __init__(self) -> None:
        self._presses = 0
        self._reading = False

    def lines(self, lines: Iterator[str]) -> Iterator[str]:
        """The same lines, until Ctrl-C."""
        while True:
            self._reading = True
            if self._presses:
                raise KeyboardInterrupt
            line = next(lines, None)
            self._reading = False
            if line is None:
                return
            yield line

    def press(self, *_: Any) -> None:
        """The signal's handler."""
        self._presses += 1
        if (self._reading and self._presses == 1) or self._presses > 2:
            raise KeyboardInterrupt


@contextlib.contextmanager
def on_ctrl_c(action: Any) -> Iterator[None]:
    """Within, what Ctrl-C does; in the main thread, which alone gets signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, action)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def main(arguments: Sequence[str]) -> int:
    """Drive the avatar of a run from stdin, a file, or a recorded motion."""
    options = _options(arguments)
    try:
        return _run(options)
    except KeyboardInterrupt:
        return INTERRUPTED


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="jaxrl-rewards drive",
        description="Drive an avatar in real time: poses of a headset and two controllers in, a "
        "pose of the whole body out, as JSON lines.",
        epilog=FORMATS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "run", type=Path, help="folder of a `train retarget` run, or its avatar.npz"
    )
    parser.add_argument("--input", default="-", help="file of JSON lines; - for stdin (default)")
    parser.add_argument("--motion", type=Path, help="play a recorded motion as the stream instead")
    parser.add_argument(
        "--head-height", type=float, help="headset above the ground in standing, metres (1.7)"
    )
    parser.add_argument(
        "--character", metavar="PATH", help="where the MJCF file that it was trained with lies now"
    )
    parser.add_argument("--threads", type=int, default=1, help="physics threads (default 1)")
    options = parser.parse_args(arguments)
    if options.threads < 1:
        raise InputError(f"--threads must be at least 1, got {options.threads}")
    return options


def _run(options: argparse.Namespace) -> int:
    from jaxrl_rewards.studies.sparse_retargeting.train.avatar import load_avatar
    from jaxrl_rewards.studies.sparse_retargeting.train.driving import Driver
    from jaxrl_rewards.studies.sparse_retargeting.train.stream import StreamCounts

    with contextlib.ExitStack() as stack:
        # An exception in the midst of compiling would be lost, or crash the process at its end.
        stack.enter_context(on_ctrl_c(signal.SIG_DFL))
        avatar = load_avatar(options.run, options.character)
        lines, measured = _source(options, stack)
        height = measured or 1.7 if options.head_height is None else options.head_height
        driver = Driver(avatar, head_height=height, threads=options.threads)
        interruption = Interruption()
        stack.enter_context(on_ctrl_c(interruption.press))
        tally = Tally(StreamCounts())
        try:
            drive(driver, interruption.lines(lines), sys.stdout, tally)
        finally:
            print(tally.summary(), file=sys.stderr)
    return 0


def _source(options: Any, stack: contextlib.ExitStack) -> tuple[Iterator[str], float | None]:
    """The stream's lines, and the user's head height where it is known."""
    if options.motion is not None:
        from jaxrl_envs.retarget.motion import human_pose, load_motion, resample

        from jaxrl_rewards.studies.sparse_retargeting.train.stream import stream_lines

        pose = human_pose(resample(load_motion(options.motion), 1.0 / 30.0))
        return stream_lines(pose), float(pose.head_rest_height)
    if options.input == "-":
        return iter(sys.stdin), None
    try:
        return stack.enter_context(open(options.input, encoding="utf-8")), None
    except OSError as error:
        raise InputError(f"the stream {options.input} cannot be read: {error.strerror}") from error


def drive(driver: Any, lines: Iterator[str], out: TextIO, tally: Tally) -> None:
    """Answer every frame at once, count in `tally`, and warn on stderr where the stream keeps the
    avatar waiting."""
    from jaxrl_rewards.studies.sparse_retargeting.train.stream import StreamWatch, read_stream

    print(json.dumps(driver.header), file=out, flush=True)
    watch, waiting = StreamWatch(), True
    for frame in read_stream(_decoded(lines), tally.stream):
        tally.frames += 1
        answer = driver.frame(frame)
        if answer is not None:
            print(json.dumps(answer), file=out, flush=True)
            tally.add(answer)
            waiting = answer["state"] in ("waiting", "fallen") and "placed" not in answer["events"]
        warning = watch.note(frame, waiting)
        if warning:
            print(f"jaxrl-rewards drive: {warning}", file=sys.stderr, flush=True)


def _decoded(lines: Iterator[str]) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise InputError(
            f"the stream is not UTF-8 text: {error.reason}; send JSON lines"
        ) from error
