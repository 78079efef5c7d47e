"""What all engines do alike: tasks wait for room, and are tried again where a worker died."""

from abc import abstractmethod
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace

from pydantic import NonNegativeInt

from prunus.recipe._log import logged
from prunus.registry import Part
from prunus.study.engine._pool import Events, Pool
from prunus.study.engine._task import Place, Task


class Engine(Part):
    """Where tasks run.

    Attributes:
        retries: how often a task is tried again whose worker died: was killed, ran out of memory,
            or went with its machine. What fails with an error is not tried again.
    """

    retries: NonNegativeInt = 3

    @property
    def live(self) -> bool:
        """Whether tasks show no progress of their own."""
        return True

    @abstractmethod
    def pool(self, place: Place) -> Pool:
        """What runs tasks.

        Args:
            place: where they are done.

        Raises:
            PrunusError: it cannot be had.
        """

    @abstractmethod
    def width(self) -> int:
        """How many tasks it could run at a time, at least 1."""

    def events(self, tasks: Sequence[Task], place: Place, quiet: bool) -> Events:
        """Run tasks, as many at a time as there is room for.

        Args:
            tasks: with names that differ.
            place: where they are done.
            quiet: show no progress.

        Yields:
            What happened.

        Raises:
            PrunusError: what runs them cannot be had.
            KeyboardInterrupt: a task was interrupted; none runs any more.
        """
        turn, tries = deque(tasks), Counter[str]()
        if not turn:
            return
        with self.pool(place) as pool, logged(place.log) as log:
            while turn or pool.busy:
                while turn and pool.room:
                    pool.start(turn.popleft())
                for event in pool.wait():
                    name = event.task.name
                    if event.lost and tries[name] < self.retries:
                        tries[name] += 1
                        again = f"{event.why}; tried again ({tries[name]} of {self.retries})"
                        log.warning("%s lost: %s", name, again)
                        turn.append(event.task)
                        event = replace(event, ended=False, why=again)
                    elif event.lost:
                        log.error("%s lost: %s", name, event.why)
                    yield event
