"""The searches and the rewards by people that the study compares."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrl_rewards.reward_design.eureka.lockstep import Sizes
from jaxrl_rewards.reward_design.eureka.offline import EvolutionProposer, RandomProposer
from jaxrl_rewards.studies.shared.arms import per_seed

EUREKA, RANDOM = "eureka offline", "random search"
SPARSE, NAIVE, EXPERT = "sparse", "naive human", "expert human"


@dataclasses.dataclass(frozen=True)
class SearchArm:
    """A way to search."""

    proposer: str
    """random or evolution."""
    guided: bool = True
    """Whether reflection chooses what is mutated."""
    diverse: bool = False
    """Whether parents must differ in the quantities they read."""
    racing: bool = False
    """Successive halving over training seeds: many candidates once, the best again and again."""

    def proposers(self, root_key: int, sizes: Sizes) -> list[RandomProposer]:
        """One proposer with its own random numbers per search."""
        seeds = range(root_key + 1, root_key + 1 + sizes.search_seeds)
        if self.proposer == "random":
            return [RandomProposer(seed) for seed in seeds]
        return [EvolutionProposer(seed, guided=self.guided, diverse=self.diverse) for seed in seeds]


ARMS: dict[str, SearchArm] = {
    EUREKA: SearchArm("evolution"),
    RANDOM: SearchArm("random"),
    "eureka, blind mutation": SearchArm("evolution", guided=False),
    "eureka, racing and diversity": SearchArm("evolution", diverse=True, racing=True),
    "random search, racing": SearchArm("random", racing=True),
}
MAIN_ARMS = (EUREKA, RANDOM)


def trained_anew(fitness: np.ndarray) -> dict[str, list[float]]:
    """Per search seed, mean and deviation of the success of trainings `[search seeds, F]`.

    The deviation is the learner's own seed noise: differences between rewards drown in it unless
    enough trainings are averaged.
    """
    noise = fitness.std(axis=1, ddof=1) if fitness.shape[1] > 1 else np.zeros(len(fitness))
    return per_seed({"success": fitness.mean(axis=1), "seed_noise": noise})
