"""A new network of one of transformers' families, with a tokenizer learnt from the task's texts."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field, PositiveInt

from prunus.errors import PrunusError, unknown
from prunus.registry import Part

PAD, END, UNKNOWN = SPECIAL = ("<pad>", "</s>", "<unk>")
"""The special tokens, called and numbered as T5's."""


class Fresh(Part):
    """The settings of a new network that reads texts, in the place of a pretrained model.

    Attributes:
        name: the family: t5, bart, marian, ...
        config: sizes and whatever else, under the names of the family's configuration.
        vocabulary: tokens of its tokenizer at most, the special ones included.
        pieces: how texts are split: bpe (Sennrich et al., arXiv 1508.07909) or unigram (Kudo,
            arXiv 1804.10959).
    """

    name: str
    config: dict[str, Any] = Field(default_factory=dict)
    vocabulary: PositiveInt = 6000
    pieces: Literal["bpe", "unigram"] = "bpe"

    def tokenizer(self, texts: Iterable[str], longest: int) -> Any:
        """A tokenizer learnt from texts, which ends every text with ``</s>``.

        Args:
            texts: of all languages that it shall split.
            longest: tokens at which it cuts texts off.
        """
        from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
        from tokenizers.processors import TemplateProcessing
        from transformers import PreTrainedTokenizerFast

        inner = Tokenizer(self._model())
        inner.normalizer = normalizers.NFKC()
        inner.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
        )
        inner.decoder = decoders.Metaspace()
        inner.train_from_iterator(texts, self._trainer())
        ends = [(END, inner.token_to_id(END))]
        inner.post_processor = TemplateProcessing(
            single=f"$A {END}", pair=f"$A {END} $B {END}", special_tokens=ends
        )
        return PreTrainedTokenizerFast(
            tokenizer_object=inner, model_max_length=longest,
            pad_token=PAD, eos_token=END, unk_token=UNKNOWN,
        )  # fmt: skip

    def build(self, head: str, tokenizer: Any, said: Mapping[str, Any]) -> Any:
        """Make the network, randomly drawn, in float32.

        Args:
            head: as transformers names its classes.
            tokenizer: whose tokens it reads.
            said: what the task says of the configuration.

        Raises:
            PrunusError: the family has no such head or setting, or its sizes do not fit.
        """
        import transformers

        config = self._configured(tokenizer, said)
        maker = getattr(transformers, f"AutoModelFor{head}")
        if type(config) not in maker._model_mapping:
            raise PrunusError(f"model: a new {self.name} has no head For{head}, which it needs")
        try:
            return maker.from_config(config)
        except (ValueError, RuntimeError) as error:
            raise PrunusError(f"model: no {self.name} can be made so: {error}") from None

    def _configured(self, tokenizer: Any, said: Mapping[str, Any]) -> Any:
        from transformers import CONFIG_MAPPING

        kind = next(key for key in CONFIG_MAPPING if key.replace("-", "_") == self.name)
        cls: Any = CONFIG_MAPPING[kind]
        known = {*cls().to_dict(), *cls.attribute_map}
        for key in self.config:
            if key not in known:
                raise unknown(f"key of a {self.name}'s configuration", key, known)
        others = {"bos_token_id": None, "forced_eos_token_id": tokenizer.eos_token_id}
        others = {key: token for key, token in others.items() if key in known}
        try:
            return cls(**{**_tokens(tokenizer), **others, **said, **self.config})
        except Exception as error:  # configurations are checked in many ways
            raise PrunusError(f"model: no {self.name} can be made so: {error}") from None

    def _model(self) -> Any:
        from tokenizers import models

        return models.BPE(unk_token=UNKNOWN) if self.pieces == "bpe" else models.Unigram()

    def _trainer(self) -> Any:
        from tokenizers import trainers

        sizes = {"vocab_size": self.vocabulary, "special_tokens": list(SPECIAL)}
        if self.pieces == "bpe":
            return trainers.BpeTrainer(show_progress=False, **sizes)
        return trainers.UnigramTrainer(show_progress=False, unk_token=UNKNOWN, **sizes)


def _tokens(tokenizer: Any) -> dict[str, Any]:
    """What a configuration says of tokens; a decoder begins with the padding token, as T5's."""
    return {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "decoder_start_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
