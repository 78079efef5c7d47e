"""Opening a pretrained model with a head that may be new."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from prunus.auto import own_config
from prunus.errors import PrunusError
from prunus.foreign import opening, require_sound
from prunus.networks._network import ImageClassifier
from prunus.task._prepared import Prepared

VOCABULARIES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")


@contextmanager
def hushed() -> Iterator[None]:
    """Without the reports and bars that transformers shows while it loads and saves."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def open_tokenizer(where: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model, able to pad.

    Raises:
        PrunusError: a folder without a vocabulary, for which transformers would make up an empty
            one.
    """
    folder = Path(where)
    if folder.is_dir() and not any((folder / name).exists() for name in VOCABULARIES):
        raise PrunusError(f"{folder} holds no tokenizer: none of {', '.join(VOCABULARIES)}")
    tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def open_network(where: str | Path, prepared: Prepared[Any], head: str) -> PreTrainedModel:
    """The pretrained body, float32, under a head that fits the task.

    Args:
        where: a folder or a hub id.
        prepared: the task; what it says of its head and inputs goes into the config.
        head: the head, as transformers names its classes.

    Raises:
        PrunusError: it cannot be opened without code of its own; or tensors of the body are missing
            or of another shape, which transformers would fill with random numbers.
    """
    if (folder := Path(where)).is_dir():
        require_sound(folder)
    with opening(where):
        config = own_config(AutoConfig.from_pretrained(where, trust_remote_code=False))
    for name, value in {**prepared.head_config(), **prepared.input_config()}.items():
        setattr(config, name, value)
    maker = getattr(transformers, f"AutoModelFor{head}")
    with opening(where), hushed():  # a report on the new head; what else is missing raises below
        model, told = maker.from_pretrained(
            where,
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    _require_body(model, told, where)
    return model


def moved(model: PreTrainedModel, device: str) -> PreTrainedModel:
    """A model on a device.

    Raises:
        PrunusError: the device is not there.
    """
    try:
        return model.to(device)  # pyright: ignore[reportArgumentType]
    except (RuntimeError, AssertionError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise PrunusError(f"device {device!r} cannot be used: {reason}") from None


def _require_body(model: PreTrainedModel, told: Mapping[str, Any], where: str | Path) -> None:
    unlike = {key for key, *_ in told["mismatched_keys"]}
    lost = sorted(key for key in {*told["missing_keys"], *unlike} if _of_body(model, key))
    if lost:
        raise PrunusError(
            f"{where} lacks {len(lost)} pretrained tensors of a {type(model).__name__}, such as"
            f" {lost[0]!r}, or has them in other shapes: its weights do not belong to its"
            " config.json, or to the size and the channels of the task's images"
        )


def _of_body(model: PreTrainedModel, key: str) -> bool:
    """Whether a tensor is no part of the head, nor of the pooling before it."""
    if isinstance(model, ImageClassifier):
        return not key.startswith(f"{model.head}.")
    if not hasattr(model, model.base_model_prefix):  # a model that writes texts is all body
        return True
    return key.startswith(f"{model.base_model_prefix}.") and ".pooler." not in key
