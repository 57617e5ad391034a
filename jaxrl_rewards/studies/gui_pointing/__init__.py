"""A policy that reads real screenshots and points: training, evaluation, refinement.

results = train(PointingConfig(seed=0), "runs/gui")
results = evaluate(None, "folder in a ScreenSpot layout", "runs/gui-evaluation")
x, y, mass = point(load_checkpoint().params, image, "Submit")
"""

from jaxrl_rewards.studies.gui_pointing.checkpoint import load_checkpoint, save_checkpoint
from jaxrl_rewards.studies.gui_pointing.config import PointingConfig
from jaxrl_rewards.studies.gui_pointing.evaluation import evaluate, table_text
from jaxrl_rewards.studies.gui_pointing.predict import point, predict_image
from jaxrl_rewards.studies.gui_pointing.pretraining import pretrain
from jaxrl_rewards.studies.gui_pointing.refinement import RefineConfig, refine_policy
from jaxrl_rewards.studies.gui_pointing.training import train

__all__ = [
    "PointingConfig",
    "RefineConfig",
    "evaluate",
    "load_checkpoint",
    "point",
    "predict_image",
    "pretrain",
    "refine_policy",
    "save_checkpoint",
    "table_text",
    "train",
]
