"""What pruned models still say, beside what the dense ones say: density .7, saved, opened again.

    PRUNUS_DATA=... python benchmarks/sensible.py [CASE ...]

Calibrated on 128 sentences of STS-B, retraining-free, in a minute or two of two cores. Runs are
kept under ``runs/sensible``.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mpnet
import torch
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

import prunus
from prunus.probe.work import flops, single
from prunus.task._source import open_source

DENSITY, SENTENCES = 0.7, 128
QUICK = {"score": "fluctuation", "select": "greedy", "recover": ["least_squares"]}
Say = Callable[[PreTrainedModel, PreTrainedTokenizerBase], dict[str, str]]


@dataclass(frozen=True)
class Case:
    """A model: what makes its folder, and what it is asked to say."""

    folder: Path
    fetch: Callable[[], None]
    say: Say


PAIRS = (
    ("A man is playing a guitar.", "Someone plays an instrument."),
    ("A man is playing a guitar.", "A man is slicing bread."),
    ("How do I renew my passport?", "Where can I get a new passport?"),
    ("How do I renew my passport?", "The harbour freezes over in winter."),
    ("The harbour freezes over in winter.", "In the cold months ice covers the port."),
    ("The film was a waste of time.", "I loved every minute of the film."),
)


def similarities(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """Cosine similarities of pairs of sentences, each the mean of its tokens' states."""
    found = {}
    for pair in PAIRS:
        batch = tokenizer(list(pair), padding=True, return_tensors="pt")
        with torch.inference_mode():
            states = model(**batch).last_hidden_state
        real = batch["attention_mask"][..., None]
        one, other = (states * real).sum(1) / real.sum(1)
        cosine = torch.nn.functional.cosine_similarity(one, other, dim=0)
        found[" / ".join(pair)] = f"{cosine:.2f}"
    return found


CASES = {"mpnet": Case(mpnet.FOLDER, mpnet.fetch, similarities)}


def batches(tokenizer: PreTrainedTokenizerBase) -> Iterator[dict[str, torch.Tensor]]:
    """Sentences of like length together, so that little is padding."""
    rows = open_source("nyu-mll/glue", "stsb", "utf-8", ["sentence1"])["train"]
    texts = sorted(dict.fromkeys(rows["sentence1"][: 2 * SENTENCES]), key=len)[-SENTENCES:]
    for start in range(0, len(texts), 16):
        yield dict(tokenizer(texts[start : start + 16], padding=True, return_tensors="pt"))


def run(name: str) -> None:
    """Prune, save, open again, and print what both models say."""
    case = CASES[name]
    case.fetch()
    model = prunus.load(case.folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(case.folder)
    data = list(batches(tokenizer))
    started = time.process_time()
    small = prunus.prune(model, data, DENSITY, **QUICK)
    seconds = time.process_time() - started
    place = mpnet.ROOT / "runs/sensible" / name
    prunus.save(small, place, tokenizer, around=case.folder)
    again = prunus.load(place)
    sample = single(data[0])
    print(f"{name}: {flops(again, sample) / flops(model, sample):.3f} of the FLOPs", end=", ")
    print(f"{again.num_parameters() / model.num_parameters():.3f} of the parameters", end=", ")
    print(f"{seconds:.0f} s of CPU; {place}\n")
    print("| asked | dense | pruned |\n|---|---|---|")
    dense, pruned = (case.say(m, tokenizer) for m in (model, again))
    for asked, answer in dense.items():
        print(f"| {asked} | {answer} | {pruned[asked]} |")


if __name__ == "__main__":
    torch.manual_seed(0)
    for name in sys.argv[1:] or CASES:
        run(name)
