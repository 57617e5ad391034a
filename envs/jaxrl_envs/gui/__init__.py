"""GUI grounding: screens, instructions, and where to point."""
