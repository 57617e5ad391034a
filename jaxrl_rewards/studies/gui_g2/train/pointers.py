"""Which policy points in an evaluation: our own reader, or the choice among read candidates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxrl_envs.gui.read_text import missing_sentence

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.studies.gui_g2.train.predict import SMALL_PIXELS, predict_image

READERS = ("auto", "own", "ocr")


@dataclasses.dataclass(frozen=True)
class Pointed:
    """Points float[n, 2] on one image, whether each was found bool[n], and which policy pointed."""

    points: np.ndarray
    found: np.ndarray
    policy: str


Pointer = Callable[[np.ndarray, Sequence[str]], Pointed]


def make_pointer(
    params: Any, reader: str = "auto", *, choice=None, cache=None, note: Callable = print
) -> Pointer:
    """A policy for screens of any size.

    Args:
        params: of our own reader.
        reader: "own", our reader; "ocr", the library and the choice among candidates; "auto", our
            reader on screens of at most 120,000 pixels, and on larger ones the library where the
            `ocr` extra is there (else our reader, after one sentence to `note`).
        choice: checkpoint of the choice; None: the shipped one.
        cache: folder where readings are kept.

    Raises `InputError` for another name, or for "ocr" without the extra.
    """
    if reader not in READERS:
        raise InputError(f"reader is {reader!r}; use one of {', '.join(READERS)}")

    def own(image: np.ndarray, texts: Sequence[str]) -> Pointed:
        return Pointed(predict_image(params, image, texts), np.ones(len(texts), bool), "own")

    if reader == "own":
        return own
    if reader == "ocr" and (missing := missing_sentence()):
        raise InputError(missing)
    state: dict[str, Any] = {}

    def read(image: np.ndarray, texts: Sequence[str]) -> Pointed:
        if "pointer" not in state:
            state["pointer"] = _text_pointer(choice, cache)
        answers = state["pointer"].answer(image, texts)
        points = np.array([answer.point for answer in answers], np.float64).reshape(-1, 2)
        return Pointed(points, np.array([answer.found for answer in answers], bool), "ocr")

    if reader == "ocr":
        return read

    def either(image: np.ndarray, texts: Sequence[str]) -> Pointed:
        if image.shape[0] * image.shape[1] <= SMALL_PIXELS:
            return own(image, texts)
        if "missing" not in state:
            state["missing"] = missing_sentence()
            if state["missing"]:
                note(f"{state['missing']} (until then our own reader reads larger screens, worse)")
        return own(image, texts) if state["missing"] else read(image, texts)

    return either


def _text_pointer(choice, cache):
    from jaxrl_envs.gui.read_text import ReadingCache

    from jaxrl_rewards.studies.gui_g2.train.choice_predict import TextPointer

    return TextPointer.load(choice, None if cache is None else ReadingCache(cache).read)


def point_at_records(pointer: Pointer, shots, progress=None) -> Iterator[tuple]:
    """Yield (record, image shape, point, found, policy) of a `ScreenSpotSet`, image by image."""
    done = 0
    for records in shots.by_image().values():
        image = shots.image(records[0])
        given = pointer(image, [record.instruction for record in records])
        for record, where, found in zip(records, given.points, given.found, strict=True):
            yield record, image.shape, where, bool(found), given.policy
        done += len(records)
        if progress:
            progress(done, len(shots))
