"""What lies beside exported graphs in ``export.json``: what they are, and how they were checked."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from prunus.errors import PrunusError
from prunus.files import write_bytes
from prunus.formats import Format
from prunus.registry import Part, explain

FILE = "export.json"
FORMAT = Format("export")
Dtype = Literal["float32", "bfloat16", "int8"]
Generates = Literal["decoder", "encoder-decoder"]
Positions = Literal["places", "mask"]
Axis = int | str


class Port(Part):
    """An input or output of a graph.

    Attributes:
        axes: sizes, or the names of axes whose size may change.
        dtype: as torch calls it.
    """

    axes: tuple[Axis, ...]
    dtype: str


class Stored(Part):
    """One graph on the disk.

    Attributes:
        file: what its runtime opens.
        inputs: by name, in order.
        outputs: by name, in order.
    """

    file: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    inputs: dict[str, Port]
    outputs: dict[str, Port]


class Facts(Part):
    """What is known of an exported model.

    Attributes:
        format: of this file.
        to: the exporter, as its file is called.
        dtype: in which it computes.
        architecture: the class of the model in torch.
        checkpoint: what it was exported from; a folder beside this one by ``../NAME``.
        graphs: by what they do: ``model`` alone, or ``encoder`` and ``decoder``.
        generates: how it writes texts, where it does.
        positions: how a decoder counts tokens: all of them, or those that the mask lets through.
        difference: the largest difference to an answer of torch, over the largest answer.
        samples: on how many examples that was measured.
        inputs: what these examples were.
        versions: of the packages that wrote it.
        quality: of torch and of the export on a task, where one was named.
    """

    format: int = FORMAT.version
    to: Annotated[str, Field(pattern=r"^[a-z]\w*$")]
    dtype: Dtype
    architecture: Annotated[str, Field(pattern=r"^\w+$")]
    checkpoint: str | None = None
    graphs: dict[str, Stored]
    generates: Generates | None = None
    positions: Positions | None = None
    difference: float
    samples: int
    inputs: str = "examples"
    versions: dict[str, str]
    quality: dict[str, Any] | None = None

    def origin(self, folder: Path) -> str | None:
        """What the export that lies in a folder was made from, wherever both were moved."""
        if self.checkpoint is not None and (folder / self.checkpoint).is_dir():
            return str(folder / self.checkpoint)
        return self.checkpoint

    def save(self, folder: Path) -> None:
        """Write them into an export's folder."""
        write_bytes(folder / FILE, self.model_dump_json(indent=1).encode() + b"\n")

    @classmethod
    def load(cls, folder: Path) -> "Facts":
        """The facts of an export's folder.

        Raises:
            PrunusError: there are none, or they cannot be read.
        """
        path = folder / FILE
        if not path.is_file():
            raise PrunusError(f"{folder} is no exported model: it has no {FILE}")
        try:
            return cls.model_validate(FORMAT.read(path))
        except ValidationError as error:
            raise explain(str(path), cls, error) from None
