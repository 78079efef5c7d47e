"""Workers of a Ray cluster, or of one that is started here."""

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PositiveInt, TypeAdapter, ValidationError

from prunus.errors import PrunusError
from prunus.select._amounts import Size
from prunus.study.engine._engine import Engine
from prunus.study.engine._pool import Pool
from prunus.study.engine._slots import Slots
from prunus.study.engine._task import Place

LOCAL, AUTO, CLIENT = "local", "auto", "ray://"
PATIENCE = 10.0
"""Seconds in which a cluster answers."""
STORE = 100_000_000
"""Bytes of the object store of a cluster that is started here: nothing large travels."""
MEMORY = "memory"
OWN = {"CPU": "num_cpus", "GPU": "num_gpus", MEMORY: MEMORY}
"""What Ray calls the resources that it knows itself, where a task asks for them."""


def _amounts(value: Any) -> dict[str, float]:
    """Amounts by name; memory is a size, of others a part of one or a whole number."""
    if not isinstance(value, Mapping):
        raise PrunusError(f"expected a mapping like {{CPU: 2, GPU: 0.5}}, got {value!r}")
    return {"CPU": 1.0} | {str(name): _amount(str(name), own) for name, own in value.items()}


def _amount(name: str, value: Any) -> float:
    try:
        if name == MEMORY:
            return TypeAdapter(Size).validate_python(value)
        amount = TypeAdapter(float).validate_python(value)
    except ValidationError as error:
        raise PrunusError(f"{name}: {error.errors()[0]['msg']} (got {value!r})") from None
    if amount < 0 or (amount > 1 and amount % 1) or amount == float("inf"):
        raise PrunusError(f"{name}: {value}: expected a whole number, or a part of 1")
    return amount


class Ray(Engine):
    """Each task in a process on some machine of a Ray cluster.

    Machines that see the study's folder write into it; from others, what is finished is fetched.
    Where this process is connected to a cluster already, that one is used.

    Attributes:
        address: ``auto`` is $RAY_ADDRESS, or a cluster of this machine; ``HOST:PORT`` and
            ``ray://HOST:PORT`` are others; ``local`` starts one on this machine, which ends with
            the study.
        resources: of each task: CPU, of which it gets as many threads, GPU, memory as a size, and
            whatever else machines of the cluster have.
        workers: at most so many tasks at a time; None is as many as the cluster has room for.
    """

    address: str = AUTO
    resources: Annotated[dict[str, float], BeforeValidator(_amounts)] = Field(
        default_factory=lambda: {"CPU": 1.0}
    )
    workers: PositiveInt | None = None

    def pool(self, place: Place) -> Pool:
        """Actors on the cluster.

        Raises:
            PrunusError: Ray is not installed, the cluster cannot be reached, or no machine of it
                has the resources.
        """
        session = ExitStack()
        try:
            ray = session.enter_context(self._session())
            self._fits(ray)
            threads = max(1, int(self.resources["CPU"]))
            return Slots(ray, place, self._options(), threads, self.workers, session)
        except BaseException:
            session.close()
            raise

    def width(self) -> int:
        """How many tasks fit onto the cluster at a time."""
        with self._session() as ray:
            fit = self._fits(ray)
        return min(fit, self.workers or fit)

    def _options(self) -> dict[str, Any]:
        own = {OWN[name]: amount for name, amount in self.resources.items() if name in OWN}
        others = {name: amount for name, amount in self.resources.items() if name not in OWN}
        return {**own, "resources": others}

    @contextmanager
    def _session(self) -> Iterator[Any]:
        """The module of Ray, connected."""
        ray = _ray()
        if ray.is_initialized():
            yield ray
            return
        own = {"include_dashboard": False, "object_store_memory": STORE}
        options = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            self._reached()
            ray.init(self.address, **options, **(own if self.address == LOCAL else {}))
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            told = str(error).strip().splitlines() or [type(error).__name__]
            raise PrunusError(
                f"address: {self.address}: no Ray cluster can be reached ({told[0]}); start one"
                " (`ray start --head`), or say --address local"
            ) from None
        try:
            yield ray
        finally:
            ray.shutdown()

    def _reached(self) -> None:
        """Try a named address: Ray itself would try for minutes.

        Raises:
            OSError: nobody answers there, or it is none.
        """
        named = os.environ.get("RAY_ADDRESS", AUTO) if self.address == AUTO else self.address
        if named not in {AUTO, LOCAL}:
            host, _, port = named.removeprefix(CLIENT).rpartition(":")
            if not port.isdigit():
                raise OSError("expected HOST:PORT")
            socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()

    def _fits(self, ray: Any) -> int:
        """How many tasks fit onto the machines, at least one.

        Raises:
            PrunusError: onto none of them.
        """
        asked = {name: amount for name, amount in self.resources.items() if amount}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        room = [
            min((int(own.get(name, 0) / amount) for name, amount in asked.items()), default=1)
            for own in nodes
        ]
        if not any(room):
            most = {name: max((own.get(name, 0) for own in nodes), default=0) for name in asked}
            raise PrunusError(
                f"resources: no machine of the cluster has {_told(asked)}; the most that one has:"
                f" {_told(most)}"
            )
        return sum(room)


def _told(amounts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {amount:.12g}" for name, amount in amounts.items())


def _ray() -> Any:
    """The module; nothing is reported to its makers."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise PrunusError(f'engine: ray: {error}: `pip install "prunus[ray]"`') from None
    return ray
