"""Exact values of finite decision processes, and the policy that a design must keep optimal."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.tabular import TabularModel, continuing_transition

TIE = 1e-8
"""Actions whose value is this close to the best, relative to `reach`, are optimal."""
ROUNDING = 1e-12
"""Improvements below this, relative to `reach`, are rounding errors."""
UNSEEN = 1e-20
"""Scales are at least this share of the largest: `TIE` of it is above what rounding leaves of 0."""
MOST_ROUNDS = 10_000


def optimal_values(
    transition: np.ndarray,
    reward: np.ndarray,
    discount: float,
    terminal: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """`(Q*, V*)`, float64 `[S, A]` and `[S]`, by policy iteration.

    Episodes end in `terminal` states (bool `[S]`): their values are 0 whatever the reward says
    there. InputError for a discount outside [0, 1).
    """
    transition, reward = with_ends(transition, reward, terminal)
    return _iterate(transition, reward, discount, reach(transition, reward, discount))


def reach(transition: np.ndarray, reward: np.ndarray, discount: float) -> np.ndarray:
    """The largest discounted sum of `|reward|` from each state, `[S]`: the scale of its values.

    Far from a reward it is small, and so are the differences that matter there; but at least
    `UNSEEN` of the largest, for where no reward can be reached rounding leaves more than nothing.
    """
    check_discount(discount)
    found = _iterate(transition, np.abs(reward), discount, None)[1]
    return found + UNSEEN * found.max(initial=0.0)


def with_ends(
    transition: np.ndarray, reward: np.ndarray, terminal: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Transitions and reward where episodes end: 0 in terminal states, and into them."""
    if terminal is None:
        return transition, reward
    return continuing_transition(transition, terminal), np.where(terminal[:, None], 0.0, reward)


def _iterate(
    transition: np.ndarray, reward: np.ndarray, discount: float, scale: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Policy iteration; `scale` `[S]` is what rounding errors are measured by, None for `|Q|`."""
    states = np.arange(len(transition))
    actions = np.argmax(reward, axis=1)
    for _ in range(MOST_ROUNDS):
        values = _solve(transition[states, actions], reward[states, actions], discount)
        q_values = reward + discount * transition @ values
        best = np.argmax(q_values, axis=1)
        gain = q_values[states, best] - q_values[states, actions]
        room = np.abs(q_values).max(axis=1) if scale is None else scale
        better = gain > ROUNDING * room
        if not np.any(better):
            break
        actions = np.where(better, best, actions)
    return q_values, q_values[states, best]


def policy_values(
    transition: np.ndarray,
    reward: np.ndarray,
    discount: float,
    policy: np.ndarray,
    terminal: np.ndarray | None = None,
) -> np.ndarray:
    """`V^π`, float64 `[..., S]`, of policies `[..., S, A]` with any leading axes.

    0 in `terminal` states (bool `[S]`), where episodes end. InputError for a discount outside
    [0, 1).
    """
    check_discount(discount)
    transition, reward = with_ends(transition, reward, terminal)
    policy = np.asarray(policy, np.float64)
    step = np.einsum("...sa,saz->...sz", policy, transition)
    return _solve(step, np.sum(policy * reward, axis=-1), discount)


def share_of_optimal(model: TabularModel, policy: np.ndarray) -> np.ndarray:
    """Value of policies `[..., S, A]` at the start, as a share of the optimal value; `[...]`.

    Equal policies are evaluated once. InputError where the optimal value is not positive.
    """
    _, best = optimal_values(model.transition, model.reward, model.discount, model.terminal)
    optimum = float(model.start @ best)
    if optimum <= 0.0:
        raise InputError(
            f"{model.name}: the optimal value at the start is {optimum:.3g}; a share needs it "
            "positive"
        )
    policy = np.asarray(policy, np.float64)
    flat = policy.reshape(-1, model.num_states * model.num_actions)
    unique, place = np.unique(flat, axis=0, return_inverse=True)
    values = np.concatenate(
        [
            policy_values(
                model.transition,
                model.reward,
                model.discount,
                part.reshape(-1, model.num_states, model.num_actions),
                model.terminal,
            )
            for part in np.array_split(unique, -(-len(unique) // 256))
        ]
    )
    return (values @ model.start / optimum)[place.reshape(-1)].reshape(policy.shape[:-2])


@dataclasses.dataclass(frozen=True, eq=False)
class Target:
    """The policy that must stay optimal, and by how much."""

    actions: np.ndarray
    """π*(s), int `[S]`; the first of several optimal actions."""
    optimal: np.ndarray
    """All optimal actions, bool `[S, A]`: their gap is not asked for."""
    margins: np.ndarray
    """δ_s, float64 `[S]`: the smallest gap to an action that is not optimal, 0 if all are."""
    q_values: np.ndarray
    """`[S, A]`."""
    values: np.ndarray
    """`[S]`."""

    @property
    def advantages(self) -> np.ndarray:
        """`Q*(s, a) − V*(s)`, at most 0; `[S, A]`."""
        return self.q_values - self.values[:, None]

    def softened(self, epsilon: float) -> np.ndarray:
        """π* with a uniformly random action with probability `epsilon`; `[S, A]`."""
        if not 0.0 <= epsilon <= 1.0:
            raise InputError(f"epsilon must lie in [0, 1], got {epsilon}")
        states, actions = self.optimal.shape
        return (1.0 - epsilon) * np.eye(actions)[self.actions] + epsilon / actions


def target_of(model: TabularModel) -> Target:
    """The optimal policy of a model under its own reward, with ties listed.

    Every action counts as optimal in a terminal state: the episode is over there.
    """
    q_values, values = optimal_values(
        model.transition, model.reward, model.discount, model.terminal
    )
    gap = values[:, None] - q_values
    scale = reach(model.continuing, model.reward, model.discount)
    optimal = gap <= TIE * scale[:, None]
    smallest = np.min(np.where(optimal, np.inf, gap), axis=1)
    return Target(
        actions=np.argmax(optimal, axis=1),
        optimal=optimal,
        margins=np.where(np.isfinite(smallest), smallest, 0.0),
        q_values=q_values,
        values=values,
    )


def check_discount(discount: float) -> None:
    """InputError unless γ lies in [0, 1)."""
    if not 0.0 <= discount < 1.0:
        raise InputError(f"the discount must lie in [0, 1), got {discount}")


def _solve(step: np.ndarray, reward: np.ndarray, discount: float) -> np.ndarray:
    system = np.eye(step.shape[-1]) - discount * step
    values = np.linalg.solve(system, reward[..., None])
    # one step of refinement: small values far from any reward become exact, too
    return (values + np.linalg.solve(system, reward[..., None] - system @ values))[..., 0]
