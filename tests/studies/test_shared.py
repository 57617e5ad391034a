"""The rooms that studies share: claims, intervals, arms."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.studies import StudyResult
from jaxrl_rewards.studies.shared.arms import between, first_at, train_arms
from jaxrl_rewards.studies.shared.claims import Claims, number_text, settled
from jaxrl_rewards.studies.shared.intervals import ratio_interval, share_interval
from jaxrl_rewards.studies.shared.panels import percent, thin, windows
from jaxrl_rewards.studies.shared.sizes import at_least, changed, multiple

SEEDS = np.arange(8)


def claims(**arms):
    return Claims(StudyResult(arms={arm: {"score": list(v)} for arm, v in arms.items()}))


@pytest.mark.parametrize(
    ("judge", "text", "holds"),
    [
        (lambda c, x: c.level("a", x, least=0.0), ">= 0", True),
        (lambda c, x: c.level("a", x, most=0.0), "<= 0", False),
        (lambda c, x: c.level("a", x, least=0, most=0.2), ">= 0, <= 0.2", True),
        (lambda c, x: c.level("a", x, above=0.1), "interval above 0.1", False),
        (lambda c, x: c.difference("a", x, x - 1, least=1), ">= 1", True),
        (lambda c, x: c.difference("a", x, x - 1, above=0), "interval above 0", True),
        (lambda c, x: c.difference("a", x, x - 1, below=0), "interval below 0", False),
        (lambda c, x: c.equal("a", x, x + 0.01, within=0.02), "interval within +- 0.02", True),
        (lambda c, x: c.equal("a", x, x[::-1], within=0.02), "interval within +- 0.02", False),
        (lambda c, x: c.ratio("a", 2 * x + 2, x + 1, least=1.5), ">= 1.5", True),
        (lambda c, x: c.share("a", x > -1, least=0.8, above=0.5),
         ">= 0.8, interval above 0.5", True),
        (lambda c, x: c.share("a", x > -1, above=0.7), "interval above 0.7", False),
        (lambda c, x: c.alike("a", x + 2, x + 2.1, within=1.15),
         "interval within 0.8696 to 1.15", True),
        (lambda c, x: c.alike("a", x + 2, x[::-1] + 2, within=1.05),
         "interval within 0.9524 to 1.05", False),
        (lambda c, x: c.near("a", 20 + x, 20.0, within=0.3), "20 +- 0.3", True),
        (lambda c, x: c.near("a", 20 + x, 20.0, within=0.1), "20 +- 0.1", False),
        (lambda c, x: c.fact("a", 6, most=6), "<= 6", True),
        (lambda c, x: c.fact("a", 0.9, exactly=1), "1", False),
        (lambda c, x: c.fact("a", 0.0, over=0), "> 0", False),
        (lambda c, x: c.fact("a", 2e-6, most=1e-6), "<= 1e-6", False),
    ],
)  # fmt: skip
def test_each_line_states_its_requirement_and_is_judged_by_it(judge, text, holds):
    """Data: 8 values of mean .07 and deviation about .1."""
    data = np.linspace(-0.08, 0.22, 8)
    sheet = claims(own=data)
    judge(sheet, data)
    verdict = sheet.verdict(8)
    assert verdict.required == {"a": text}
    assert verdict.passed is holds and verdict.missed == (() if holds else ("a",))
    sheet = claims(own=data)
    if "alike" in judge.__code__.co_names:
        return
    judge(sheet, data * math.nan)
    if not {"fact", "share"} & set(judge.__code__.co_names):  # these do not see the data
        assert sheet.missed == ["a"], "NaN keeps no bound"


def test_equivalence_is_judged_by_its_whole_interval():
    """A mean difference of 0 with a wide interval settles nothing."""
    base = np.zeros(8)
    apart = np.array([9.0, -9.0] * 4)
    sheet = claims()
    assert sheet.equal("C - r_p", apart, base, within=2.0) == 0.0
    assert sheet.missed == ["C - r_p"]


def test_lines_without_bounds_decide_nothing_and_names_are_unique():
    sheet = claims()
    sheet.level("shown", SEEDS)
    sheet.level("also shown", SEEDS, least=100, decides=False)
    assert sheet.verdict(8).passed and not sheet.required
    assert set(sheet.interval) == {"shown", "also shown"}
    with pytest.raises(ValueError, match="two lines called 'shown'"):
        sheet.level("shown", SEEDS)
    with pytest.raises(ValueError, match="a fact has none"):
        sheet.fact("f", 1.0, above=0)


def test_seeds_that_never_arrive_count_as_told():
    sheet = claims(own=[1.0, math.nan])
    np.testing.assert_array_equal(sheet.values("own", "score", never=9.0), [1.0, 9.0])


def test_what_a_difference_settles_in_words():
    assert settled(0.1, (0.05, 0.2), "better") == "better (+0.100 [+0.050, +0.200])"
    assert settled(-0.1, (-0.2, -0.05)).startswith("less (")
    assert settled(0.1, (-0.1, 0.2)).startswith("not told apart (")
    assert settled(0.1, (0.05, 0.2), "over", "under", "chance").startswith("over chance (")
    assert settled(0.1, (-0.1, 0.2), other="chance").startswith("not told apart from chance (")


def test_numbers_read_as_people_write_them():
    assert [number_text(x) for x in (1e-5, 0.45, 20.0, 10.256410, 1e6, -3)] == [
        "1e-5", "0.45", "20", "10.26", "1e6", "-3",
    ]  # fmt: skip


def test_the_share_interval_has_a_width_where_all_seeds_agree():
    """Wilson's interval of 8 of 8 and 5 of 10, from the closed form."""
    np.testing.assert_allclose(share_interval([True] * 8), (0.675592, 1.0), atol=1e-6)
    np.testing.assert_allclose(share_interval([True, False] * 5), (0.236593, 0.763407), atol=1e-6)
    with pytest.raises(ValueError, match="at least one seed"):
        share_interval([])


def test_ratio_interval_counts_small_means_as_the_floor():
    assert ratio_interval([1.0, 1.0], [0.0, 0.0], floor=0.5) == (2.0, 2.0)
    with pytest.raises(ValueError, match="positive"):
        ratio_interval([1.0], [0.0])


class Toy:
    """Adds the rate, and noise from the seed's key."""

    traces = 0

    def init(self, key, hparams):
        return {"x": jax.random.uniform(key)}

    def update(self, state, hparams):
        Toy.traces += 1
        x = state["x"] + hparams["rate"]
        return {"x": x}, {"x": x, "large": jnp.zeros(1000)}


@pytest.mark.parametrize("together", [False, True])
def test_arms_share_one_compile_and_the_seeds(together):
    arms = {"slow": {"rate": 1.0}, "fast": {"rate": 2.0}, "still": {"rate": 0.0}}
    keys = jax.random.split(jax.random.key(0), 3)
    Toy.traces, heard = 0, []
    found = train_arms(
        Toy(), arms, keys, 4,
        lambda state, hparams, key: {"end": state["x"], "draw": jax.random.uniform(key)},
        keep=("x",), watch=lambda state, hparams: {"twice": 2 * state["x"]}, together=together,
        report=lambda text, share: heard.append(share),
    )  # fmt: skip
    assert Toy.traces == 1 and heard == sorted(heard) and list(found) == list(arms)
    start = np.asarray(jax.vmap(jax.random.uniform)(keys))
    for arm, hparams in arms.items():
        assert set(found[arm].curves) == {"x", "twice"}
        steps = start[:, None] + hparams["rate"] * np.arange(1, 5)
        np.testing.assert_allclose(found[arm].curves["x"], steps, rtol=1e-6)
        np.testing.assert_allclose(found[arm].curves["twice"], 2 * steps, rtol=1e-6)
        np.testing.assert_array_equal(found[arm].final["end"], found[arm].curves["x"][:, -1])
        np.testing.assert_array_equal(found[arm].final["draw"], found["slow"].final["draw"])
    assert len(set(found["slow"].final["draw"].tolist())) == 3


def test_arms_that_differ_in_more_than_numbers_are_refused():
    keys = jax.random.split(jax.random.key(0), 2)
    for other in ({"rate": 1}, {"rate": jnp.ones(2)}, {"speed": 1.0}):
        with pytest.raises(ValueError, match="'a' and 'b' differ in more than numbers"):
            train_arms(Toy(), {"a": {"rate": 1.0}, "b": other}, keys, 1)


def test_where_a_curve_first_reaches_a_level():
    x = np.array([10, 20, 30])
    curve = np.array([[0.0, 0.5, 1.0], [0.9, 0.0, 1.0], [0.0, 0.0, 0.1]])
    np.testing.assert_array_equal(first_at(curve, x, 0.75), [30, 10, np.nan])
    np.testing.assert_array_equal(between(curve, x, 0.75), [25, 10, np.nan])


def test_thinned_curves_keep_their_last_point():
    curves = np.arange(1000.0)[None]
    assert thin(curves).shape == (1, 100) and thin(curves)[0, -1] == 999.0
    assert thin(curves[:, :7]).shape == (1, 7)
    panel = percent({"a": curves}, "steps")
    assert panel["x"][-1] == 100.0 and panel["xlabel"] == "% of the steps"


def test_windows_average_and_leave_out_the_rest():
    panel = windows({"a": np.arange(14.0).reshape(2, 7)}, 3, 10, "episode")
    np.testing.assert_allclose(panel["a"], [[1, 4], [8, 11]])
    np.testing.assert_array_equal(panel["x"], [30, 60])
    short = windows({"a": np.ones((1, 2))}, 5, 1, "episode")
    assert short["a"].tolist() == [[1.0]] and short["x"].tolist() == [2]


def test_sizes_are_checked_in_one_sentence():
    config = type("C", (), {"a": 0, "b": 3})()
    with pytest.raises(InputError, match="a must be at least 1, got 0"):
        at_least(config, 1, "b", "a")
    config.a = 2
    with pytest.raises(InputError, match="b=3 must be a multiple of a=2"):
        multiple(config, "b", "a")
    import dataclasses

    made = dataclasses.make_dataclass("Made", [("a", int, 1)])()
    assert changed(made, {"a": 4}).a == 4
    with pytest.raises(InputError, match="'c' is no field of Made"):
        changed(made, {"c": 4})
