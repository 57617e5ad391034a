"""BARFI: learning how much to trust an auxiliary reward, by differentiating through training.

A policy walks a continuous square. One auxiliary reward misleads it into a bonus box, another
helps; the reward that it is trained on, and its discount, are tuned so that the trained policy does
well under the primary reward. Source: Gupta et al., NeurIPS 2023, arXiv 2310.19007.
"""
