"""The studies, found by folder: each `studies/<slug>/` that holds a `study.py`."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.studies.api import Study, Train

HERE = Path(__file__).resolve().parent
PACKAGE = "jaxrl_rewards.studies"


def _found() -> dict[str, str]:
    """The module with `STUDY` of every slug."""
    folders = {path.parent.name: f"{path.parent.name}.study" for path in HERE.glob("*/study.py")}
    flat = {  # not yet moved into folders
        path.stem: path.stem
        for path in HERE.glob("*.py")
        if "\nSTUDY = Study(" in path.read_text(encoding="utf-8")
    }
    return {slug: f"{PACKAGE}.{module}" for slug, module in sorted((flat | folders).items())}


MODULES: dict[str, str] = _found()


def slugs() -> tuple[str, ...]:
    """All slugs, sorted."""
    return tuple(sorted(MODULES))


def get(slug: str) -> Study:
    """The study called `slug`; InputError lists close matches for an unknown one."""
    if slug not in MODULES:
        close = difflib.get_close_matches(slug, MODULES, n=3, cutoff=0.3) or slugs()
        raise InputError(f"there is no study {slug!r}; did you mean {', '.join(close)}?")
    return importlib.import_module(MODULES[slug]).STUDY


def trainings() -> dict[str, Train]:
    """What studies add to `train` and `evaluate`, by command; only their `train` is imported."""
    found = {}
    for path in sorted(HERE.glob("*/train.py")) + sorted(HERE.glob("*/train/__init__.py")):
        module = ".".join(path.relative_to(HERE).with_suffix("").parts).removesuffix(".__init__")
        train = importlib.import_module(f"{PACKAGE}.{module}").TRAIN
        if train.command in found:
            raise ValueError(f"two studies train {train.command!r}; rename one of them")
        found[train.command] = train
    return dict(sorted(found.items()))
