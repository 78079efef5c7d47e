"""What pruned models say beside the dense ones: no labels, no training, only outputs to read.

    PRUNUS_DATA=... python benchmarks/sensible.py mpnet

mpnet: all-mpnet-base-v2 (see mpnet.py) keeps .7 of the FLOPs of its heads and neurons, is saved
with its pooling and loaded again, and says how alike six pairs of sentences are. Calibrated on
sentences of STS-B's training split; the correlation is that with people's grades of pairs of its
validation split. About two minutes of CPU.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cells import fill

PAIRS = (
    ("A man is playing a guitar.", "Someone plays an instrument."),
    ("A man is playing a guitar.", "A man is slicing bread."),
    ("How do I renew my passport?", "Where can I get a new passport?"),
    ("How do I renew my passport?", "The harbour freezes over in winter."),
    ("The harbour freezes over in winter.", "In the cold months ice covers the port."),
    ("The film was a waste of time.", "I loved every minute of the film."),
)


def mpnet(density: float, samples: int, graded: int) -> dict[str, Any]:
    """A sentence-transformers model: mean pooling, cosine."""
    import torch
    from mpnet import FOLDER, fetch
    from transformers import AutoTokenizer

    import prunus
    from prunus.task._metrics import spearman
    from prunus.task._source import open_source

    fetch()
    dense = prunus.load(FOLDER, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    splits = open_source("nyu-mll/glue", "stsb", "utf-8", ["sentence1", "sentence2"])
    texts = list(dict.fromkeys(splits["train"]["sentence1"][:]))[:samples]
    parts = [sorted(texts, key=len)[at : at + 16] for at in range(0, samples, 16)]
    batches = [dict(tokenizer(part, padding=True, return_tensors="pt")) for part in parts]
    cpu = time.process_time()
    small = prunus.prune(
        dense, batches, density, score="fluctuation", select="greedy", recover=["least_squares"]
    )
    seconds = time.process_time() - cpu
    with tempfile.TemporaryDirectory() as folder:
        prunus.save(small, Path(folder) / "small", tokenizer, around=FOLDER)
        again = prunus.load(Path(folder) / "small")
        kept = sorted(str(f.relative_to(folder)) for f in Path(folder).rglob("*.json"))
    models = {"dense": dense, "pruned": again}
    held = splits["validation"][:graded]
    pairs = list(zip(held["sentence1"], held["sentence2"], strict=True))
    grades = torch.tensor(held["label"])
    said = {name: _cosines(model, tokenizer, [*PAIRS, *pairs]) for name, model in models.items()}
    return {
        "parameters": {name: sum(p.numel() for p in m.parameters()) for name, m in models.items()},
        "cpu_seconds": round(seconds),
        "spearman_with_people": {k: spearman(v[len(PAIRS) :], grades) for k, v in said.items()},
        "cosines": {
            " / ".join(pair): {name: round(float(v[at]), 2) for name, v in said.items()}
            for at, pair in enumerate(PAIRS)
        },
        "files": kept,
    }


def _cosines(model: Any, tokenizer: Any, pairs: list[tuple[str, str]]) -> Any:
    """[pair]: the cosine of the two sentences' embeddings, means of their tokens' states."""
    import torch

    found = []
    for pair in pairs:
        batch = tokenizer(list(pair), padding=True, return_tensors="pt")
        with torch.inference_mode():
            states = model(**batch).last_hidden_state
        real = batch["attention_mask"][..., None]
        found.append(torch.nn.functional.cosine_similarity(*(states * real).sum(1), dim=0))
    return torch.stack(found)


CASES = {
    "mpnet": (mpnet, {"density": 0.7, "samples": 128, "graded": 100}),
}


def measure(case: str, **settings: Any) -> dict[str, Any]:
    """One case, and the most memory that it took."""
    found = CASES[case][0](**settings)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**found, "peak_mib": round(peak)}


if __name__ == "__main__":
    names = sys.argv[1:] or list(CASES)
    fill("sensible", [{"case": name, **CASES[name][1]} for name in names], measure)
