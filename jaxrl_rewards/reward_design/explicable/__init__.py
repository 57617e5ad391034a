"""Rewards designed by a teacher that knows the model: explicable, adaptive; and without one."""

from jaxrl_rewards.reward_design.explicable.adaptive import AdaptiveTeacher
from jaxrl_rewards.reward_design.explicable.design_files import (
    draw_design,
    read_design_csv,
    write_design_csv,
)
from jaxrl_rewards.reward_design.explicable.exploration import (
    Shaping,
    ShapingSettings,
    exploration_bonus,
    selfrs_update,
    shaped_learning,
    shaping_settings,
)
from jaxrl_rewards.reward_design.explicable.gaps import (
    finite_gap_matrices,
    gap_matrix,
    policy_matrices,
)
from jaxrl_rewards.reward_design.explicable.greedy import select_states
from jaxrl_rewards.reward_design.explicable.informativeness import (
    adaptive_weights,
    finite_gaps,
    informativeness_adaptive,
    informativeness_exprd,
    potential_shaped_reward,
    state_visitation,
)
from jaxrl_rewards.reward_design.explicable.planning import (
    Target,
    optimal_values,
    policy_values,
    share_of_optimal,
    target_of,
)
from jaxrl_rewards.reward_design.explicable.programme import (
    Design,
    DesignProblem,
    solve_explicable,
    solve_linear,
)
from jaxrl_rewards.reward_design.explicable.tabular_learning import (
    Episode,
    ReinforceState,
    Sampler,
    discounted_returns,
    greedy_policy,
    make_sampler,
    play,
    q_learning,
    reinforce_chunk,
    reinforce_start,
    reinforce_tabular_update,
    softmax_policy,
)
from jaxrl_rewards.reward_design.explicable.teaching import teach
from jaxrl_rewards.reward_design.explicable.verdict import Verdict, check_design

__all__ = [
    "AdaptiveTeacher",
    "Design",
    "DesignProblem",
    "Episode",
    "ReinforceState",
    "Sampler",
    "Shaping",
    "ShapingSettings",
    "Target",
    "Verdict",
    "adaptive_weights",
    "check_design",
    "discounted_returns",
    "draw_design",
    "exploration_bonus",
    "finite_gap_matrices",
    "finite_gaps",
    "gap_matrix",
    "greedy_policy",
    "informativeness_adaptive",
    "informativeness_exprd",
    "make_sampler",
    "optimal_values",
    "play",
    "policy_matrices",
    "policy_values",
    "potential_shaped_reward",
    "q_learning",
    "read_design_csv",
    "reinforce_chunk",
    "reinforce_start",
    "reinforce_tabular_update",
    "select_states",
    "selfrs_update",
    "shaped_learning",
    "shaping_settings",
    "share_of_optimal",
    "softmax_policy",
    "solve_explicable",
    "solve_linear",
    "state_visitation",
    "target_of",
    "teach",
    "write_design_csv",
]
