"""Where many tasks run, as the command line says it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from cyclopts import Parameter

from prunus import notation
from prunus.errors import PrunusError

if TYPE_CHECKING:
    from prunus.study.engine import Engine


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Where tasks run.

    Attributes:
        engine: local: processes of this machine; ray: a Ray cluster.
        workers: how many run at a time, each in a process of its own, 1 where left out; 0 runs one
            after the other in this process, with bars for each. With ray: at most so many; as many
            as the cluster has room for where left out.
        address: of the Ray cluster: auto, HOST:PORT, ray://HOST:PORT; local starts one on this
            machine.
        resources: of each task on a cluster: '{"CPU": 2, "GPU": 0.5, "memory": "8GB"}'.
        retries: how often a task is tried again whose process or machine died, 3 where left out.
    """

    engine: str = "local"
    workers: int | None = None
    address: str | None = None
    resources: str | None = None
    retries: int | None = None

    def chosen(self) -> "Engine":
        """The engine with these settings.

        Raises:
            PrunusError: there is none of that name, or it has no such setting.
        """
        from prunus.registry import build

        said = {"workers": self.workers, "address": self.address, "retries": self.retries}
        given: dict[str, Any] = {key: value for key, value in said.items() if value is not None}
        if self.resources is not None:
            given["resources"] = _read(self.resources)
        return build("study/engine", {"name": self.engine, **given})


LOCAL = Where()


def _read(text: str) -> Any:
    try:
        return notation.load(text)
    except yaml.YAMLError as error:
        raise PrunusError(f"--resources: {text} cannot be read: {error}") from None
