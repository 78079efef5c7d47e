"""Tokens that are never seen, cut: what it saves and what it costs on texts that are new.

    PRUNUS_DATA=... PRUNUS_MODELS=... python benchmarks/vocab.py [--table]

The dense MiniLM of SST-2 (see retraining_free.py), its vocabulary trimmed to tokens that the
training split has at least so many times; nothing else is cut, nothing is trained. Half a minute
of CPU a cell. Bytes are those of model.safetensors and tokenizer.json in float32.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from cells import fill, rows
from retraining_free import dense_of, task_of

TABLE = "vocab"
CELLS = [{"task": "sst2", "min_count": count} for count in (1, 2, 5, 20)]


def measure(task: str, min_count: int) -> dict[str, Any]:
    """One cell: accuracy on the validation split, sizes, and what happened to its tokens."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    import prunus
    from prunus.measure.size import parameters
    from prunus.recipe import Vocabulary
    from prunus.recipe._trim import trim
    from prunus.task import agreement, difference

    torch.set_num_threads(1)
    folder = dense_of(task)
    model = prunus.load(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    data = task_of(task).prepare(tokenizer, num_labels=model.config.num_labels, seed=0)
    found = trim(Vocabulary(min_count=min_count), model, data, "validation")
    with tempfile.TemporaryDirectory() as place:
        sizes = {
            "dense": _saved(model, tokenizer, Path(place) / "dense"),
            "pruned": _saved(found.model, found.tokenizer, Path(place) / "pruned"),
        }
        again = AutoModelForSequenceClassification.from_pretrained(Path(place) / "pruned")
        few = AutoTokenizer.from_pretrained(Path(place) / "pruned")
    dense = data.evaluate(model)
    pruned = task_of(task).prepare(few, num_labels=2, seed=0).evaluate(again.eval())
    ahead = difference(pruned, dense)
    return {
        "opened_as": type(again).__name__,
        "dense": dense.value,
        "pruned": pruned.value,
        "stderr": pruned.stderr,
        "change": ahead.value,
        "margin": ahead.margin,
        "agreement": agreement(dense, pruned),
        "parameters": {"dense": parameters(model), "pruned": parameters(again)},
        "file_bytes": sizes,
        **found.told.model_dump(mode="json"),
    }


def _saved(model: Any, tokenizer: Any, folder: Path) -> dict[str, int]:
    import prunus

    prunus.save(model, folder, tokenizer)
    return {
        name: (folder / name).stat().st_size for name in ("model.safetensors", "tokenizer.json")
    }


def table() -> None:
    """Markdown."""
    print("| seen at least | tokens | accuracy | change (95 %) | model | tokenizer | tokens gone |")
    print("|---|---|---|---|---|---|---|")
    for row in rows(TABLE):
        kept, files = row["tokens"], row["file_bytes"]["pruned"]
        print(
            f"| {row['cell']['min_count']} | {kept['pruned']:,} of {kept['dense']:,}"
            f" | {row['pruned']:.2f} | {row['change']:+.2f} ± {row['margin']:.2f}"
            f" | {files['model.safetensors'] / 1e6:.1f} MB | {files['tokenizer.json'] / 1e3:.0f} kB"
            f" | {100 * row['changed']:.2f} % |"
        )


if __name__ == "__main__":
    if "--table" not in sys.argv[1:]:
        fill(TABLE, CELLS, measure)
    table()
