"""Small decision processes that the tests of explicable design share."""

import numpy as np

from jaxrl_rewards.core.tabular import TabularModel


def random_model(seed: int, states: int = 6, actions: int = 3, discount: float = 0.9):
    """Dense random transitions, one terminal state (the last), rewards in one state."""
    generator = np.random.default_rng(seed)
    transition = generator.dirichlet(np.full(states + 1, 0.4), (states + 1, actions))
    transition[states] = np.eye(states + 1)[states]
    reward = np.zeros((states + 1, actions))
    reward[0] = generator.uniform(1.0, 5.0, actions)
    start = np.append(generator.dirichlet(np.ones(states)), 0.0)
    return TabularModel(
        transition=transition,
        reward=reward,
        start=start,
        terminal=np.arange(states + 1) == states,
        discount=discount,
    )


def line_model(cells: int = 5, noise: float = 0.1, discount: float = 0.9):
    """A line whose right end is rewarded and left: no ties, one goal state."""
    end = cells
    transition = np.zeros((cells + 1, 2, cells + 1))
    for state in range(cells):
        for action, target in enumerate((max(state - 1, 0), state + 1)):
            transition[state, action, target] += 1.0 - noise
            transition[state, 1 - action, target] += noise
    transition[end, :, end] = 1.0
    reward = np.zeros((cells + 1, 2))
    reward[cells - 1, 1] = 10.0
    return TabularModel(
        transition=transition,
        reward=reward,
        start=np.eye(cells + 1)[0],
        terminal=np.arange(cells + 1) == end,
        discount=discount,
        action_names=("left", "right"),
    )
