"""Optimising the reward itself: bi-level, explicable, adaptive, and by searching programs."""
