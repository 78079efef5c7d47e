"""What a model is asked to do: texts and answers in, batches and a quality with its error out."""

from prunus.task._locate import resolve
from prunus.task._prepared import Batches, Prepared
from prunus.task._quality import Quality, agreement, assess
from prunus.task._task import Task
from prunus.task._train import train
from prunus.task._training import Training

__all__ = [
    "Batches",
    "Prepared",
    "Quality",
    "Task",
    "Training",
    "agreement",
    "assess",
    "resolve",
    "train",
]
