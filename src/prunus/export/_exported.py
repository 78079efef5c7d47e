"""An exported model that answers as the one in torch did."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig
from transformers.utils.generic import ModelOutput

from prunus.errors import PrunusError
from prunus.export._exporter import Session
from prunus.export._facts import Facts, Port

FILLED: Mapping[str, Callable[[Tensor], Tensor]] = {
    "attention_mask": torch.ones_like,
    "token_type_ids": torch.zeros_like,
}
"""What models of transformers take where an input is left out, made like ``input_ids``."""
TOKENS = "input_ids", "decoder_input_ids"
"""Inputs that hold tokens."""


class Exported(nn.Module):
    """Sessions of another runtime behind the interface of a model.

    Attributes:
        config: of the model that was exported.
        facts: what lies in ``export.json``.
    """

    def __init__(
        self, config: PretrainedConfig, facts: Facts, sessions: Mapping[str, Session]
    ) -> None:
        super().__init__()
        self.config, self.facts = config, facts
        self._sessions = dict(sessions)
        self.training = False

    @property
    def device(self) -> torch.device:
        """The processor."""
        return torch.device("cpu")

    @property
    def main_input_name(self) -> str:
        """The input that everything else is about."""
        first = next(iter(self.facts.graphs.values()))
        return next(iter(first.inputs))

    def can_generate(self) -> bool:
        """Whether it writes texts."""
        return False

    def forward(self, **inputs: Any) -> ModelOutput:
        """What the model answers, by the names that it has in torch.

        Raises:
            PrunusError: the graph lacks an input that is given, or needs one that is not; a token
                is none of its vocabulary, to which runtimes would answer something.
        """
        return ModelOutput(self._run("model", inputs))

    def _run(self, graph: str, given: Mapping[str, Any]) -> dict[str, Tensor]:
        ports = self.facts.graphs[graph].inputs
        inputs = {k: v for k, v in given.items() if isinstance(v, Tensor)}
        other = sorted(inputs.keys() - ports.keys())
        if other:
            raise PrunusError(
                f"the exported {self.facts.architecture} takes {', '.join(ports)}, not {other[0]}:"
                " export it with a batch that holds it"
            )
        feed = dict(self._filled(ports, inputs))
        self._require_tokens(feed)
        try:
            return self._sessions[graph](feed)
        except Exception as error:  # every runtime has classes of its own for what it refuses
            shapes = ", ".join(f"{name} {tuple(own.shape)}" for name, own in feed.items())
            raise PrunusError(
                f"the exported {self.facts.architecture} cannot run {shapes}: {error}"
            ) from error

    def _require_tokens(self, feed: Mapping[str, Tensor]) -> None:
        known: int | None = getattr(self.config, "vocab_size", None)
        if known is None:
            return
        for name in TOKENS:
            ids = feed.get(name)
            if ids is None or not ids.numel() or (ids.min() >= 0 and ids.max() < known):
                continue
            raise PrunusError(
                f"{name} holds tokens from {ids.min()} to {ids.max()}, but the exported"
                f" {self.facts.architecture} knows those from 0 to {known - 1}: use its own"
                " tokenizer, which lies beside it"
            )

    def _filled(
        self, ports: Mapping[str, Port], inputs: Mapping[str, Tensor]
    ) -> Iterator[tuple[str, Tensor]]:
        for name, port in ports.items():
            if name in inputs:
                own = inputs[name].detach().to(getattr(torch, port.dtype))
                yield name, own.contiguous()
            elif name in FILLED and "input_ids" in inputs:
                yield name, FILLED[name](inputs["input_ids"])
            else:
                raise PrunusError(f"the exported {self.facts.architecture} needs {name!r}")
