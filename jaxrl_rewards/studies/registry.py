"""The published systems that have a study here, by slug."""

from __future__ import annotations

import difflib
import importlib

from jaxrl_rewards.core import InputError
from jaxrl_rewards.studies.api import Study

MODULES: dict[str, str] = {
    "barfi": "jaxrl_rewards.studies.barfi",
    "eureka": "jaxrl_rewards.studies.eureka",
    "expadard": "jaxrl_rewards.studies.expadard",
    "explors": "jaxrl_rewards.studies.explors",
    "exprd": "jaxrl_rewards.studies.exprd",
    "grpo_ppo_core": "jaxrl_rewards.studies.grpo_ppo_core",
    "gui_g2": "jaxrl_rewards.studies.gui_g2",
    "oni": "jaxrl_rewards.studies.oni",
    "sparse_retargeting": "jaxrl_rewards.studies.sparse_retargeting",
}


def slugs() -> tuple[str, ...]:
    """All slugs, sorted."""
    return tuple(sorted(MODULES))


def get(slug: str) -> Study:
    """The study called `slug`; InputError lists close matches for an unknown one."""
    if slug not in MODULES:
        close = difflib.get_close_matches(slug, MODULES, n=3, cutoff=0.3) or slugs()
        raise InputError(f"there is no study {slug!r}; did you mean {', '.join(close)}?")
    return importlib.import_module(MODULES[slug]).STUDY
