"""A step is rewarded for what it changes in another policy's chance of success.

Source: Setlur et al., "Rewarding Progress: Scaling Automated Process Verifiers for LLM Reasoning",
ICLR 2025 (arXiv 2410.08146).
"""
