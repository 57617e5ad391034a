"""A policy that reads real screenshots and points: training, evaluation, refinement.

results = train(PointingConfig(seed=0), "runs/gui")
results = evaluate(None, "folder in a ScreenSpot layout", "runs/gui-evaluation")
x, y, mass = point(load_checkpoint().params, image, "Submit")
"""

from jaxrl_rewards.studies.gui_g2.train.checkpoint import load_checkpoint, save_checkpoint
from jaxrl_rewards.studies.gui_g2.train.config import PointingConfig
from jaxrl_rewards.studies.gui_g2.train.evaluation import evaluate, table_text
from jaxrl_rewards.studies.gui_g2.train.predict import point, predict_image
from jaxrl_rewards.studies.gui_g2.train.pretraining import pretrain
from jaxrl_rewards.studies.gui_g2.train.refinement import RefineConfig, refine_policy
from jaxrl_rewards.studies.gui_g2.train.training import train

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
