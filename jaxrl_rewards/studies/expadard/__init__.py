"""Learner-adaptive reward design: the reward follows what the learner does now.

Source: Devidze, Kamalaruban, Singla, "Informativeness of Reward Functions in Reinforcement
Learning", AAMAS 2024, arXiv 2402.07019.
"""
