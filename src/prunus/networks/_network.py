"""What the networks share: their settings in a recipe, and the loss on top of logits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput

from prunus import headers
from prunus.errors import PrunusError
from prunus.registry import Part


class ImageClassifier(PreTrainedModel):
    """A network that gives a logit for each class of an image; subclasses say :meth:`logits`.

    Attributes:
        head: the module whose outputs are the logits.
    """

    base_model_prefix = ""
    main_input_name = "pixel_values"
    head: ClassVar[str]

    def logits(self, pixels: Tensor) -> Tensor:
        """Logits ``[image, class]`` of ``[image, channel, row, column]``."""
        raise NotImplementedError

    def forward(
        self, pixel_values: Tensor, labels: Tensor | None = None, **_: Any
    ) -> ImageClassifierOutput:
        """Logits, and their cross entropy where there are labels.

        Args:
            pixel_values: ``[image, channel, row, column]`` float.
            labels: ``[image]`` int64 class indices.
        """
        logits = self.logits(pixel_values)
        loss = None if labels is None else cross_entropy(logits, labels)
        return ImageClassifierOutput(loss=loss, logits=logits)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """He et al., arXiv 1502.01852, eq. 10, for convolutions; torch's own for the rest."""
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear | nn.BatchNorm2d):
            module.reset_parameters()


class Network(Part):
    """The settings of a new network, in the place of a pretrained model.

    Attributes:
        weights: a safetensors file with its tensors by name; a head of another size is left out.
            None leaves them as they are drawn.
    """

    model: ClassVar[type[ImageClassifier]]
    weights: str | None = None

    def build(self, config: Mapping[str, Any]) -> ImageClassifier:
        """Make the network.

        Args:
            config: what the task says of the configuration: classes, size and channels of images.

        Raises:
            PrunusError: the weights are not those of this network, or its images are too small.
        """
        made = self.model.config_class
        assert made is not None
        model = self.model(made(**self.model_dump(exclude={"weights"}), **config))
        if self.weights is not None:
            fill(model, Path(self.weights))
        return model


def classes_of(config: Any) -> int:
    """How many logits a configuration asks for."""
    return config.num_labels


def require_size(config: Any, smallest: int) -> None:
    """Check that images are large enough for a network.

    Raises:
        PrunusError: they are not.
    """
    if config.image_size < smallest:
        raise PrunusError(
            f"a {config.model_type} needs images of {smallest} pixels or more, these have"
            f" {config.image_size}: set the task's `size`, or take cifar_resnet"
        )


def fill(model: ImageClassifier, path: Path) -> None:
    """Put the tensors of a safetensors file into a network, in place.

    A head of another size keeps what it has, and so do counts of batches seen.

    Raises:
        PrunusError: the file cannot be read, or its tensors are not those of the network.
    """
    try:
        found = headers.read(path)
    except PrunusError as error:
        raise PrunusError(f"weights {error}") from None
    own = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    head = {name for name in own if name.startswith(f"{model.head}.")}
    if any(name in found and found[name].shape != own[name].shape for name in head):
        own = {name: tensor for name, tensor in own.items() if name not in head}
        found = {name: tensor for name, tensor in found.items() if name not in head}
    shapes, theirs = ({k: tuple(v.shape) for k, v in x.items()} for x in (own, found))
    wrong = sorted(k for k in shapes.keys() | theirs.keys() if shapes.get(k) != theirs.get(k))
    wrong = [name for name in wrong if not name.endswith("num_batches_tracked")]
    if wrong:
        name = wrong[0]
        raise PrunusError(
            f"{path}: {len(wrong)} tensors are not those of this {type(model).__name__}, such as"
            f" {name}: {theirs.get(name, 'missing')} in the file, here"
            f" {shapes.get(name, 'unknown')}"
        )
    model.load_state_dict(found, strict=False)
