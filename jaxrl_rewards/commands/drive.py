"""`jaxrl-rewards drive RUN`: headset and controllers in, an avatar out, as JSON lines."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from jaxrl_rewards.core.errors import InputError


def main(arguments: Sequence[str]) -> int:
    """Drive the avatar of a run from stdin, a file, or a recorded motion."""
    parser = argparse.ArgumentParser(
        prog="jaxrl-rewards drive",
        description='Drive an avatar in real time. In: lines {"t": seconds, "head": [x, y, z, qw, '
        'qx, qy, qz], "left": [...], "right": [...]}, metres, z up; null where a device is not '
        "tracked (held for 0.2 s, then ignored). Out: a line that names the joints, then one line "
        "per control step (30 Hz).",
    )
    parser.add_argument(
        "run", type=Path, help="folder of a `train retarget` run, or its avatar.npz"
    )
    parser.add_argument("--input", default="-", help="file of JSON lines; - for stdin (default)")
    parser.add_argument("--motion", type=Path, help="play a recorded motion as the stream instead")
    parser.add_argument(
        "--head-height", type=float, help="headset above the ground in standing, metres (1.7)"
    )
    parser.add_argument("--threads", type=int, default=1, help="physics threads (default 1)")
    options = parser.parse_args(arguments)
    if options.threads < 1:
        raise InputError(f"--threads must be at least 1, got {options.threads}")
    from jaxrl_rewards.commands.retarget.avatar import load_avatar
    from jaxrl_rewards.commands.retarget.driving import Driver

    avatar = load_avatar(options.run)
    with contextlib.ExitStack() as stack:
        lines, measured = _source(options, stack)
        height = measured or 1.7 if options.head_height is None else options.head_height
        driver = Driver(avatar, head_height=height, threads=options.threads)
        spent = drive(driver, lines, sys.stdout)
    print(summary(spent), file=sys.stderr)
    return 0


def _source(options: Any, stack: contextlib.ExitStack) -> tuple[Iterator[str], float | None]:
    """The stream's lines, and the user's head height where it is known."""
    if options.motion is not None:
        from jaxrl_envs.retarget.motion import human_pose, load_motion, resample

        from jaxrl_rewards.commands.retarget.stream import stream_lines

        pose = human_pose(resample(load_motion(options.motion), 1.0 / 30.0))
        return stream_lines(pose), float(pose.head_rest_height)
    if options.input == "-":
        return iter(sys.stdin), None
    try:
        return stack.enter_context(open(options.input, encoding="utf-8")), None
    except OSError as error:
        raise InputError(f"the stream {options.input} cannot be read: {error.strerror}") from error


def drive(driver: Any, lines: Iterator[str], out: TextIO) -> list[float]:
    """Answer every frame at once; returns the milliseconds spent on each answer."""
    from jaxrl_rewards.commands.retarget.stream import read_stream

    print(json.dumps(driver.header), file=out, flush=True)
    spent = []
    for frame in read_stream(_decoded(lines)):
        answer = driver.frame(frame)
        if answer is not None:
            print(json.dumps(answer), file=out, flush=True)
            spent.append(answer["ms"])
    return spent


def _decoded(lines: Iterator[str]) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise InputError(
            f"the stream is not UTF-8 text: {error.reason}; send JSON lines"
        ) from error


def summary(spent: list[float]) -> str:
    """One line on the time spent."""
    if not spent:
        return "no frames"
    ordered = sorted(spent)
    pick = lambda share: ordered[min(len(ordered) - 1, int(share * len(ordered)))]  # noqa: E731
    return (
        f"{len(spent)} control steps; per step median {pick(0.5):.2f} ms, 99 % within "
        f"{pick(0.99):.2f} ms, longest {ordered[-1]:.2f} ms"
    )
