"""The pruning calls of Intel neural-compressor 2: change the import, and they run.

The semantics are those of neural-compressor 2.6 (Apache-2.0), as far as they are documented and
work; docs/from/neural-compressor.md tells where prunus differs.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from torch import nn
from transformers import PreTrainedModel

from prunus.checkpoint import save
from prunus.compat._callbacks import Callbacks
from prunus.compat._config import PrunerConfig, resolve
from prunus.compat._pruning import Pruning
from prunus.errors import PrunusError

__all__ = ["CompressionManager", "WeightPruningConfig", "prepare_compression", "prepare_pruning"]


class WeightPruningConfig:
    """What shall be pruned, and how.

    Attributes:
        pruners: one for each of ``pruning_configs``, everything settled.
    """

    def __init__(
        self,
        pruning_configs: Iterable[Mapping[str, Any]] = (),
        *settings: Any,
        **more: Any,
    ) -> None:
        """Settle every pruner: its own settings, then those of all, then the defaults.

        Args:
            pruning_configs: the settings of each pruner; none makes one pruner.
            *settings: of all pruners, in the order of the fields of
                :class:`prunus.compat._config.PrunerConfig`.
            **more: the same by name.

        Raises:
            PrunusError: a key is unknown, or a value will not do.

        >>> config = WeightPruningConfig([{"pattern": "2:4"}, {"target_sparsity": None}], 0.5)
        >>> [(pruner.pattern, pruner.target_sparsity) for pruner in config.pruners]
        [('2:4', 0.5), ('4x1', 0.5)]
        """
        common = dict(zip(PrunerConfig.model_fields, settings, strict=False))
        self.pruners = resolve(list(pruning_configs), {**common, **more})


class CompressionManager:
    """A model, and the callbacks of the loop that trains it.

    Attributes:
        model: the model itself, pruned in place.
        callbacks: to be called by the loop.
    """

    def __init__(self, model: nn.Module, config: WeightPruningConfig) -> None:
        """Nothing happens before ``callbacks.on_train_begin()``."""
        self.model = model
        self.callbacks = Callbacks(model, config.pruners)

    def save(self, folder: str | Path) -> None:
        """Write the model as safetensors and JSON, to be opened with ``from_pretrained``.

        Raises:
            PrunusError: the model is none of transformers', or ``folder`` holds something else.
        """
        if not isinstance(self.model, PreTrainedModel):
            raise PrunusError(
                f"a {type(self.model).__name__} has no configuration to be opened by: save its"
                " state_dict() with safetensors.torch.save_file"
            )
        save(self.model, folder)

    def export(self, *_: Any, **__: Any) -> NoReturn:
        """Other formats are not written.

        Raises:
            PrunusError: always.
        """
        raise PrunusError(
            "prunus exports no ONNX: call torch.onnx.export(manager.model, ...) on the pruned model"
        )


def prepare_compression(
    model: nn.Module, confs: WeightPruningConfig | Sequence[WeightPruningConfig]
) -> CompressionManager:
    """A manager whose callbacks prune a model.

    Args:
        model: any.
        confs: how, or a list with that one configuration.

    Raises:
        PrunusError: another kind of configuration, or several.
    """
    found = list(confs) if isinstance(confs, list | tuple) else [confs]
    if len(found) != 1:
        raise PrunusError("prepare_compression takes one WeightPruningConfig; prunus only prunes")
    return CompressionManager(model, _config(found[0]))


def prepare_pruning(
    model: Any,
    config: Any,
    optimizer: Any = None,
    dataloader: object = None,
    loss_func: object = None,
    framework: str = "pytorch",
    device: object = None,
) -> Pruning:
    """Let a model be pruned whenever its optimizer steps.

    Args:
        model: any; early releases took the configuration first, which is understood too.
        config: how.
        optimizer: of the model's parameters; it may be wrapped, as accelerate does.
        dataloader: not looked at, like ``loss_func``: criteria read the training's own gradients.
        loss_func: see ``dataloader``.
        framework: pytorch.
        device: not looked at: the model stays where it is.

    Returns:
        The pruners at work.

    Raises:
        PrunusError: there is no optimizer, or see :class:`Pruning`.
    """
    if isinstance(model, WeightPruningConfig):
        model, config = config, model
    if framework != "pytorch":
        raise PrunusError(f"framework {framework!r}: prunus prunes networks of PyTorch")
    if optimizer is None:
        raise PrunusError(
            "prepare_pruning prunes whenever an optimizer steps: give it one. What was pruned in"
            " the call itself (sparse_gpt, retrain_free) is a recipe of prunus: see `prunus ls`"
        )
    return Pruning(model, _config(config).pruners, optimizer)


def _config(given: Any) -> WeightPruningConfig:
    if not isinstance(given, WeightPruningConfig):
        raise PrunusError(
            f"expected a prunus.compat.inc.WeightPruningConfig, not a {type(given).__name__}"
        )
    return given
