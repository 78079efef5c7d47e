"""Pairs of a text and its translation, made ready for one tokenizer and one model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import inf
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import PretrainedConfig

from prunus.errors import PrunusError
from prunus.probe._device import device_of
from prunus.probe._tokens import IGNORED
from prunus.task._bleu import bleu, bleu_counts, chrf, sentence_chrf, signature
from prunus.task._changes import Answer, Asked
from prunus.task._fingerprint import fingerprint
from prunus.task._metrics import bootstrap
from prunus.task._prepared import Batch, Example
from prunus.task._quality import Quality
from prunus.task._tokenized import Tokenized

READ = ("input_ids", "attention_mask")


@dataclass(frozen=True, eq=False)
class Pairs:
    """The rows of one split: texts, and what they are in the other language."""

    sources: list[str]
    targets: list[str]


@dataclass(frozen=True, eq=False, kw_only=True)
class Translated(Tokenized[Pairs]):
    """A translation's splits; an example is a pair of texts, its length that of the source.

    Attributes:
        prefix: what stands before every source.
        max_target_length: tokens at which a target is cut off.
        max_new_tokens: tokens at which a translation ends.
        beams: of the search for a translation; 1 takes the likeliest token each time.
        seed: of the bootstrap behind standard errors.
        start: the token that a model's decoder begins with; None until a model is known.
    """

    label_keys: ClassVar[tuple[str, ...]] = ("labels",)
    outputs: ClassVar[tuple[str, ...]] = ("logits",)
    scored_by: ClassVar[str] = "chrF"
    prefix: str
    max_target_length: int
    max_new_tokens: int
    beams: int
    seed: int = 0
    start: int | None = None

    def head_config(self) -> dict[str, Any]:
        """Nothing: the head of a model that translates is its vocabulary."""
        return {}

    def fitted(self, config: PretrainedConfig) -> Self:
        """The same for a model: begun by its token, cut off at its positions.

        Raises:
            PrunusError: the model has no decoder that begins with a token, or fewer tokens than
                the tokenizer.
        """
        start = getattr(config, "decoder_start_token_id", None)
        if start is None:
            raise PrunusError(
                f"translation: the configuration of this {config.model_type} has no"
                " decoder_start_token_id, the token that its decoder begins with; set it in"
                " config.json (T5 and Marian begin with the padding token)"
            )
        known = config.get_text_config().vocab_size
        if len(self.tokenizer) > known:
            raise PrunusError(
                f"translation: the tokenizer has {len(self.tokenizer)} tokens, the model {known}:"
                " they do not belong together"
            )
        most = getattr(config, "max_position_embeddings", None) or inf
        source, target, new = (min(n, most) for n in (*self._limits, self.max_new_tokens))
        return replace(
            self, start=start, max_length=source, max_target_length=target, max_new_tokens=new
        )

    def collate(self, split: str) -> Callable[[list[Any]], Batch]:
        """What pads pairs to the longest source and the longest target of them.

        A batch has ``input_ids`` and ``attention_mask`` ``[example, source token]``; ``labels``
        (-100 is padding), ``decoder_input_ids`` (the same, one to the right) and
        ``decoder_attention_mask`` ``[example, target token]``.

        Raises:
            PrunusError: no model is known.
        """
        if self.start is None:
            raise PrunusError(
                "translation: what a decoder begins with is the model's to say; give its"
                " configuration: prepared.fitted(model.config)"
            )
        pad, start = super().collate(split), self.start
        return lambda rows: self._batch(rows, pad, start)

    def tokens(self, split: str) -> Iterator[int]:
        """The tokens of a split's sources and targets."""
        targets = chain.from_iterable(row["labels"] for row in self.examples(split))
        return chain(super().tokens(split), targets)

    def baselines(self) -> dict[str, float]:
        """What needs no network: BLEU on the validation split, in percent.

        Returns:
            ``copied_source``: every text is its own translation.
        """
        rows = self._split("validation")
        return {"copied_source": bleu(bleu_counts(rows.sources, rows.targets))}

    def assess(self, split: str, said: Sequence[str], loss: float | None = None) -> Quality:
        """The quality of translations of the first rows of a split, in its order.

        Args:
            split: its name.
            said: the translations.
            loss: mean cross entropy of a token of the references, in nats, where it is known.

        Returns:
            BLEU of the whole split (``counts`` has what each sentence adds to it, ``signature``
            how sacrebleu counts), with the standard error of a bootstrap over the sentences; chrF
            and the loss beside. ``scores`` are each sentence's chrF, from 0 to 1; ``predictions``
            int64 fingerprints, equal where both models said the same.

        Raises:
            PrunusError: the task has no such split.
        """
        right = self._split(split).targets[: len(said)]
        counts = bleu_counts(said, right)
        return Quality(
            metric="bleu",
            value=bleu(counts),
            stderr=bootstrap(lambda rows: bleu(counts[rows]), len(counts), self.seed),
            n=len(counts),
            predictions=torch.tensor([fingerprint(text) for text in said]),
            scores=sentence_chrf(said, right),
            extra={"chrf": chrf(said, right)} | ({} if loss is None else {"loss": loss}),
            said=tuple(said),
            counts=counts,
            signature=signature(),
        )

    def translate(self, model: nn.Module, batch: Batch) -> Tensor:
        """What a model says to the sources of a batch.

        Args:
            model: in evaluation mode, with :meth:`generate` of transformers.
            batch: as :meth:`batches` gives it.

        Returns:
            ``[example, token]`` int64 ids, the beginning of the decoder and padding included.

        Raises:
            PrunusError: the model cannot generate.
        """
        generate = getattr(model, "generate", None)
        if generate is None:
            raise PrunusError(f"a {type(model).__name__} cannot generate translations")
        return generate(
            **{name: batch[name] for name in READ},
            do_sample=False,
            num_beams=self.beams,
            max_new_tokens=self.max_new_tokens,
            decoder_start_token_id=self.start,
            eos_token_id=self.tokenizer.eos_token_id,
            pad_token_id=self.tokenizer.pad_token_id,
        )

    def _answers(self, model: nn.Module, batch: Batch) -> Tensor:
        """``[example, 2 + token]`` float64: the reference's loss, its tokens, and the ids said."""
        device = device_of(model)
        inputs = {name: tensor.to(device) for name, tensor in batch.items()}
        labels = inputs.pop("labels")
        logits = model(**inputs).logits.float().transpose(1, 2)
        lost = cross_entropy(logits, labels, ignore_index=IGNORED, reduction="none").sum(1)
        of = (labels != IGNORED).sum(1)
        ids = self.translate(model, inputs)
        return torch.cat([torch.stack([lost.double(), of.double()], 1), ids.double()], 1).cpu()

    def _terms(self, batch: Batch) -> int:
        """The tokens of the references."""
        return int((batch["labels"] != IGNORED).sum())

    def _judge(self, split: str, answers: list[Tensor]) -> Quality:
        lost, of = torch.stack([row[:2] for row in answers]).sum(0).tolist()
        ids = [row[2:].long().tolist() for row in answers]
        said = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return self.assess(split, [text.strip() for text in said], lost / of)

    @property
    def _limits(self) -> tuple[int, int]:
        """Tokens at which a source and a target are cut off."""
        most = self.tokenizer.model_max_length
        return min(self.max_length, most), min(self.max_target_length, most)

    def _encode(self, split: str) -> list[Example]:
        rows, (source, target) = self._split(split), self._limits
        texts = [self.prefix + text for text in rows.sources]
        read: Any = self.tokenizer(texts, truncation=True, max_length=source)
        goal: Any = self.tokenizer(text_target=rows.targets, truncation=True, max_length=target)
        columns = {**{name: read[name] for name in READ}, "labels": goal["input_ids"]}
        self._require_ends(columns["labels"])
        rows = zip(*columns.values(), strict=True)
        return [dict(zip(columns, values, strict=True)) for values in rows]

    def _require_ends(self, targets: list[list[int]]) -> None:
        end = self.tokenizer.eos_token_id
        if any(not ids or ids[-1] != end for ids in targets):
            raise PrunusError(
                f"translation: the tokenizer does not end every text with"
                f" {self.tokenizer.eos_token!r}, by which a model says that it is done; take the"
                " tokenizer of a model that translates"
            )

    def _batch(self, rows: list[Example], pad: Callable[[list[Any]], Batch], start: int) -> Batch:
        inputs = pad([{name: row[name] for name in READ} for row in rows])
        targets = [torch.tensor(row["labels"]) for row in rows]
        labels = pad_sequence(targets, batch_first=True, padding_value=IGNORED)
        before = labels.roll(1, 1)
        before[:, 0] = start
        return inputs | {
            "decoder_input_ids": before.masked_fill(before == IGNORED, self._padding),
            "decoder_attention_mask": (labels != IGNORED).long(),
            "labels": labels,
        }

    @property
    def _padding(self) -> int:
        token: Any = self.tokenizer.pad_token_id
        return token

    def _asked(self, split: str, row: int) -> Asked:
        rows = self._split(split)
        return Asked((rows.sources[row],), rows.targets[row])

    def _said(self, quality: Quality, row: int) -> Answer:
        return Answer(quality.said[row], score=float(quality.scores[row]))
