"""Intervals, provenance, the registry, and what `reproduce` writes."""

import dataclasses
import json
import math
import sys

import numpy as np
import pytest

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import jsonable
from jaxrl_rewards.studies import (
    Study,
    StudyResult,
    Train,
    Verdict,
    bootstrap_interval,
    difference_interval,
    get,
    slugs,
)
from jaxrl_rewards.studies.api import judge
from jaxrl_rewards.studies.provenance import hardware, provenance, versions
from jaxrl_rewards.studies.reproduce import (
    judged_again,
    override,
    reproduce,
    save_figure,
    study_record,
    summarise,
    with_second_key,
)


def test_bootstrap_interval_is_near_the_normal_one_and_repeats():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    low, high = bootstrap_interval(values)
    error = values.std() / 20.0
    assert abs(low - (values.mean() - 1.96 * error)) < 0.1 * error + 0.02
    assert abs(high - (values.mean() + 1.96 * error)) < 0.1 * error + 0.02
    assert (low, high) == bootstrap_interval(list(values))
    narrow = bootstrap_interval(values, level=0.5)
    assert low < narrow[0] < values.mean() < narrow[1] < high


def test_bootstrap_interval_of_one_value_and_none():
    assert bootstrap_interval([2.5]) == (2.5, 2.5)
    assert bootstrap_interval([1.0, 1.0, 1.0]) == (1.0, 1.0)
    with pytest.raises(ValueError, match="at least one value"):
        bootstrap_interval([])


def test_bootstrap_interval_covers():
    """About 95 % of the intervals of 30 normal values hold the true mean."""
    random = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        low, high = bootstrap_interval(random.normal(1.0, 1.0, 30), resamples=500)
        held += low <= 1.0 <= high
    assert 0.86 <= held / 200 <= 0.99


def test_paired_differences_use_the_pairs():
    random = np.random.default_rng(2)
    base = random.normal(0.0, 10.0, 40)
    better = base + random.normal(1.0, 0.5, 40)
    low, high = difference_interval(better, base)
    assert 0.5 < low < 1.0 < high < 1.5
    wide = difference_interval(better, base, paired=False)
    assert wide[0] < 0.0 < wide[1]
    apart = difference_interval(better + 100.0, base[:20], paired=False)
    assert apart[0] > 90.0
    with pytest.raises(ValueError, match="equal shapes"):
        difference_interval([1.0, 2.0], [1.0])


def test_summary_leaves_unknown_seeds_out_of_the_mean_but_in_the_values():
    found = summarise([1.0, math.nan, 3.0, math.inf])
    assert found["mean"] == 2.0 and len(found["values"]) == 4
    assert found["interval"][0] >= 1.0 and found["interval"][1] <= 3.0
    nothing = summarise([math.nan])
    assert nothing["mean"] is None and nothing["interval"] is None


def test_provenance_has_the_agreed_fields():
    record = provenance("jaxrl-rewards reproduce toy", 1.26)
    assert set(record) == {"command", "seconds", "commit", "versions", "hardware", "date"}
    assert record["seconds"] == 1.3 and len(record["date"]) == 10
    assert {"python", "jax", "numpy"} <= set(record["versions"])
    assert "no-such-package" not in versions(("no-such-package",))
    assert hardware()["id"].startswith("cpu-") and hardware()["cores"] >= 1
    json.dumps(record)


def test_registered_studies_are_whole():
    assert slugs() == tuple(sorted(slugs())) and len(slugs()) >= 2
    for slug in slugs():
        study = get(slug)
        assert study.slug == slug and study.title and study.paper and study.claims
        assert dataclasses.is_dataclass(study.config) and study.functions
        hash(study.config)


def test_every_function_that_a_study_names_can_be_imported():
    import importlib

    for slug in slugs():
        for name in get(slug).functions:
            module, _, attribute = name.rpartition(".")
            assert callable(getattr(importlib.import_module(module), attribute)), name


def test_every_world_that_a_study_names_is_registered():
    import jaxrl_envs

    for slug in slugs():
        assert set(get(slug).worlds) <= set(jaxrl_envs.names()), slug


def test_unknown_study_suggests():
    with pytest.raises(InputError, match="gui_g3.*did you mean gui_g2"):
        get("gui_g3")


@dataclasses.dataclass(frozen=True)
class ToyConfig:
    seeds: int = 8
    gap: float = 1.0
    root_key: int = 0


def toy_study(**changes) -> Study:
    def run(config, report):
        report("half", 0.5)
        random = np.random.default_rng(config.root_key)
        control = random.normal(0.0, 0.1, config.seeds)
        curve = np.linspace(0, 1, 5)[None] * np.ones((config.seeds, 1))
        return StudyResult(
            arms={
                "method": {"score": list(control + config.gap), "when": [math.nan] * config.seeds},
                "control": {"score": list(control)},
            },
            curves={"score": {"x": np.arange(5), "method": curve, "control": 0 * curve}},
            budget={"updates": 5},
            figures={"extra.png": lambda figure: figure.subplots().plot([0, 1])},
        )

    def claim(result, config):
        one, other = (result.arms[arm]["score"] for arm in ("method", "control"))
        interval = difference_interval(one, other)
        return Verdict(
            missed=() if interval[0] > 0 else ("difference",),
            passed=interval[0] > 0,
            measured={"difference": float(np.mean(one) - np.mean(other))},
            required={"difference": "> 0"},
            seeds=config.seeds,
            interval={"difference": interval},
            notes=("made up",),
        )

    study = Study(
        slug="toy", title="A toy", paper="Nobody 2020.", claims=("It is better.",),
        config=ToyConfig(), run=run, claim=claim,
    )  # fmt: skip
    return dataclasses.replace(study, **changes)


FIELDS = {
    "slug", "title", "paper", "claim", "passed", "verdict", "missed", "measured", "required",
    "interval", "notes", "seeds", "needs", "root_key", "arms", "budget", "config", "command",
    "seconds", "commit", "versions", "hardware", "date",
}  # fmt: skip


@pytest.mark.parametrize(("gap", "passed"), [(1.0, True), (-1.0, False)])
def test_reproduce_writes_and_prints_either_verdict(tmp_path, capsys, gap, passed):
    verdict, paths = reproduce(toy_study(), ToyConfig(gap=gap), out_dir=tmp_path / "out")
    record = json.loads((tmp_path / "out" / "study-toy.json").read_text())
    assert set(record) == FIELDS
    assert record["passed"] is passed is verdict.passed
    assert record["config"] == {"seeds": 8, "gap": gap, "root_key": 0} and record["claim"] == [
        "It is better."
    ]
    assert record["arms"]["method"]["when"]["values"] == [None] * 8
    np.testing.assert_allclose(record["measured"]["difference"], gap)
    assert set(paths) == {"study-toy.json", "toy.png", "extra.png"}
    for name, path in paths.items():
        assert path.is_file()
        if name.endswith(".png"):
            assert path.read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(paths)
    shown = capsys.readouterr()
    assert ("the claim holds" in shown.out) is passed
    assert ("the claim does NOT hold" in shown.out) is not passed
    assert "method" in shown.out and "never" in shown.out and "made up" in shown.out
    assert "study-toy.json" in shown.out and "half" in shown.err


@pytest.mark.parametrize("gap", [1.0, -1.0])
def test_too_few_seeds_are_never_a_failed_claim(tmp_path, capsys, gap):
    verdict, paths = reproduce(toy_study(), ToyConfig(seeds=3, gap=gap), out_dir=tmp_path)
    assert verdict.state == "too few seeds to judge"
    record = json.loads(paths["study-toy.json"].read_text())
    assert record["verdict"] == verdict.state and record["passed"] is False
    assert (record["seeds"], record["needs"]) == (3, 8)
    shown = capsys.readouterr().out
    assert "too few seeds to judge (it has 3, the claim needs 8)" in shown
    assert "NOT hold" not in shown and "claim holds" not in shown and "not met" not in shown


def test_a_second_key_accompanies_the_first():
    records = []
    for key in (0, 7):
        config = ToyConfig(root_key=key)
        result = toy_study().run(config, lambda text, share: None)
        record = study_record(toy_study(), config, result, judge(toy_study(), result, config))
        records.append(record | {"seconds": 1.0})
    first, second = records
    both = with_second_key(first, second)
    assert both["second_key"]["root_key"] == 7 and both["second_key"]["passed"] is True
    assert {name: both[name] for name in first} == first
    with pytest.raises(ValueError, match="both runs used root key 0"):
        with_second_key(first, first)
    other = {**second, "config": {**second["config"], "gap": 2.0}}
    with pytest.raises(ValueError, match="other settings"):
        with_second_key(first, other)
    named = {name: value for name, value in first["config"].items() if name != "root_key"}
    once = {**first, "config": {**named, "root_seed": 0}}
    assert with_second_key(once, second)["second_key"] == both["second_key"]
    stored = json.loads(json.dumps(jsonable(both)))
    again = judged_again(toy_study(), stored)
    assert again == stored


def test_a_stored_record_is_judged_by_todays_claim():
    config = ToyConfig()
    result = toy_study().run(config, lambda text, share: None)
    record = study_record(toy_study(), config, result, judge(toy_study(), result, config))
    record = json.loads(json.dumps(jsonable(record | {"seconds": 1.0})))
    strict = toy_study(claims=("It is much better.",), claim=lambda result, config: never(result))
    again = judged_again(strict, record)
    assert (again["passed"], again["missed"]) == (False, ["difference"])
    assert again["claim"] == ["It is much better."] and again["arms"] == record["arms"]
    with pytest.raises(ValueError, match="seeds are stored, 9 needed"):
        judged_again(toy_study(config=ToyConfig(seeds=9)), record)


def never(result):
    seeds = len(result.arms["method"]["score"])
    numbers, asked = {"difference": 0.0}, {"difference": ">= 9"}
    return Verdict(False, numbers, asked, seeds, {}, missed=("difference",))


def test_a_bad_root_key_stops_before_anything_is_run(tmp_path):
    with pytest.raises(InputError, match="root_key"):
        reproduce(toy_study(), ToyConfig(root_key=-1), out_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_quiet_reproduce_prints_nothing(tmp_path, capsys):
    _, paths = reproduce(toy_study(), out_dir=tmp_path, quiet=True)
    shown = capsys.readouterr()
    assert shown.out == shown.err == "" and len(paths) == 3


def test_a_study_that_breaks_leaves_no_result(tmp_path):
    def run(config, report):
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        reproduce(toy_study(run=run), out_dir=tmp_path, quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_breaks_leaves_the_old_one(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")

    def draw(figure):
        raise RuntimeError("no ink")

    with pytest.raises(RuntimeError, match="no ink"):
        save_figure(draw, path)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_override_ignores_none():
    assert override(ToyConfig(), seeds=None, gap=2.0) == ToyConfig(gap=2.0)


def test_a_study_brings_its_commands(monkeypatch, tmp_path, capsys):
    """`train` lists and runs what studies bring; `evaluate` asks whose a run is."""
    from jaxrl_rewards.commands import evaluate, train
    from jaxrl_rewards.studies import registry

    heard = []
    toy = Train(
        command="toy",
        summary="a toy of a policy",
        main=lambda arguments: heard.append(("train", arguments)) or 0,
        owns=lambda folder, stored: stored.get("kind") == "toy",
        evaluate=lambda folder, options: heard.append((folder, options.loud)) or 0,
        ships=True,
        flags=lambda parser: parser.add_argument("--loud", action="store_true"),
    )
    monkeypatch.setattr(registry, "trainings", lambda: {"toy": toy})
    assert train.main(["--help"]) == 0 and "a toy of a policy" in capsys.readouterr().out
    assert train.main(["toy", "--steps", "3"]) == 0
    (tmp_path / "config.json").write_text('{"kind": "toy"}')
    assert evaluate.main([str(tmp_path), "--loud"]) == evaluate.main(["toy"]) == 0
    assert heard == [("train", ["--steps", "3"]), (tmp_path, True), (None, False)]
    (tmp_path / "config.json").write_text('{"kind": "other"')
    with pytest.raises(InputError):
        evaluate.main([str(tmp_path)])


def test_quick_sizes_from_the_command_line_give_way_to_flags(monkeypatch, tmp_path, capsys):
    from jaxrl_rewards.commands import reproduce as command
    from jaxrl_rewards.studies import registry

    module = type(json)("quick_toy_module")
    module.STUDY = toy_study(quick={"seeds": 2, "gap": 3.0})
    monkeypatch.setitem(sys.modules, "quick_toy_module", module)
    monkeypatch.setitem(registry.MODULES, "toy", "quick_toy_module")
    flags = ["--quick", "--gap", "4.0", "--root-key", "6"]
    assert command.main(["toy", *flags, "--out", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "study-toy.json").read_text())
    assert record["config"] == {"seeds": 2, "gap": 4.0, "root_key": 6} and record["root_key"] == 6
    assert record["command"] == "jaxrl-rewards reproduce toy " + " ".join(flags)
    assert "too few seeds to judge" in capsys.readouterr().out
