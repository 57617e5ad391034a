"""Explicable reward design: a reward in few states teaches faster than the task's own.

Source: Devidze et al., "Explicable Reward Design for Reinforcement Learning Agents", NeurIPS 2021.
"""
