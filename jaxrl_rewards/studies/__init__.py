"""Published claims as executable studies: arms, seeds, intervals and a verdict."""

from jaxrl_rewards.studies.api import (
    Study,
    StudyResult,
    Train,
    Verdict,
    bootstrap_interval,
    difference_interval,
)
from jaxrl_rewards.studies.registry import get, slugs

__all__ = [
    "Study",
    "StudyResult",
    "Train",
    "Verdict",
    "bootstrap_interval",
    "difference_interval",
    "get",
    "slugs",
]
