"""Rewards from annotated messages (ONI): a sparse task in a text world, solved by asking online.

Source: Zheng et al., "Online Intrinsic Rewards for Decision Making Agents from Large Language
Model Feedback", 2024, arXiv 2410.23022. Four rooms with keys and doors, reward only at the stairs;
a scripted annotator labels four texts per update, which arrive two updates later.
"""
