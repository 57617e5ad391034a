"""Exploration-guided reward shaping: a bonus finds the reward, a learnt reward holds on to it.

Source: Devidze, Kamalaruban, Singla, "Exploration-Guided Reward Shaping for Reinforcement Learning
under Sparse Rewards", NeurIPS 2022.
"""
