"""Configuration of the policy that chooses among candidates of read text."""

import dataclasses

from jaxrl_rewards.core.errors import require

REWARDS = ("gaussian", "binary")


@dataclasses.dataclass(frozen=True)
class ChoiceConfig:
    """Every field is a number or name that a command line can set; budgets are steps."""

    seed: int = 0
    """Random seed of parameters, screens, words, mistakes and batches."""
    screens: int = 200
    """Generated screens, read with simulated mistakes."""
    rounds: int = 3
    """Times that a collected page's elements are asked for, each in other words."""
    hidden: int = 48
    """Width of the policy's layers."""
    clone_updates: int = 80
    """Updates of 20 steps each in the cloning phase."""
    noise: float = 0.1
    """Standard deviation of what is added to features in the cloning phase."""
    dropped: float = 0.1
    """Share of the features that are hidden from a step of the cloning phase."""
    weight_decay: float = 0.3
    """Decoupled, in the cloning phase."""
    refine_updates: int = 150
    """GRPO updates after cloning (0: none)."""
    reward: str = "gaussian"
    """Of the refinement: gaussian (point and coverage) or binary (hit)."""
    batch: int = 128
    """Instructions per step of cloning."""
    prompts: int = 128
    """Instructions per GRPO update."""
    group: int = 8
    """Answers per instruction."""
    learning_rate: float = 2e-3
    """Peak step size of the cloning phase; it falls to a tenth."""
    refine_learning_rate: float = 2e-4
    """Step size of the refinement."""
    false_alarms: float = 0.02
    """Share of the validation screens' texts that may be answered "not found"."""

    def __post_init__(self):
        """Check the names and ranges."""
        require(self.reward in REWARDS, f"reward is {self.reward!r}; use one of {REWARDS}")
        for name in ("hidden", "batch", "prompts", "rounds"):
            value = getattr(self, name)
            require(value >= 1, f"{name} is {value}; it must be at least 1")
        for name in ("seed", "screens", "clone_updates", "refine_updates"):
            value = getattr(self, name)
            require(value >= 0, f"{name} is {value}; it must not be negative")
        require(self.group >= 2, f"group is {self.group}; a group needs at least 2 answers")
        for name in ("learning_rate", "refine_learning_rate"):
            value = getattr(self, name)
            require(0 < value < 10, f"{name} is {value}; it must lie between 0 and 10")
        for name in ("false_alarms", "dropped", "noise", "weight_decay"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"{name} is {value}; it must lie between 0 and 1")
