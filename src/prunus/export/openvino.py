"""OpenVINO's intermediate representation (https://docs.openvino.ai), run by OpenVINO."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from prunus.errors import PrunusError
from prunus.export._exporter import FREE, Exporter, Session, Sizes, need
from prunus.export._facts import Stored
from prunus.export._trace import Traced, exporting, parameter

TELEMETRY = "openvino_telemetry"


class Openvino(Exporter):
    """OpenVINO by its own converter."""

    packages: ClassVar[tuple[str, ...]] = ("torch", "openvino")

    def require(self) -> None:
        """Import OpenVINO, and for weights in 8 bits nncf.

        Raises:
            PrunusError: one of them is not installed.
        """
        _openvino()
        if self.dtype == "int8":
            need("nncf")

    def write(self, traced: Traced, folder: Path) -> str:
        """A graph as ``.xml`` and its weights as ``.bin``."""
        openvino = _openvino()
        path = folder / f"openvino_{traced.stem}.xml"
        with exporting():
            try:
                made = openvino.convert_model(traced.program)
            except Exception as error:  # the converter has a class of its own for every fault
                raise PrunusError(f"the {traced.name} cannot be converted: {error}") from error
            _name_ports(made, traced)
            if self.dtype == "int8":
                made = need("nncf").compress_weights(made)
        openvino.save_model(made, path, compress_to_fp16=self.dtype == "bfloat16")
        return path.name

    def open(self, folder: Path, stored: Stored, threads: int, sizes: Sizes = FREE) -> Session:
        """A compiled model on the processor, and one request to run it."""
        openvino = _openvino()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "bf16" if self.dtype == "bfloat16" else "f32",
        }
        try:
            graph = openvino.Core().read_model(folder / stored.file)
            if sizes:
                graph.reshape({port: _shape(port, stored, sizes) for port in graph.inputs})
            made = openvino.Core().compile_model(graph, "CPU", settings)
        except RuntimeError as error:
            raise PrunusError(f"{folder / stored.file}: not readable ({error})") from None
        request, places = made.create_infer_request(), range(len(stored.outputs))
        known = {name for port in made.inputs for name in port.get_names()}

        def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            feed = {name: own.numpy() for name, own in inputs.items() if name in known}
            found = request.infer(feed, share_inputs=True)
            answers = (torch.from_numpy(found[place]) for place in places)
            return dict(zip(stored.outputs, answers, strict=True))

        return run


def _shape(port: Any, stored: Stored, sizes: Sizes) -> list[int]:
    (name,) = stored.inputs.keys() & port.get_names()
    return [sizes[axis] if isinstance(axis, str) else axis for axis in stored.inputs[name].axes]


def _name_ports(made: Any, traced: Traced) -> None:
    """Give ports the names of the graph; inputs that nothing reads are not there."""
    spelt = {parameter(name): name for name in traced.inputs}
    for port in made.inputs:
        (name,) = spelt.keys() & port.get_names()
        port.get_tensor().set_names({spelt[name]})
    for port, name in zip(made.outputs, traced.outputs, strict=True):
        port.get_tensor().set_names({name})


def _openvino() -> Any:
    """OpenVINO, kept from telling its makers of it: its telemetry asks nobody."""
    if "openvino" not in sys.modules:
        sys.modules.setdefault(TELEMETRY, None)  # type: ignore[arg-type]
    return need("openvino")
