"""Labels for messages, gathered beside a learner that does not wait for them."""

from jaxrl_rewards.train.annotation.annotators import (
    Annotation,
    Annotator,
    ChatAnnotator,
    ReplayAnnotator,
    ScriptedAnnotator,
)
from jaxrl_rewards.train.annotation.labels import Label, LabelFile, read_labels
from jaxrl_rewards.train.annotation.online import (
    LearntLabels,
    OnlineLabels,
    PreferredLabels,
    TemplateLabels,
    scripted_labels,
)
from jaxrl_rewards.train.annotation.prompts import Judge
from jaxrl_rewards.train.annotation.service import AnnotationService, AnnotationSettings
from jaxrl_rewards.train.annotation.table import LabelTable

__all__ = [
    "Annotation",
    "AnnotationService",
    "AnnotationSettings",
    "Annotator",
    "ChatAnnotator",
    "Judge",
    "Label",
    "LabelFile",
    "LabelTable",
    "LearntLabels",
    "OnlineLabels",
    "PreferredLabels",
    "ReplayAnnotator",
    "ScriptedAnnotator",
    "TemplateLabels",
    "read_labels",
    "scripted_labels",
]
