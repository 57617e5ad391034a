"""Checks for users' own tests."""
