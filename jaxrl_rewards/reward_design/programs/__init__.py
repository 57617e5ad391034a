"""Reward programs: a small typed language over a world's named quantities, compiled to JAX."""
