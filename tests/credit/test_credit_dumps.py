"""Reading rollout batches of token-level learners, and what is said about faulty ones."""

import json

import jax
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jaxrl_rewards.core import InputError
from jaxrl_rewards.credit import segment_advantages
from jaxrl_rewards.credit.dumps import read_token_dump, write_token_dump

ROWS = [
    {
        "response_ids": [5, 9, 2],
        "response_mask": [1, 1, 1],
        "old_log_probs": [-0.5, -1.25, -0.25],
        "ref_log_prob": [-0.75, -1.0, -0.5],
        "score": 1.0,
        "uid": "b",
    },
    {
        "response_ids": [7, 1, 1, 3, 0],
        "response_mask": [1, 0, 1, 1, 0],
        "old_log_probs": [-0.5, None, -2.0, -0.125, None],
        "ref_log_prob": [-0.5, None, -1.5, -0.25, None],
        "score": 0.5,
        "uid": "a",
    },
    {
        "response_ids": [4],
        "response_mask": [1],
        "old_log_probs": [-3.0],
        "ref_log_prob": [-2.0],
        "score": None,
        "uid": "b",
    },
    {
        "response_ids": [4, 4],
        "response_mask": [0, 0],
        "old_log_probs": [-3.0, -3.0],
        "ref_log_prob": [-2.0, -2.0],
        "score": 0.0,
        "uid": "b",
    },
]


def write_lines(folder, rows, name="dump.jsonl"):
    file = folder / name
    file.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    return file


def changed(index, **changes):
    rows = [dict(row) for row in ROWS]
    for name, value in changes.items():
        if value is KeyError:
            del rows[index][name]
        else:
            rows[index][name] = value
    return rows


def equal(one, other):
    for a, b in zip(jax.tree.leaves(one.batch), jax.tree.leaves(other.batch), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.scores, other.scores)
    assert one.group_names == other.group_names


def test_lines_become_a_padded_batch(tmp_path):
    dump = read_token_dump(write_lines(tmp_path, ROWS))
    batch = dump.batch
    np.testing.assert_array_equal(batch.action[:2], [[5, 9, 2, 0, 0], [7, 1, 1, 3, 0]])
    np.testing.assert_array_equal(batch.own[1:3], [[1, 0, 1, 1, 0], [1, 0, 0, 0, 0]])
    np.testing.assert_array_equal(batch.log_prob[1], [-0.5, 0, -2.0, -0.125, 0])
    np.testing.assert_array_equal(dump.ref_log_prob[0], [-0.75, -1.0, -0.5, 0, 0])
    np.testing.assert_array_equal(batch.reward[:2], [[0, 0, 1, 0, 0], [0, 0, 0, 0.5, 0]])
    np.testing.assert_array_equal(dump.scores, [1.0, 0.5, np.nan, 0.0])
    np.testing.assert_array_equal(batch.group, [0, 1, 0, 0])
    assert dump.group_names == ("b", "a") and dump.group_sizes.tolist() == [3, 1]
    assert batch.action.dtype == batch.group.dtype == np.int32
    assert {x.dtype for x in (batch.log_prob, batch.reward)} == {np.dtype("float32")}
    assert batch.own.dtype == batch.alive.dtype == bool
    assert read_token_dump(tmp_path / "dump.jsonl", length=8).batch.own.shape == (4, 8)


def test_a_dump_feeds_group_advantages(tmp_path):
    dump = read_token_dump(write_lines(tmp_path, ROWS))
    found = segment_advantages(dump.scores, dump.batch.group, dump.num_groups, mode="dr_grpo")
    np.testing.assert_allclose(found, [0.5, 0.0, 0.0, -0.5])  # the unscorable one is left out


@pytest.mark.parametrize("suffix", [".jsonl", ".npz"])
def test_what_is_written_is_read_again(tmp_path, suffix):
    dump = read_token_dump(write_lines(tmp_path, ROWS))
    write_token_dump(tmp_path / f"again{suffix}", dump)
    equal(read_token_dump(tmp_path / f"again{suffix}"), dump)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"again{suffix}", "dump.jsonl"]


@pytest.mark.parametrize(
    "names",
    [
        ("completion_ids", "completion_mask", "old_per_token_logps", "rewards", "group_id"),
        ("responses", "response_mask", "old_log_probs", "token_level_scores", "uid"),
        ("tokens", "action_mask", "action_log_probs", "reward", "index"),
    ],
)
def test_field_names_of_the_known_programs(tmp_path, names):
    tokens, mask = np.arange(12).reshape(4, 3), np.array([[1, 1, 0]] * 4)
    log_prob, scores = np.full((4, 3), -0.5), np.array([0.0, 1.0, 2.0, 3.0])
    if names[3] == "token_level_scores":
        scores = scores[:, None] * np.array([0, 1, 0])
    groups = np.array([7, 3, 7, 3])
    file = tmp_path / "batch.npz"
    np.savez(file, **dict(zip(names, (tokens, mask, log_prob, scores, groups), strict=True)))
    dump = read_token_dump(file, group_size=2)
    np.testing.assert_array_equal(dump.scores, [0, 1, 2, 3])
    np.testing.assert_array_equal(dump.batch.reward[:, 1], [0, 1, 2, 3])
    np.testing.assert_array_equal(dump.batch.reward[:, ::2], 0)
    np.testing.assert_array_equal(dump.batch.group, [0, 1, 0, 1])
    np.testing.assert_array_equal(dump.ref_log_prob, 0)
    assert dump.group_names == ("7", "3")


def test_an_attention_mask_may_cover_the_prompt_too(tmp_path):
    file = tmp_path / "batch.npz"
    columns = dict(tokens=np.ones((2, 2), int), log_probs=np.zeros((2, 2)), score=np.ones(2))
    np.savez(file, **columns, uid=np.array(["p", "p"]), attention_mask=[[0, 1, 1, 1], [1, 1, 1, 0]])
    np.testing.assert_array_equal(read_token_dump(file).batch.own, [[1, 1], [1, 0]])


def test_consecutive_rows_form_groups_where_the_file_names_none(tmp_path):
    rows = [{k: v for k, v in row.items() if k != "uid"} for row in ROWS]
    file = write_lines(tmp_path, rows)
    assert read_token_dump(file, group_size=2).batch.group.tolist() == [0, 0, 1, 1]
    with pytest.raises(InputError, match="names no groups; .* give group_size"):
        read_token_dump(file)
    with pytest.raises(InputError, match="4 responses do not divide into groups of 3"):
        read_token_dump(file, group_size=3)


def test_groups_of_the_wrong_size_are_named(tmp_path):
    with pytest.raises(InputError, match="group 'b' has 3 responses, not 2"):
        read_token_dump(write_lines(tmp_path, ROWS), group_size=2)


@pytest.mark.parametrize(
    ("index", "changes", "message"),
    [
        (1, {"response_ids": KeyError}, "line 2 has no tokens; name it one of tokens, token_ids"),
        (0, {"score": KeyError}, "line 1 has no score"),
        (0, {"old_log_probs": KeyError}, "line 1 has no log_prob"),
        (2, {"ref_log_prob": KeyError}, r"response 2 \(from 0\) has no ref"),
        (3, {"uid": KeyError}, r"response 3 \(from 0\) has no group"),
        (0, {"old_log_probs": [-1.0]}, "old_log_probs: 1 entries for 3 tokens"),
        (0, {"response_mask": [1, 1]}, "response_mask: 2 entries for 3 tokens"),
        (0, {"response_mask": [1, 2, 1]}, "response_mask: entries must be 0 or 1"),
        (0, {"response_ids": [1, -2, 3]}, "response_ids: ids must lie in"),
        (0, {"response_ids": [1, 2.5, 3]}, "response_ids: must be a flat list of integers"),
        (0, {"response_ids": [1, 2**80, 3]}, "response_ids: must be a flat list of integers"),
        (0, {"response_ids": "abc"}, "response_ids: must be a flat list of integers"),
        (0, {"old_log_probs": [-1.0, [2.0], 0]}, "old_log_probs: must be a flat list of numbers"),
        (0, {"old_log_probs": [-1.0, None, 0]}, r"old_log_probs\[1\] is nan"),
        (0, {"old_log_probs": [-1.0, 0.5, 0]}, r"old_log_probs\[1\] is 0.5; .* finite and ≤ 0"),
        (0, {"old_log_probs": [-1e300, 0, 0]}, r"old_log_probs\[0\] is -1e\+300"),
        (1, {"score": float("inf")}, "line 2, score: scores must be finite"),
        (1, {"score": 1e300}, "line 2, score: scores must be finite"),
        (1, {"score": 10**400}, "line 2, score: scores must be finite"),
        (1, {"score": "good"}, "line 2, score: must be a number, null, or a list"),
        (1, {"score": True}, "line 2, score: must be a number, null, or a list"),
        (1, {"score": [1.0]}, "line 2, score: 1 entries for 5 tokens"),
        (1, {"uid": None}, "line 2, uid: must be a string or an integer, got NoneType"),
        (1, {"uid": 1.5}, "line 2, uid: must be a string or an integer, got float"),
    ],
)
def test_faults_are_named(tmp_path, index, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        read_token_dump(write_lines(tmp_path, changed(index, **changes)))
    assert "dump.jsonl" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{"], "line 1 is not JSON"),
        (["[" * 200_000], "line 1 is not JSON"),
        (["[1]"], "line 1 is no JSON object"),
        ([""], "holds no response"),
        (["\ud800"], "UTF-8"),
    ],
)
def test_broken_lines_are_named(tmp_path, lines, message):
    file = tmp_path / "dump.jsonl"
    file.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=message):
        read_token_dump(file)


def test_files_that_are_none_and_options_out_of_range(tmp_path):
    with pytest.raises(InputError, match="missing.npz is not a file"):
        read_token_dump(tmp_path / "missing.npz")
    with pytest.raises(InputError, match="suffix must be .jsonl or .npz"):
        read_token_dump(tmp_path / "dump.csv")
    dump = read_token_dump(write_lines(tmp_path, ROWS))
    with pytest.raises(InputError, match="suffix must be .jsonl or .npz"):
        write_token_dump(tmp_path / "dump.parquet", dump)
    with pytest.raises(InputError, match="has 5 tokens, more than length 4"):
        read_token_dump(tmp_path / "dump.jsonl", length=4)
    with pytest.raises(ValueError, match="group_size must be at least 1, got 0"):
        read_token_dump(tmp_path / "dump.jsonl", group_size=0)
    file = tmp_path / "dump.npz"
    np.savez(file, tokens=np.ones((2, 3), int), score=np.ones(3))
    with pytest.raises(InputError, match=r"score \(3,\), tokens \(2, 3\)"):
        read_token_dump(file)
    np.savez(file, tokens=np.array([[1], [1, 2]], object))
    with pytest.raises(InputError, match="without objects"):
        read_token_dump(file)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dumps")
    dump = read_token_dump(write_lines(folder, ROWS))
    for suffix in (".jsonl", ".npz"):
        write_token_dump(folder / f"whole{suffix}", dump)
    return folder


@pytest.mark.parametrize("suffix", [".jsonl", ".npz"])
@given(
    edits=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=6), cut=st.integers(0)
)
@example(edits=[], cut=1)
def test_a_damaged_file_is_read_or_refused(whole, suffix, edits, cut):
    content = bytearray((whole / f"whole{suffix}").read_bytes())
    for place, byte in edits:
        content[place % len(content)] = byte
    if cut % 2:
        del content[cut % len(content) :]
    file = whole / f"damaged{suffix}"
    file.write_bytes(content)
    try:
        dump = read_token_dump(file)
    except InputError as error:
        assert "damaged" in str(error)
        return
    batch = dump.batch
    assert np.isfinite(batch.log_prob).all() and np.isfinite(dump.ref_log_prob).all()
    assert (batch.action >= 0).all() and not np.isinf(dump.scores).any()
    assert (dump.group_sizes > 0).all()
