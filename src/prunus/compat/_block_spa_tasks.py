"""The tasks of the sheet of block-spa-experiments, told apart by the columns of their results."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prunus.errors import PrunusError
from prunus.table import Cell, Line, Table


@dataclass(frozen=True)
class Known:
    """A task with a worksheet of its own.

    Attributes:
        name: as rows are called.
        mark: the title that only its worksheet has.
        task: what a recipe says of it.
        quality: the title of the result that is compared.
        metric: what prunus calls that.
        whole: what the worksheet writes for all right answers.
    """

    name: str
    mark: str
    task: Mapping[str, Any]
    quality: str
    metric: str
    whole: float

    def settings(self, where: str) -> dict[str, Cell]:
        """The dense model and its data."""
        said = {"model": f"runs/dense/bert-base-{self.name}", "task": dict(self.task)}
        return {key: Cell(value, where) for key, value in said.items()}

    def published(self, line: Line) -> dict[str, Cell]:
        """The result of a row, where there is one, from 0 to 1."""
        found = line.cells[self.quality]
        if not isinstance(found.held, int | float):
            return {}
        return {"metric": found.of(self.metric), "pruned": found.of(found.held / self.whole)}


def _glue(name: str, mark: str) -> Known:
    return Known(name, mark, {"name": "glue", "subset": name}, "acc", "accuracy", 1)


SQUAD = {"name": "question_answering", "data": "rajpurkar/squad", "config": "plain_text"}
TASKS = (
    Known("squad", "EM", SQUAD, "F1", "f1", 100),
    _glue("qqp", "acc&f1"),
    _glue("mnli", "acc 2"),  # of the matched and of the mismatched sentences
)


def known(table: Table) -> Known:
    """The task of a worksheet.

    Raises:
        PrunusError: it is of none that is known.
    """
    found = next((task for task in TASKS if {task.mark, task.quality} <= set(table.titles)), None)
    if found is None:
        raise PrunusError(
            f"{table.where}: the columns of results tell none of the tasks: EM and F1 of SQuAD, acc"
            " twice of MNLI, acc and acc&f1 of QQP"
        )
    return found
