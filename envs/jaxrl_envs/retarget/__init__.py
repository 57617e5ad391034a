"""A physics-based avatar that follows a headset and two controllers."""
