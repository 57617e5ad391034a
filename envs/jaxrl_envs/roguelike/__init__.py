"""A roguelike with rooms, keys, doors, monsters, gold and stairs that speaks in messages."""

from jaxrl_envs.roguelike.dungeon import Dungeon, DungeonPlan, generate
from jaxrl_envs.roguelike.env import Roguelike, RoguelikeParams, RoguelikeState

__all__ = ["Dungeon", "DungeonPlan", "Roguelike", "RoguelikeParams", "RoguelikeState", "generate"]
