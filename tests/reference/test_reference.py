"""Every reference vector against our functions; `--reference-dir` adds folders of further files."""

import json
from pathlib import Path

import pytest

from tests.reference.report import report, write_report
from tests.reference.vectors import DATA, RELATIVE, Case, compare, read_cases, run_case


def pytest_generate_tests(metafunc):
    if "vector" not in metafunc.fixturenames:
        return
    folders = [DATA, *map(Path, metafunc.config.getoption("--reference-dir"))]
    values, names = [], []
    for number, folder in enumerate(folders):
        files = sorted(folder.glob("*.json"))
        if not files:
            values.append(ValueError(f"{folder} holds no reference file (*.json)"))
            names.append(f"{number}-nothing")
        for file in files:
            try:
                cases = read_cases(file)
            except ValueError as error:
                values.append(error)
                names.append(f"{number}-{file.stem}")
                continue
            values.extend(cases)
            names.extend(case.name if number == 0 else f"{number}-{case.name}" for case in cases)
    metafunc.parametrize("vector", values, ids=names)


def test_vector(vector):
    if isinstance(vector, Exception):
        pytest.fail(str(vector))
    try:
        actual = run_case(vector)
    except LookupError as error:
        pytest.fail(str(error))
    _, complaints = compare(actual, vector.expected)
    assert not complaints, "; ".join(complaints)


def _case(**changes) -> Case:
    values = dict(system="gui_g2", file=Path("x.json"), index=0, function="f", inputs={})
    return Case(**{**values, "expected": 1.0, **changes})


def test_a_function_without_an_adapter_is_refused():
    with pytest.raises(LookupError, match="'no_such_function' has no adapter"):
        run_case(_case(function="no_such_function"))


@pytest.mark.parametrize("system", ["no_such_system", "../evil", "a.b"])
def test_a_system_without_adapters_is_refused(system):
    with pytest.raises(LookupError, match="has no module"):
        run_case(_case(system=system))


@pytest.mark.parametrize(
    ("actual", "expected", "good"),
    [
        (1.0 + 0.9e-5, 1.0, True),
        (1.0 + 1.2e-5, 1.0, False),
        (0.9e-6, 0.0, True),
        (1.2e-6, 0.0, False),
        (float("nan"), 0.0, False),
        (float("nan"), "nan", True),
        (1.0, "nan", False),
        (float("inf"), "inf", True),
        (float("-inf"), "inf", False),
        ([1.0, 2.0], [1.0, 2.0], True),
        ([1.0], [1.0, 2.0], False),
        ([[1.0], [1.0, 2.0]], [[1.0], [1.0, 2.0]], True),
        ({"a": 1.0, "b": 2.0}, {"a": 1.0}, True),
        ({"b": 2.0}, {"a": 1.0}, False),
        ({"a": {"c": 2.0}}, {"a": {"c": 2.5}}, False),
        ("yes", "yes", True),
        ("no", "yes", False),
        (None, None, True),
        (0.0, None, False),
    ],
)
def test_the_comparison(actual, expected, good):
    error, complaints = compare(actual, expected)
    assert (not complaints) == good
    assert (error <= RELATIVE) == good


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cases": 3}', '{"cases": [{"function": "f"}]}'])
def test_a_broken_file_is_named(tmp_path, text):
    file = tmp_path / "broken.json"
    file.write_text(text)
    with pytest.raises(ValueError, match="broken.json"):
        read_cases(file)


def test_the_report_counts_failures(tmp_path):
    content = {
        "system": "grpo_ppo_core",
        "cases": [
            {
                "function": "kl",
                "inputs": {"logprob": [-1.0], "ref_logprob": [-2.0], "estimator": "k1"},
                "expected": {"kl": [value]},
            }
            for value in (1.0, 2.0)
        ]
        + [{"function": "unknown", "inputs": {}, "expected": {}}],
    }
    (tmp_path / "grpo_ppo_core.json").write_text(json.dumps(content))
    rows = report([tmp_path])
    assert [(row["system"], row["cases"], row["passed"]) for row in rows] == [
        ("grpo_ppo_core", 3, 1)
    ]
    assert len(rows[0]["failures"]) == 2
    out = tmp_path / "out" / "parity-reference.json"
    write_report(rows, out, command="x")
    saved = json.loads(out.read_text())
    assert saved["name"] == "reference" and saved["rows"][0]["cases"] == 3
