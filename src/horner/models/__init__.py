"""The networks of the papers, models of the user's own, and files of trained ones."""

from horner.models.files import ModelInfo, load, save
from horner.models.registry import build, names

__all__ = ["ModelInfo", "build", "load", "names", "save"]
