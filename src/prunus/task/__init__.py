"""What a model is asked to do: texts and answers in, batches and a quality with its error out."""

from prunus.task._changes import Change, Changes
from prunus.task._confidence import Recall, calibration_error
from prunus.task._history import History, Point
from prunus.task._locate import resolve
from prunus.task._prepared import Batches, Prepared
from prunus.task._quality import Difference, Quality, agreement, assess, difference
from prunus.task._task import Task
from prunus.task._train import train
from prunus.task._training import Training

__all__ = [
    "Batches",
    "Change",
    "Changes",
    "Difference",
    "History",
    "Point",
    "Prepared",
    "Quality",
    "Recall",
    "Task",
    "Training",
    "agreement",
    "assess",
    "calibration_error",
    "difference",
    "resolve",
    "train",
]
