"""Configuration of the reading-and-pointing policy: pre-training and refinement, in steps."""

import dataclasses

from jaxrl_rewards.core.errors import require
from jaxrl_rewards.networks.reader import ReaderConfig


@dataclasses.dataclass(frozen=True)
class PointingConfig:
    """Every field is a number that a command line can set; budgets are steps, never minutes."""

    seed: int = 0
    """Random seed of parameters, screens, words and batches."""
    screens: int = 2500
    """Generated screens for the pointing phase."""
    patches: int = 3000
    """Generated patches of dense text for the reading phase."""
    read_steps: int = 400
    """Steps of the reading phase (character cross-entropy on patches)."""
    point_steps: int = 230
    """Steps of the pointing phase (log mass in the box, and characters, on screens)."""
    patch_batch: int = 40
    """Patches per step of the reading phase."""
    batch: int = 8
    """Screens per step of the pointing phase."""
    instructions: int = 4
    """Instructions per screen and step."""
    learning_rate: float = 0.05
    """Peak step of the kernels (a tenth for all else); 30 steps up, then half a cosine down."""
    blank_weight: float = 0.25
    """Weight of cells without text in the character loss."""
    refine_updates: int = 0
    """GRPO updates with the Gaussian reward after pre-training (0: none)."""
    refine_learning_rate: float = 3e-4
    """Adam's step size in the refinement."""
    system_fonts: bool = True
    """Use the machine's text fonts beside matplotlib's DejaVu."""
    report_every: int = 100
    """Steps between measurements on held-out generated screens."""

    def __post_init__(self):
        """Check the ranges."""
        for name in ("screens", "patches", "patch_batch", "batch", "instructions", "report_every"):
            value = getattr(self, name)
            require(value >= 1, f"{name} is {value}; it must be at least 1")
        for name in ("seed", "read_steps", "point_steps", "refine_updates"):
            value = getattr(self, name)
            require(value >= 0, f"{name} is {value}; it must not be negative")
        for name in ("learning_rate", "refine_learning_rate", "blank_weight"):
            value = getattr(self, name)
            require(0 < value < 10, f"{name} is {value}; it must lie between 0 and 10")

    @property
    def reader(self) -> ReaderConfig:
        """The network's static sizes."""
        return ReaderConfig()
