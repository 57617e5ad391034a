"""Rollout batches of token-level learners, read from and written to JSONL and NPZ.

The field names of TRL, verl and OpenRLHF are understood. One response is one JSON object per
line, or one row of the NPZ's arrays. What a file may hold, first name that is there wins:

tokens     ids of the response, integers
mask       1 where the policy chose the token, 0 on padding and forced tokens; all 1 when absent
log_prob   under the policy that generated the tokens
ref        under the reference policy; optional, zeros when no row has it
score      one number per response, or one per token; null or NaN means "could not be scored"
token      one reward per token; stands in for the score where that is absent: their sum
group      what the answers to one prompt share: a string or an integer

Shorter rows are padded to the longest. Anything else raises `InputError` that names the file, the
row and the field.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_rewards.core import InputError, Trajectories
from jaxrl_rewards.core.files import atomic_path, atomic_write_text, jsonable
from jaxrl_rewards.core.npz import read_npz

NAMES = {
    "tokens": ("tokens", "token_ids", "response_ids", "completion_ids", "responses"),
    "mask": ("mask", "response_mask", "completion_mask", "action_mask", "attention_mask"),
    "log_prob": (
        "old_log_probs",
        "old_log_prob",
        "old_per_token_logps",
        "old_action_log_probs",
        "action_log_probs",
        "log_prob",
        "log_probs",
        "logprobs",
    ),
    "ref": (
        "ref_log_prob",
        "ref_log_probs",
        "ref_per_token_logps",
        "base_action_log_probs",
    ),
    "score": ("score", "reward", "scores", "rewards"),
    "token": ("token_level_rewards", "token_level_scores", "token_rewards"),
    "group": ("group", "group_uid", "group_id", "uid", "prompt_id", "index"),
}
_OPTIONAL = ("mask", "ref", "group", "score", "token")
_ABOVE_ZERO = 1e-3  # what rounding may lift a log-probability above 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenDump:
    """Responses, and what `Trajectories` does not carry; all arrays are NumPy's."""

    batch: Trajectories
    """Tokens (`action`), `own`, log-probabilities and rewards `[B, T]`; `batch.group` counts from
    0. What a file does not tell is ()."""
    ref_log_prob: np.ndarray
    """`[B, T]` float32 under the reference policy; zeros where the file has none."""
    scores: np.ndarray
    """`[B]` float32; NaN where a response could not be scored."""
    group_names: tuple[str, ...]
    """The file's own name of each group, in order of first appearance."""

    @property
    def num_groups(self) -> int:
        """How many groups there are: the static count that segment operations need."""
        return len(self.group_names)

    @property
    def group_sizes(self) -> np.ndarray:
        """Responses per group `[num_groups]`."""
        return np.bincount(self.batch.group, minlength=self.num_groups)


def read_token_dump(
    path: str | os.PathLike[str], *, group_size: int | None = None, length: int | None = None
) -> TokenDump:
    """Read a `.jsonl` or `.npz` file of responses.

    Groups may have different sizes and lie in any order. With `group_size` each must have exactly
    that many rows; it also stands in for ids that the file lacks (TRL): consecutive rows then
    form a group. `length` pads every row to that many tokens; by default the longest row counts.

    Without rewards per token, the score is put on the last token of mask 1 in `batch.reward` (a
    response that has none keeps it in `scores` only). Rewards per token stay where they are; a
    NaN under mask 1 makes the response unscorable. Log-probabilities under mask 0 become 0.
    """
    file = Path(path)
    for name, value in (("group_size", group_size), ("length", length)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    rows = [_row(record, place) for place, record in _records(file)]
    if not rows:
        raise InputError(f"{file} holds no response; write one per line or row")
    _all_or_none(file, rows, "ref")
    group, names = _groups(file, rows, group_size)
    longest = max(len(row["tokens"]) for row in rows)
    if length is not None and longest > length:
        raise InputError(f"{file}: a response has {longest} tokens, more than length {length}")
    width = max(longest, 1) if length is None else length

    def padded(name: str, dtype: type) -> np.ndarray:
        out = np.zeros((len(rows), width), dtype)
        for target, row in zip(out, rows, strict=True):
            if row[name] is not None:
                target[: len(row[name])] = row[name]
        return out

    own = padded("mask", np.float32) > 0
    batch = Trajectories(
        obs=(),
        action=padded("tokens", np.int32),
        log_prob=padded("log_prob", np.float32),
        reward=padded("reward", np.float32),
        terms={},
        applicable={},
        terminated=(),
        truncated=(),
        alive=np.cumsum(own[:, ::-1], axis=1)[:, ::-1] > 0,
        own=own,
        broken=np.zeros_like(own),
        turn=np.where(own, 0, -1).astype(np.int32),
        group=group,
        info=(),
    )
    scores = np.array([row["score"] for row in rows], np.float32)
    ref = padded("ref", np.float32)
    return TokenDump(batch=batch, ref_log_prob=ref, scores=scores, group_names=names)


def write_token_dump(path: str | os.PathLike[str], dump: TokenDump) -> None:
    """Write `dump` so that `read_token_dump` gives it back; the suffix chooses the format."""
    file, batch = Path(path), dump.batch
    columns = {
        "tokens": np.asarray(batch.action),
        "mask": np.asarray(batch.own).astype(np.int8),
        "old_log_probs": np.asarray(batch.log_prob),
        "token_level_rewards": np.asarray(batch.reward),
        "score": np.asarray(dump.scores),
        "group": np.array([dump.group_names[g] for g in np.asarray(batch.group)]),
    }
    if np.any(np.asarray(dump.ref_log_prob)):
        columns["ref_log_prob"] = np.asarray(dump.ref_log_prob)
    if file.suffix == ".npz":
        with atomic_path(file) as temporary:
            np.savez_compressed(temporary, **columns)
    elif file.suffix == ".jsonl":
        rows = (
            {name: jsonable(a[i]) for name, a in columns.items()} for i in range(len(batch.group))
        )
        atomic_write_text(file, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
    else:
        raise InputError(f"{file}: the suffix must be .jsonl or .npz")


def _records(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """`(place, record)` per response, under the file's own field names."""
    if file.suffix not in (".jsonl", ".npz"):
        raise InputError(f"{file}: the suffix must be .jsonl or .npz")
    if not file.is_file():
        raise InputError(f"{file} is not a file; give a .jsonl or .npz file of responses")
    if file.suffix == ".jsonl":
        yield from _json_records(file)
    else:
        yield from _array_records(file)


def _json_records(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read as UTF-8 text: {error}") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{file}, line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{place} is not JSON ({error}); write one object a line") from None
        if not isinstance(record, dict):
            raise InputError(f"{place} is no JSON object; write one object per response")
        yield place, record


def _array_records(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    known = {name for names in NAMES.values() for name in names}
    columns = read_npz(file, optional=sorted(known), limit_bytes=1 << 30)
    counts = {name: len(a) if a.ndim else -1 for name, a in columns.items()}
    if len(set(counts.values())) > 1 or -1 in counts.values():
        text = ", ".join(f"{name} {columns[name].shape}" for name in sorted(columns))
        raise InputError(f"{file}: arrays must have one row per response each, got {text}")
    for i in range(max(counts.values(), default=0)):
        yield f"{file}, row {i}", {name: array[i] for name, array in columns.items()}


def _row(record: dict[str, Any], place: str) -> dict[str, Any]:
    """One response under our names, checked."""
    found = {field: next((n for n in NAMES[field] if n in record), None) for field in NAMES}
    for field, name in found.items():
        if name is None and field not in _OPTIONAL:
            raise InputError(f"{place} has no {field}; name it one of {', '.join(NAMES[field])}")

    def where(field: str) -> str:
        return f"{place}, {found[field]}"

    tokens = _numbers(record[found["tokens"]], where("tokens"), integer=True)
    count = len(tokens)
    if count and (tokens.min() < 0 or tokens.max() > np.iinfo(np.int32).max):
        raise InputError(f"{where('tokens')}: ids must lie in 0 ... 2^31 − 1")
    mask = np.ones(count)
    if found["mask"] is not None:
        mask = _numbers(record[found["mask"]], where("mask"))
        if found["mask"] == "attention_mask" and len(mask) > count:
            mask = mask[len(mask) - count :]  # prompt and response in one, as in verl
        _same_length(mask, count, where("mask"))
        if not np.isin(mask, (0.0, 1.0)).all():
            raise InputError(f"{where('mask')}: entries must be 0 or 1")
    row = {"tokens": tokens, "mask": mask, "ref": None}
    for field in ("log_prob", "ref"):
        if found[field] is not None:
            row[field] = _log_probs(record[found[field]], mask, where(field))
    given = next((field for field in ("token", "score") if found[field] is not None), None)
    if given is None:
        names = ", ".join(NAMES["score"] + NAMES["token"])
        raise InputError(f"{place} has no score; name it one of {names}")
    row["reward"], row["score"] = _score(record[found[given]], mask, where(given))
    if given == "token" and found["score"] is not None:
        row["score"] = _score(record[found["score"]], mask, where("score"))[1]
    row["group"] = None
    if found["group"] is not None:
        row["group"] = _group_name(record[found["group"]], where("group"))
    return row


def _numbers(value: Any, place: str, *, integer: bool = False) -> np.ndarray:
    """A vector of int64 or float64; null counts as NaN where integers are not asked for."""
    if isinstance(value, list) and not integer:
        value = [np.nan if item is None else item for item in value]
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):
        array = np.empty((0, 0))
    what = "integers" if integer else "numbers"
    if array.ndim != 1 or (array.size and array.dtype.kind not in ("iu" if integer else "iufb")):
        raise InputError(f"{place}: must be a flat list of {what}")
    return array.astype(np.int64 if integer else np.float64)


def _same_length(array: np.ndarray, count: int, place: str) -> None:
    if len(array) != count:
        raise InputError(f"{place}: {len(array)} entries for {count} tokens; give one per token")


def _log_probs(value: Any, mask: np.ndarray, place: str) -> np.ndarray:
    array = _numbers(value, place)
    _same_length(array, len(mask), place)
    with np.errstate(over="ignore"):
        kept = np.where(mask > 0, array, 0.0).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(kept) | (kept > _ABOVE_ZERO))
    if bad.size:
        at = bad[0]
        raise InputError(f"{place}[{at}] is {array[at]}; log-probabilities are finite and ≤ 0")
    return kept


def _score(value: Any, mask: np.ndarray, place: str) -> tuple[np.ndarray, float]:
    """Rewards per token and the response's score."""
    if isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim):
        reward = _numbers(value, place)
        _same_length(reward, len(mask), place)
        reward = np.where((mask == 0) & np.isnan(reward), 0.0, reward)
        score = float(reward.sum())
    else:
        number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(
            value, bool
        )
        if value is not None and not number:
            raise InputError(f"{place}: must be a number, null, or a list of one per token")
        try:
            score = float("nan") if value is None else float(value)
        except OverflowError:
            score = float("inf")
        reward, valid = np.zeros(len(mask)), np.flatnonzero(mask > 0)
        if valid.size:
            reward[valid[-1]] = score
    largest = float(np.finfo(np.float32).max)
    if np.abs(score) > largest or (np.abs(reward) > largest).any():
        raise InputError(f"{place}: scores must be finite; write null for one that is not known")
    return reward, score


def _group_name(value: Any, place: str) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise InputError(f"{place}: must be a string or an integer, got {type(value).__name__}")
    try:
        return str(value)
    except ValueError:  # an integer of thousands of digits
        raise InputError(f"{place}: the integer is too long") from None


def _all_or_none(file: Path, rows: list[dict[str, Any]], field: str) -> None:
    lacking = [i for i, row in enumerate(rows) if row[field] is None]
    if lacking and len(lacking) < len(rows):
        names = ", ".join(NAMES[field])
        raise InputError(
            f"{file}: response {lacking[0]} (from 0) has no {field} where others have one; give "
            f"all or none ({names})"
        )


def _groups(
    file: Path, rows: list[dict[str, Any]], group_size: int | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Indices from 0 in order of first appearance, and the names they stand for."""
    _all_or_none(file, rows, "group")
    if rows[0]["group"] is None:
        if group_size is None:
            names = ", ".join(NAMES["group"])
            raise InputError(f"{file} names no groups; add one of {names}, or give group_size")
        if len(rows) % group_size:
            raise InputError(
                f"{file}: {len(rows)} responses do not divide into groups of {group_size}"
            )
        index = np.arange(len(rows), dtype=np.int32) // group_size
        return index, tuple(str(i) for i in range(len(rows) // group_size))
    order: dict[str, int] = {}
    index = np.array([order.setdefault(row["group"], len(order)) for row in rows], np.int32)
    sizes = np.bincount(index)
    if group_size is not None and (sizes != group_size).any():
        wrong = int(np.flatnonzero(sizes != group_size)[0])
        raise InputError(
            f"{file}: group {tuple(order)[wrong]!r} has {sizes[wrong]} responses, not "
            f"{group_size}; leave group_size out to allow groups of any size"
        )
    return index, tuple(order)
