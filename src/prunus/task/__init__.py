"""What a model is asked to do: texts and labels in, batches and a quality with its error out."""

from prunus.task._locate import resolve
from prunus.task._prepared import Batches, Prepared
from prunus.task._quality import Quality, agreement, assess
from prunus.task._train import train
from prunus.task._training import Training

__all__ = [
    "Batches",
    "Prepared",
    "Quality",
    "Training",
    "agreement",
    "assess",
    "resolve",
    "train",
]
