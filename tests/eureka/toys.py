"""A search without training: fitness is a function of the program."""

import numpy as np

from jaxrl_rewards.core.quantities import Quantity
from jaxrl_rewards.reward_design.eureka.trainer import Runs
from jaxrl_rewards.reward_design.programs.slots import slots_of

QUANTITIES = {
    "near": Quantity((), "m", 2.0, -1, "Distance to the goal."),
    "fast": Quantity((), "m/s", 1.0, 1, "Speed."),
    "noise": Quantity((), "", 1.0, 0, "Means nothing."),
}
UPDATES = 5


def toy_fitness(program):
    """More for a negative weight on `near`, less for `noise`; in [0, 1]."""
    score = 0.2
    for slot in slots_of(program) or ():
        score += 0.5 * (slot.quantity == "near" and slot.weight < 0 and slot.shape == "identity")
        score += 0.2 * (slot.quantity == "fast" and slot.weight > 0)
        score -= 0.2 * (slot.quantity == "noise")
    return float(np.clip(score, 0.0, 1.0))


def toy_runs(candidates, seeds, fitness=toy_fitness, terms=None):
    """Runs as a trainer gives them, `seeds` per candidate."""
    values = np.repeat([fitness(c.program) for c in candidates], seeds).astype(float)
    shape = (len(values), UPDATES)
    if terms is None:
        terms = np.broadcast_to(np.linspace(0.1, 1.0, UPDATES)[None, :, None], (*shape, 12))
    return Runs(
        fitness=values,
        success=np.broadcast_to(values[:, None], shape),
        reward=np.zeros(shape),
        terms=terms,
    )


def toy_search(search, generations, fitness=toy_fitness):
    """Run generations with the toy fitness."""
    for _ in range(generations):
        waiting = search.propose()
        if waiting:
            search.absorb(waiting, toy_runs(waiting, search.config.seeds, fitness))
        else:
            search.close_generation()
    return search
