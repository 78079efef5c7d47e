"""A report with every field set."""

from typing import Any

from prunus.report import Report


def history(
    name: str,
    looks: list[tuple[int, float | None, float]],
    kept: int | None = None,
    quality: float | None = None,
) -> dict[str, Any]:
    """A training of looks (step, training loss, validation loss), a second of work a step."""
    points = [
        {
            "step": step,
            "epoch": step / 10,
            "cpu": float(step),
            "seconds": step / 2,
            "training": training,
            "validation": validation,
            "quality": quality,
        }
        for step, training, validation in looks
    ]
    return {"name": name, "loss": 1.8, "points": points, "kept": kept}


def module(
    site: str, density: float, pruned: float, tuning: tuple[float, ...] = (), **more: Any
) -> dict[str, Any]:
    """A module whose error falls to a tenth."""
    history = [{"epoch": float(n), "validation": error} for n, error in enumerate(tuning)]
    kind = site.rpartition(":")[2]
    said = {"site": site, "kind": kind, "density": density, "pruned": pruned, "history": history}
    return said | {"tuned": pruned / 10, "loss": 0.02} | more


def sample(**changes: Any) -> Report:
    """The report of an invented run; ``changes`` replace whole fields."""
    wall = {"dense": 48.2, "pruned": 26.1, "speedup": 1.85, "speedup_iqr": [1.75, 2.03]}
    latency = {
        "runtime": "torch-eager",
        "batch": 8,
        "length": 24,
        "threads": 1,
        "dense": 47.3,
        "pruned": 25.1,
        "speedup": 1.88,
        "speedup_iqr": [1.85, 1.93],
        "ideal": 2.0,
        "wall": wall,
        "pairs": 15,
    }
    change = {
        "texts": ["a film that is not good"],
        "right": "bad",
        "dense": {"text": "bad", "confidence": 0.61},
        "pruned": {"text": "good", "confidence": 0.97},
    }
    steps = [
        {
            "density": density,
            "of_model": density,
            "flops": int(density * 562_341_888),
            "params": 17_400_000,
            "quality": 93.2 + ahead,
            "ahead": ahead,
            "margin": 0.8,
            "met": ahead >= -1,
        }
        for density, ahead in ((0.5, -0.1), (0.25, -2.4), (0.38, -0.9))
    ]
    fields: dict[str, Any] = {
        "recipe": {"model": "dense", "budget": {"density": 0.5}, "recover": ["least_squares"]},
        "model": "runs/dense",
        "task": "text classification",
        "quality": {
            "metric": "accuracy",
            "dense": 75.15,
            "pruned": 73.85,
            "stderr": 0.98,
            "n": 2000,
            "agreement": 0.912,
            "baselines": {"majority": 43.25, "bag_of_words": 70.15},
        },
        "detail": {
            "calibration_error": {"dense": 3.21, "pruned": 5.43, "bins": 15},
            "recall": {
                "bad": {"dense": 80.5, "pruned": 77.25, "n": 900},
                "good": {"dense": 70.75, "pruned": 71.5, "n": 1100},
            },
            "worst_class": "good",
            "changes": {
                "right_to_wrong": {"n": 41, "examples": [change]},
                "wrong_to_right": {"n": 15, "examples": []},
                "wrong_otherwise": {"n": 0},
            },
        },
        "touch_up": {
            "name": "finetune",
            "learnt": "biases and norms",
            "before": 71.35,
            "gained": 2.5,
            "margin": 0.81,
            "minutes": 2.0,
            "steps": 772,
            "loss": 0.0412,
            "split": "train",
            "samples": 67349,
        },
        "compared": [
            {
                "name": "random",
                "made": "units drawn by chance",
                "quality": 70.1,
                "stderr": 1.02,
                "ahead": 3.75,
                "margin": 1.5,
                "params": 17_400_000,
                "flops": 281_000_000,
                "bytes": 69_600_000,
                "latency_ms": [latency | {"speedup": 1.77}],
            },
            {"name": "int8", "made": "not made: no such function"},
        ],
        "frontier": {
            "max_loss": 1.0,
            "split": "development",
            "n": 1000,
            "named": False,
            "dense": 93.2,
            "steps": steps,
            "chosen": 0.38,
            "held": "validation",
            "ahead": -1.3,
            "margin": 0.95,
        },
        "histories": [
            history("step 1", [(0, None, 2.5), (10, 1.9, 2.0), (15, 1.7, 2.125)], kept=10),
            history("step 2", [(0, None, 3.0), (10, 2.0, 2.25)], quality=71.5),
        ],
        "library": {
            "folder": "runs/library",
            "configurations": 4,
            "pick": 1,
            "modules": 3,
            "used": 2,
            "reused": 1,
            "tuned": 2,
            "redone": 1,
            "seconds": 61.2,
            "cpu": 118.0,
            "notes": ["2 masks were edited by hand"],
            "rows": [
                module("encoder.layer.0:heads", 0.25, 0.5, closed=0.3, used=True),
                module("encoder.layer.1:heads", 0.5, 0.25, reused=True),
                module("encoder.layer.0:neurons", 0.5, 0.4, tuning=(0.3, 0.2, 0.1), used=True),
            ],
        },
        "density": {"metric": "flops", "of_sites": 0.472, "of_model": 0.4998},
        "zeros": {
            "layers": [
                {
                    "name": "encoder.layer.0.attention.self.query",
                    "kind": "Linear",
                    "shape": [384, 384],
                    "nonzero": 14_745,
                    "of": 147_456,
                    "pruned": True,
                    "block": [32, 32],
                    "live": 15,
                },
                {
                    "name": "classifier",
                    "kind": "Linear",
                    "shape": [2, 384],
                    "nonzero": 768,
                    "of": 768,
                    "pruned": False,
                },
            ],
            "embeddings": [
                {
                    "name": "embeddings.word_embeddings",
                    "kind": "Embedding",
                    "shape": [100, 384],
                    "nonzero": 38_016,
                    "of": 38_400,
                    "pruned": True,
                },
            ],
            "nonzero": 15_513,
            "of": 148_224,
            "neural_compressor": 0.89533,
            "work": 0.54,
        },
        "params": {"dense": 22_714_755, "pruned": 17_402_115},
        "flops": {
            "dense": 562_341_888,
            "pruned": 281_020_416,
            "per": "sequence",
            "length": 23.4,
            "padded": {"dense": 1_541_341_888, "pruned": 770_320_416, "length": 64},
        },
        "bytes": {"dense": 90_868_376, "pruned": 69_611_040},
        "latency_ms": [latency],
        "untimed": {"torch-compile": "no compiler for C++"},
        "exports": [
            {
                "to": "openvino",
                "dtype": "int8",
                "folder": "openvino-int8",
                "difference": 0.0021,
                "samples": 24,
                "quality": 73.7,
                "ahead": -0.15,
                "margin": 0.4,
                "bytes": 17_600_000,
            },
            {"to": "pt2", "dtype": "float32", "folder": "pt2", "why": "it cannot be traced"},
        ],
        "equivalence": {
            "masked_vs_shrunk": 4.1e-7,
            "dense_vs_shrunk": 0.31,
            "reloaded_vs_shrunk": 0.0,
        },
        "kept": {"encoder.layer.0:heads": [7, 12], "encoder.layer.0:neurons": [0, 1536]},
        "seconds": {"load": 3.1, "score": 41.2, "total": 99.8, "latency": 2.3},
        "peak_memory_bytes": 1_180_000_000,
        "seed": 0,
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "hardware": {"cpu": "a processor", "memory_bytes": 25_000_000_000, "mkldnn": True},
    }
    return Report(**(fields | changes))
