"""Benchmarks against peers and physical limits, and the tables made from their results."""
