"""Saving as a whole or not at all, and loading with nothing missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.initialization import no_init_weights

from prunus import networks
from prunus.adapt import adapted
from prunus.auto import own_config
from prunus.checkpoint._adapters import RECORD
from prunus.checkpoint._classes import Pruned, adopt, model_class
from prunus.checkpoint._files import require_ours, seal, verify
from prunus.checkpoint._packed import pack
from prunus.checkpoint._portable import make_portable
from prunus.checkpoint._sentences import MODULES, keep_around, transformer_of
from prunus.checkpoint._whole import align, refuse_gaps
from prunus.errors import PrunusError
from prunus.files import folder_beside
from prunus.foreign import PACKED, TIMES, opening, require_fits, require_sound


def save(
    model: PreTrainedModel,
    folder: str | Path,
    *others: Any,
    portable: bool = False,
    packed: bool = False,
    around: str | Path | None = None,
) -> None:
    """Write a model as safetensors and JSON; ``folder`` holds the old files or all of the new.

    Args:
        model: dense or shrunk.
        folder: a checkpoint that is there already is replaced.
        others: tokenizers or processors, saved beside.
        portable: let transformers alone open it, with ``trust_remote_code=True``; what is saved
            plain anyway (dense, uniform widths) stays so.
        packed: leave zero blocks of weights out of the file, which only prunus then opens; the
            largest blocks that hold the zeros are found, see :mod:`prunus.edit.blocks`.
        around: the checkpoint that the model was opened from. Where it is a sentence-transformers
            model, its pooling, its other modules and files are kept, and so is its kind.

    Raises:
        PrunusError: ``folder`` holds something that is no checkpoint, which is not replaced; the
            model cannot be portable, or has adapters; or ``around`` is broken; nothing can be
            packed, or it shall be portable as well.
    """
    folder = Path(folder)
    if portable and packed:
        raise PrunusError("packed and portable exclude each other: only prunus unpacks weights")
    if adapted(model):
        raise PrunusError(
            f"{next(iter(adapted(model)))} has an adapter: merge it first (prunus.adapt.merge), or"
            " save what was trained alone (prunus.checkpoint.save_adapters)"
        )
    require_ours(folder, "config.json", "is no checkpoint")
    with folder_beside(folder) as fresh, _adopted(model, plain=not packed):
        if around is not None:
            keep_around(Path(around), fresh)
        model.save_pretrained(fresh)
        for other in others:
            for name in getattr(other, "vocab_files_names", {}).values():
                (fresh / name).unlink(missing_ok=True)  # of a vocabulary that may have been larger
            other.save_pretrained(fresh)
        if portable and isinstance(model, Pruned):
            make_portable(model, fresh)
        if packed:
            pack(fresh)
        seal(fresh)


@contextmanager
def _adopted(model: PreTrainedModel, plain: bool) -> Iterator[None]:
    """The model in the class that is saved; in the end it has the one that it needs."""
    adopt(model, plain)
    try:
        yield
    finally:
        if not plain:
            adopt(model)


def load(folder: str | Path, **kwargs: Any) -> PreTrainedModel:
    """Open a checkpoint that prunus (or transformers) saved, with every tensor checked.

    Args:
        folder: a local folder; of a sentence-transformers model the transformer is opened.
        **kwargs: passed to ``from_pretrained``: dtype, device_map, ...

    Raises:
        PrunusError: not a checkpoint, an incomplete or damaged one.
    """
    sentences, folder = (Path(folder) / MODULES).is_file(), _transformer(folder)
    verify(folder)
    held = require_sound(folder).values()
    with opening(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        cls: Any = _class_of(config, folder, sentences=sentences)
        if hasattr(config, "prunus") and type(config) is not cls.config_class:
            kwargs["config"] = own_config(config)
        packed = "packed" in (getattr(config, "prunus", None) or {})
        require_fits(cls, config, held, folder, PACKED if packed else TIMES)
        model, info = cls.from_pretrained(
            folder, output_loading_info=True, local_files_only=True, use_safetensors=True,
            trust_remote_code=False, **kwargs,
        )  # fmt: skip
    refuse_gaps(folder, info)
    extra = sorted(info["unexpected_keys"])
    if extra:
        raise PrunusError(
            f"{folder}: holds tensors that {cls.__name__} lacks: {', '.join(extra[:3])} ..."
        )
    align(model)
    return model


def outline(folder: str | Path) -> PreTrainedModel:
    """A checkpoint's model on the meta device: its shapes, in float32, without weights.

    Args:
        folder: as :func:`load` takes it; only its configuration is read.

    Raises:
        PrunusError: not a checkpoint.
    """
    sentences, folder = (Path(folder) / MODULES).is_file(), _transformer(folder)
    try:
        config = own_config(AutoConfig.from_pretrained(folder, local_files_only=True))
    except OSError as error:
        raise PrunusError(f"{folder}: not readable ({error})") from None
    cls: Any = _class_of(config, folder, sentences=sentences)
    make = cls.from_config if cls is AutoModel else cls._from_config
    with torch.device("meta"), no_init_weights():
        return make(config, dtype=torch.float32).eval()


def _transformer(folder: str | Path) -> Path:
    """Where the transformer of a checkpoint lies.

    Raises:
        PrunusError: nowhere.
    """
    found = transformer_of(Path(folder))
    if not (found / "config.json").exists():
        if (found / RECORD).is_file():
            raise PrunusError(
                f"{found} holds adapters alone: put them on their dense model, merge them and save"
                " it (prunus.checkpoint.load_adapters, prunus.adapt.merge, prunus.save)"
            )
        raise PrunusError(f"{found} is not a checkpoint: it has no config.json")
    return found


def _class_of(config: Any, folder: Path, *, sentences: bool) -> Any:
    name = str((config.architectures or [""])[0])
    if sentences and not name.endswith("Model"):  # what it was trained from, not what is saved
        return AutoModel
    plain = name.removeprefix("Prunus")
    stock = getattr(transformers, plain, None) or networks.named(plain)
    if not (isinstance(stock, type) and issubclass(stock, PreTrainedModel)):
        raise PrunusError(f"{folder}: transformers has no class {name!r}")
    return model_class(stock) if name.startswith("Prunus") else stock
