"""Learnt rewards: heads, objectives and the models of text messages."""
