"""What a run survives: kills at random moments."""
