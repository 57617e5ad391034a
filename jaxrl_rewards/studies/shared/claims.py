"""A claim as a list of judged lines: each number is stated once and writes its own requirement."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxrl_rewards.studies.api import StudyResult, Verdict
from jaxrl_rewards.studies.shared.intervals import (
    Interval,
    bootstrap_interval,
    difference_interval,
    ratio_interval,
    share_interval,
)


class Claims:
    """Judges a result line by line; `verdict(seeds)` hands the lines back together.

    A line is its name, what it measures, and the bounds it must keep: `least` and `most` bound the
    measured number itself (both ends allowed), `above` and `below` its whole interval (ends not
    allowed). A line without bounds, or with `decides=False`, is shown and decides nothing. A number
    that is NaN keeps no bound.
    """

    def __init__(self, result: StudyResult):
        self.arms = result.arms
        self.measured: dict[str, Any] = {}
        self.required: dict[str, str] = {}
        self.interval: dict[str, Interval] = {}
        self.missed: list[str] = []
        self.notes: list[str] = []

    def values(self, arm: str, metric: str, *, never: float = math.nan) -> np.ndarray:
        """One float64 number per seed `[seeds]`; `never` stands in for NaN."""
        data = np.asarray(self.arms[arm][metric], np.float64)
        return np.where(np.isnan(data), never, data)

    def level(self, name: str, data: Any, **bounds: Any) -> float:
        """The mean over seeds."""
        data = np.asarray(data, np.float64)
        return self._line(name, data.mean(), bootstrap_interval(data), **bounds)

    def difference(self, name: str, one: Any, other: Any, **bounds: Any) -> float:
        """The mean of `one - other`, paired over seeds."""
        gap = np.asarray(one, np.float64) - np.asarray(other, np.float64)
        return self._line(name, gap.mean(), difference_interval(one, other), **bounds)

    def ratio(self, name: str, one: Any, other: Any, *, floor: float = 0.0, **bounds: Any) -> float:
        """The mean of `one` over that of `other` (counted as `floor` at least), paired.

        NaN, which keeps no bound, where `other` has values that are not positive.
        """
        below = np.maximum(np.asarray(other, np.float64), floor)
        if not np.all(below > 0):
            return self._line(name, math.nan, (math.nan, math.nan), **bounds)
        value = np.mean(one) / max(float(np.mean(other)), floor)
        return self._line(name, value, ratio_interval(one, other, floor=floor), **bounds)

    def equal(self, name: str, one: Any, other: Any, *, within: float, decides=True) -> float:
        """Equivalence: the whole interval of the paired difference lies within +- `within`."""
        gap = np.asarray(one, np.float64) - np.asarray(other, np.float64)
        low, high = interval = difference_interval(one, other)
        good = low >= -within and high <= within
        text = f"interval within +- {number_text(within)}"
        return self._add(name, gap.mean(), interval, text, good, decides)

    def alike(self, name: str, one: Any, other: Any, *, within: float, decides=True) -> float:
        """Equivalence as a ratio of means: its whole interval lies in `[1 / within, within]`."""
        low, high = interval = ratio_interval(one, other)
        good = low >= 1.0 / within and high <= within
        text = f"interval within {number_text(1.0 / within)} to {number_text(within)}"
        return self._add(name, np.mean(one) / np.mean(other), interval, text, good, decides)

    def share(self, name: str, flags: Any, **bounds: Any) -> float:
        """The share of seeds where `flags` is true, with Wilson's interval."""
        flags = np.asarray(flags, bool)
        return self._line(name, flags.mean(), share_interval(flags), **bounds)

    def every(
        self, name: str, data: Any, good: Callable[[np.ndarray], Any], text: str, *, decides=True
    ) -> float:
        """`good(data)` is true for every seed; `text` says what of; the mean is shown."""
        data = np.asarray(data, np.float64)
        kept = bool(np.all(good(data)))
        return self._add(name, data.mean(), bootstrap_interval(data), text, kept, decides)

    def near(self, name: str, data: Any, value: float, within: float) -> float:
        """Every seed lies nearer to `value` than `within`."""
        text = f"{number_text(value)} +- {number_text(within)}"
        return self.every(name, data, lambda x: np.abs(x - value) < within, text)

    def fact(
        self, name: str, value: Any, *, exactly: Any = None, over: Any = None, **bounds: Any
    ) -> Any:
        """A number without an interval; `over` bounds it from below, the end not allowed."""
        texts, kept = _bounds(value, None, **{k: v for k, v in bounds.items() if k != "decides"})
        if exactly is not None:
            texts, kept = [*texts, number_text(exactly)], kept and value == exactly
        if over is not None:
            texts, kept = [*texts, f"> {number_text(over)}"], kept and value > over
        return self._add(name, value, None, ", ".join(texts), kept, bounds.get("decides", True))

    def note(self, text: str) -> None:
        """A sentence under the table."""
        self.notes.append(text)

    def verdict(self, seeds: int) -> Verdict:
        """All lines that decide, together."""
        return Verdict(
            passed=not self.missed,
            measured=self.measured,
            required=self.required,
            seeds=seeds,
            interval=self.interval,
            notes=tuple(self.notes),
            missed=tuple(self.missed),
        )

    def _line(
        self, name: str, value: Any, interval: Interval, *, decides: bool = True, **bounds: Any
    ) -> float:
        texts, kept = _bounds(value, interval, **bounds)
        return self._add(name, value, interval, ", ".join(texts), kept, decides)

    def _add(
        self, name: str, value: Any, interval: Interval | None, text: str, good: Any, decides: bool
    ) -> Any:
        if name in self.measured:
            raise ValueError(f"the claim has two lines called {name!r}; name each line once")
        self.measured[name] = value if isinstance(value, int) else float(value)
        if interval is not None:
            self.interval[name] = interval
        if text and decides:
            self.required[name] = text
            if not good:
                self.missed.append(name)
        return self.measured[name]


def settled(
    value: float, interval: Interval, more: str = "more", less: str = "less", other: str = ""
) -> str:
    """What a difference settles, in words: "more (+0.120 [+0.050, +0.200])".

    With `other`, what was compared with: "better than chance (...)" or "not told apart from
    chance (...)".
    """
    low, high = interval
    word = more if low > 0 else less if high < 0 else "not told apart" + " from" * bool(other)
    word = f"{word} {other}" if other else word
    return f"{word} ({value:+.3f} [{low:+.3f}, {high:+.3f}])"


def number_text(value: float) -> str:
    """At most four digits, as people write them: 1e-5, 0.45, 20."""
    mantissa, _, exponent = f"{value:.4g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def _bounds(
    value: Any,
    interval: Interval | None,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> tuple[list[str], bool]:
    """What the bounds ask, in words, and whether the number and its interval keep them."""
    texts, kept = [], True
    if least is not None:
        texts, kept = [*texts, f">= {number_text(least)}"], kept and value >= least
    if most is not None:
        texts, kept = [*texts, f"<= {number_text(most)}"], kept and value <= most
    for word, bound, end, sign in (("above", above, 0, 1.0), ("below", below, 1, -1.0)):
        if bound is None:
            continue
        if interval is None:
            raise ValueError(f"{word}={bound} bounds an interval, and a fact has none")
        texts.append(f"interval {word} {number_text(bound)}")
        kept = kept and sign * interval[end] > sign * bound
    return texts, bool(kept)
