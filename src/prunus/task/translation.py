"""Translation: any parallel text, judged by BLEU and chrF as sacrebleu counts them."""

from itertools import chain
from typing import Any, ClassVar

from datasets import Dataset
from pydantic import PositiveInt
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from prunus.errors import PrunusError
from prunus.networks._fresh import Fresh
from prunus.task._labels import require_values
from prunus.task._slices import draw
from prunus.task._source import column, open_source, require_columns
from prunus.task._task import TextTask
from prunus.task._translated import Pairs, Translated

NESTED = "translation"
"""The column in which the hub's parallel texts hold a text in each language."""


class Translation(TextTask):
    """Texts in one language, each with its translation into another.

    Attributes:
        data: a hub id (looked for under ``$PRUNUS_DATA`` first), a CSV, JSONL or parquet file, a
            folder of such files, ``package:module/file``, or a mapping from split to file.
        config: the hub's configuration.
        source: the column with the text; of the hub's ``translation`` columns its language.
        target: the column with the translation, likewise.
        prefix: what stands before every source, such as ``translate English to German:`` and a
            blank, as T5 was taught.
        encoding: of CSV and JSONL files.
        splits: for ``train``, ``calibration``, ``development`` and ``validation`` either a split
            of the source or a count of rows to draw from its training split.
        max_length: tokens at which a source is cut off, prefix and all.
        max_target_length: tokens at which a target is cut off.
        max_new_tokens: tokens at which a translation ends that does not end itself; None is
            ``max_target_length``. Weak models repeat themselves until then, which costs time and
            BLEU.
        beams: of the search for a translation; 1 takes the likeliest token each time.
    """

    head: ClassVar[str] = "Seq2SeqLM"
    pipeline: ClassVar[str | None] = "translation"
    data: str | dict[str, str]
    config: str | None = None
    source: str = "en"
    target: str = "de"
    prefix: str = ""
    encoding: str = "utf-8"
    max_length: PositiveInt = 128
    max_target_length: PositiveInt = 128
    max_new_tokens: PositiveInt | None = None
    beams: PositiveInt = 1

    def answered_by(self, model: PreTrainedModel) -> bool:
        """Whether a model reads one text and writes another."""
        return model.config.is_encoder_decoder and model.can_generate()

    def prepare(
        self,
        processor: PreTrainedTokenizerBase,
        num_labels: int | None = None,
        seed: int = 0,
        head_names: list[str] | None = None,
    ) -> Translated:
        """Open the data, check it, and draw the splits.

        Args:
            processor: the tokenizer of the model.
            num_labels: not used: a translation has no classes.
            seed: draws the calibration rows. The other splits are always the same.
            head_names: not used.

        Raises:
            PrunusError: the source, a column, a split or a text is missing or empty, or the
                tokenizer has no token that ends a text.
        """
        if processor.eos_token_id is None:
            raise PrunusError(
                f"translation needs a tokenizer with an end of text (eos_token), this"
                f" {type(processor).__name__} has none: take that of a model that translates"
            )
        return Translated(
            tokenizer=processor,
            splits=self._splits(seed),
            max_length=self.max_length,
            max_target_length=self.max_target_length,
            max_new_tokens=self.max_new_tokens or self.max_target_length,
            prefix=self.prefix,
            beams=self.beams,
            seed=seed,
        )

    def tokenizer_for(self, network: Fresh) -> PreTrainedTokenizerBase:
        """One tokenizer for both languages, learnt from the training split.

        Raises:
            PrunusError: there is no training split; or as :meth:`prepare`.
        """
        splits = self._splits(seed=0)
        if "train" not in splits:
            raise PrunusError("a tokenizer is learnt from the training split, which is missing")
        rows = splits["train"]
        texts = chain((self.prefix + text for text in rows.sources), rows.targets)
        return network.tokenizer(texts, max(self.max_length, self.max_target_length))

    def _splits(self, seed: int) -> dict[str, Pairs]:
        columns = self.source, self.target
        opened = open_source(self.data, self.config, self.encoding, columns)
        drawn = draw({name: rows.num_rows for name, rows in opened.items()}, self.splits, seed)
        used = {name: self._flat(opened[name]) for name, _ in drawn.values()}
        require_columns(used, columns, str(self.data), "Set `source` and `target`.")
        sources, targets = (_texts(column(used, drawn, name), name) for name in columns)
        return {split: Pairs(sources[split], targets[split]) for split in drawn}

    def _flat(self, rows: Dataset) -> Dataset:
        """The languages of the hub's ``translation`` column as columns."""
        if NESTED not in rows.column_names or self.source in rows.column_names:
            return rows
        flat = rows.flatten()
        return flat.rename_columns(
            {name: name.removeprefix(f"{NESTED}.") for name in flat.column_names}
        )


def _texts(values: dict[str, list[Any]], name: str) -> dict[str, list[str]]:
    """Texts without surrounding blanks, none of them empty."""
    found = {
        split: [text.strip() if isinstance(text, str) else text for text in texts]
        for split, texts in values.items()
    }
    require_values(found, name, nothing=(None, ""))
    for split, texts in found.items():
        strange = next((text for text in texts if not isinstance(text, str)), None)
        if strange is not None:
            raise PrunusError(f"{split}: column {name!r} holds {strange!r}, which is no text")
    return found
