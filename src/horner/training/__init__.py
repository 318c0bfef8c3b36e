"""One trainer for dense, approximated and quantisation-aware models, and what measures them."""

from horner.errors import InterruptedTrainingError
from horner.training.config import TrainConfig
from horner.training.distillation import Panel, distillation_loss
from horner.training.evaluate import evaluate, predict
from horner.training.loop import train
from horner.training.optimizer import parameter_groups
from horner.training.recipes import recipe
from horner.training.result import Epoch, TrainResult

__all__ = [
    "Epoch",
    "InterruptedTrainingError",
    "Panel",
    "TrainConfig",
    "TrainResult",
    "distillation_loss",
    "evaluate",
    "parameter_groups",
    "predict",
    "recipe",
    "train",
]
