"""Values of steps from answers alone steer a search and choose what the policy is trained on.

Source: Zhang et al., "ReST-MCTS*: LLM Self-Training via Process Reward Guided Tree Search",
NeurIPS 2024 (arXiv 2406.03816).
"""
