"""Recipes: YAML files that say which parts run on which model and task.

Reading one imports neither torch nor transformers; :mod:`prunus.recipe.run` carries it out.
"""

from prunus.recipe._model import (
    Calibration,
    Evaluation,
    Grid,
    Latency,
    Recipe,
    TrainRecipe,
    Vocabulary,
)
from prunus.recipe._read import read, read_task, read_training
from prunus.recipe._shipped import MAIN, find, label, shipped

__all__ = [
    "MAIN",
    "Calibration",
    "Evaluation",
    "Grid",
    "Latency",
    "Recipe",
    "TrainRecipe",
    "Vocabulary",
    "find",
    "label",
    "read",
    "read_task",
    "read_training",
    "shipped",
]
