"""Where the tasks of a study run, one engine a file: processes of this machine, a cluster."""

from prunus.study.engine._engine import Engine
from prunus.study.engine._pool import Event, Pool
from prunus.study.engine._task import Place, Task

__all__ = ["Engine", "Event", "Place", "Pool", "Task"]
