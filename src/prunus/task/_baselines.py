"""What a network must beat: the most frequent answer, and a linear model on words."""

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor

from prunus.task._classified import Split
from prunus.task._metrics import CLASSES, NUMBERS


def baselines(train: Split, test: Split, metric: str, regression: bool) -> dict[str, float]:
    """``majority`` and ``bag_of_words`` on ``test``, learnt from ``train``, in percent.

    Args:
        train: texts and labels to learn from.
        test: texts and labels to be judged on.
        metric: the metric's name.
        regression: labels are numbers: the mean stands for the majority, ridge for logistic
            regression.
    """
    score = (CLASSES | NUMBERS)[metric]
    constant = train.labels.mean() if regression else train.labels.mode().values
    return {
        "majority": score(constant.expand_as(test.labels), test.labels),
        "bag_of_words": score(_bag_of_words(train, test, regression), test.labels),
    }


def _bag_of_words(train: Split, test: Split, regression: bool) -> Tensor:
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model = Ridge() if regression else LogisticRegression(max_iter=1000)
    model.fit(words.fit_transform(_joined(train)), train.labels.numpy())
    return torch.from_numpy(model.predict(words.transform(_joined(test))))


def _joined(split: Split) -> list[str]:
    return [" ".join(parts) for parts in zip(*split.texts, strict=True)]
