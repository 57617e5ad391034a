"""Token rewards from a model that is trained on outcomes alone, beside the policy.

Source: Cui, Yuan, Wang et al., "Process Reinforcement through Implicit Rewards", 2025 (arXiv
2502.01456).
"""
