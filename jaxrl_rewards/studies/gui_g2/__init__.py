"""GUI-G²: Gaussian rewards teach where sparse rewards are silent.

A policy that is confidently wrong by a multiple of the element's size is fine-tuned by GRPO with
one of ten rewards. All arms share start, prompts, random numbers and budget; the reward is data,
so arms and seeds are two axes of one compiled program. Source: Tang et al., 2025, arXiv 2507.15846.
"""
