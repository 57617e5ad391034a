"""What studies have in common: claims, arms, intervals, panels, workers, sizes."""
