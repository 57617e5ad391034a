"""Step scores added to the outcome are piled up by repetition, unless they are clipped and differ.

Source: Gao et al., "On Designing Effective RL Reward at Training Time for LLM Reasoning", 2024
(arXiv 2410.15115).
"""
