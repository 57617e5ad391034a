"""Searching reward programs: propose, train, reflect, repeat (Ma et al. 2023, arXiv 2310.12931)."""
