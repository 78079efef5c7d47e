"""ONNX, an open file format of graphs (https://onnx.ai), run by ONNX Runtime."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from prunus.errors import PrunusError
from prunus.export._exporter import FREE, Exporter, Session, Sizes, need
from prunus.export._facts import Dtype, Port, Stored
from prunus.export._trace import Traced, exporting

LARGEST = 2**30
"""Bytes of weights above which they lie in a file of their own; a file of ONNX ends at 2 GiB."""


class Onnx(Exporter):
    """ONNX by torch.onnx, with weights in 8 bits by onnxruntime's dynamic quantisation."""

    packages: ClassVar[tuple[str, ...]] = ("torch", "onnx", "onnxscript", "onnxruntime")
    dtypes: ClassVar[tuple[Dtype, ...]] = ("float32", "int8")

    def write(self, traced: Traced, folder: Path) -> str:
        """One ``.onnx`` file, beside it ``.onnx.data`` for large weights."""
        self.require()
        path = folder / f"{traced.stem}.onnx"
        with exporting():
            made = _converted(traced)
            _name_axes(made.model.graph.inputs, traced.inputs)
            _name_axes(made.model.graph.outputs, traced.outputs)
            weights = sum(tensor.nbytes for tensor in traced.program.state_dict.values())
            made.save(path, external_data=weights > LARGEST)
            if self.dtype == "int8":
                _quantize(path)
        return path.name

    def open(self, folder: Path, stored: Stored, threads: int, sizes: Sizes = FREE) -> Session:
        """A session of ONNX Runtime on the processor."""
        runtime = need("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        for axis, size in sizes.items():
            options.add_free_dimension_override_by_name(axis, size)
        try:
            session = runtime.InferenceSession(
                folder / stored.file, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime has a class of its own for every fault
            raise PrunusError(f"{folder / stored.file}: not readable ({error})") from None
        names = list(stored.outputs)

        def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            found = session.run(names, {name: own.numpy() for name, own in inputs.items()})
            return dict(zip(names, map(torch.from_numpy, found), strict=True))

        return run


def _converted(traced: Traced) -> Any:
    try:
        return torch.onnx.export(
            traced.program,
            input_names=list(traced.inputs),
            output_names=list(traced.outputs),
            dynamo=True,
            verbose=False,
        )
    except Exception as error:  # the converter has a class of its own for every fault
        raise PrunusError(f"the {traced.name} cannot be said in ONNX: {error}") from error


def _name_axes(values: Iterable[Any], ports: Mapping[str, Port]) -> None:
    """Sizes that may change are called as ``export.json`` calls them."""
    shape = need("onnx_ir").Shape
    for value, port in zip(values, ports.values(), strict=True):
        value.shape = shape(port.axes)


def _quantize(path: Path) -> None:
    """Weights of products become 8-bit integers; what they meet is quantised as it comes."""
    onnx, quantization = need("onnx"), need("onnxruntime.quantization")
    whole = onnx.load(path)
    del whole.graph.value_info[:]  # of weights that are transposed on the way
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    quantization.quantize_dynamic(
        whole,
        path,
        per_channel=True,
        weight_type=quantization.QuantType.QInt8,
        use_external_data_format=whole.ByteSize() > LARGEST,
    )
