"""Which tokens are real: padding must not count in any statistic."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from prunus.shares import IGNORED, samples_of


def real_tokens(batch: Mapping[str, Tensor], site: str, x: Tensor) -> Tensor | None:
    """[sample, token] True for real tokens at a site, or None where every token is real.

    Args:
        batch: keyword arguments of the model.
        site: name of the site; those of a decoder see the target's tokens, those of a vision tower
            patches.
        x: what was seen there, [sample, token, width] or [sample * token, width]: decides between
            masks by its length.
    """
    path = f".{site}"
    if ".vision_model." in path:
        return None
    candidates = [batch.get("attention_mask")]
    if ".decoder." in path:
        labels = batch.get("labels")
        targets = None if labels is None else labels != IGNORED
        others = [] if "decoder_input_ids" in batch else candidates
        candidates = [batch.get("decoder_attention_mask"), targets, *others]
    for mask in candidates:
        if mask is not None and mask.numel() == x.shape[:-1].numel():
            return mask.reshape(x.shape[:-1]).bool()
    return None


def like(x: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """The shape that ``x``, seen with a part of a batch, has with all of another one."""
    return x.new_empty((samples_of(batch), *x.shape[1:]), device="meta")


def flat(x: Tensor, real: Tensor | None) -> Tensor:
    """[sample, token, width] as [real tokens, width]."""
    return x.reshape(x.shape[:-1].numel(), x.shape[-1]) if real is None else x[real.to(x.device)]


def mean_length(batches: Iterable[Mapping[str, Tensor]]) -> int | None:
    """Mean number of real tokens of a sample, rounded; None for data without tokens."""
    tokens = samples = 0
    for batch in batches:
        if "input_ids" not in batch:
            return None
        mask = batch.get("attention_mask")
        tokens += int(batch["input_ids"].numel() if mask is None else mask.sum())
        samples += batch["input_ids"].shape[0]
    return max(1, round(tokens / max(1, samples)))
