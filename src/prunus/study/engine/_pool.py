"""Processes or machines that take tasks, and tell what becomes of them."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from prunus.study.engine._task import Task


@dataclass(frozen=True)
class Event:
    """A task began, or ended, or was lost and will be tried again.

    Attributes:
        task: which one.
        node: the machine that it runs on, where there are several.
        ended: it is over.
        why: it failed, or was lost; empty where it did neither.
        lost: what ran it died, or cannot be reached any more.
    """

    task: Task
    node: str = ""
    ended: bool = False
    why: str = ""
    lost: bool = False


Events = Generator[Event, None, None]
"""Closed, they end what runs."""


class Pool(ABC):
    """What runs tasks; left, it ends those that still run."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    @property
    @abstractmethod
    def room(self) -> bool:
        """Whether it takes another task now."""

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether a task has not ended yet."""

    @abstractmethod
    def start(self, task: Task) -> None:
        """Take a task; that it began is told by :meth:`wait`."""

    @abstractmethod
    def wait(self) -> Iterator[Event]:
        """What has happened since; where nothing has, wait a while for something.

        Raises:
            KeyboardInterrupt: a task was interrupted.
        """

    @abstractmethod
    def close(self) -> None:
        """End what runs."""
