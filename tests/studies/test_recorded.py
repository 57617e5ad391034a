"""What is on file, judged again by today's claims, and what every study must bring."""

import ast
import dataclasses
import json
import tokenize

import numpy as np
import pytest

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.studies import get, slugs
from jaxrl_rewards.studies.api import judge
from jaxrl_rewards.studies.registry import HERE, trainings
from jaxrl_rewards.studies.reproduce import result_of
from jaxrl_rewards.studies.shared.sizes import changed, root_key

LONGEST, MEAN = 350, 250


@pytest.mark.parametrize("slug", slugs())
def test_recorded_arms_give_the_recorded_verdict(slug, repository):
    """Same lines, same numbers, same verdict; nothing is trained."""
    path = repository / "benchmarks" / "results" / "cpu-2core" / f"study-{slug}.json"
    record, study = json.loads(path.read_text()), get(slug)
    verdict = judge(study, result_of(record), study.config)
    assert list(verdict.measured) == list(record["measured"])
    for name, value in record["measured"].items():
        np.testing.assert_allclose(verdict.measured[name], value, rtol=1e-9, err_msg=name)
    assert set(verdict.required) == set(record["required"])
    assert verdict.passed is record["passed"] and verdict.seeds == record["seeds"]
    assert (verdict.state == "holds") is record["passed"]


@pytest.mark.parametrize("slug", slugs())
def test_every_study_has_a_root_key_and_enough_seeds(slug):
    study = get(slug)
    assert root_key(study.config) >= 0
    assert root_key(dataclasses.replace(study.config, root_key=5)) == 5
    default = getattr(study.config, "search_seeds", study.config.seeds)
    assert default >= study.needs
    assert changed(study.config, dict(study.quick)) is not None
    hash(study)


@pytest.mark.parametrize("value", [-1, 1.5, 2**40, None])
def test_a_bad_root_key_is_refused(value):
    config = dataclasses.make_dataclass("C", [("root_key", object, value)])()
    with pytest.raises(InputError, match="root_key must be a whole number"):
        root_key(config)


def code_lines(path) -> int:
    """Lines of a file that hold code: no docstrings, comments or blank lines."""
    text = path.read_text(encoding="utf-8")
    doc = set()
    for node in ast.walk(ast.parse(text)):
        constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if constant and isinstance(node.value.value, str):
            doc |= set(range(node.lineno, node.end_lineno + 1))
    with path.open("rb") as file:
        held = set()
        for token in tokenize.tokenize(file.readline):
            if token.type not in SKIPPED:
                held |= set(range(token.start[0], token.end[0] + 1))
    return len(held - doc)


SKIPPED = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENCODING, tokenize.ENDMARKER,
}  # fmt: skip


def test_studies_are_short():
    """The miniature counts, its product (`train`) does not."""
    folders = {path.parent.name: path.parent for path in HERE.glob("*/study.py")}
    sizes = {
        slug: sum(code_lines(path) for path in folder.glob("*.py") if path.stem != "train")
        for slug, folder in folders.items()
    }
    assert max(sizes.values()) <= LONGEST, sizes
    assert np.mean(list(sizes.values())) <= MEAN, sizes


def test_trainings_are_those_of_the_studies():
    of_studies = [get(slug).train for slug in slugs()]
    assert sorted(train.command for train in of_studies if train) == list(trainings())
    assert all(train is trainings()[train.command] for train in of_studies if train)
