"""Recorded and generated human motion: one record, its readers, and what is made of it."""
