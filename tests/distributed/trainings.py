"""Trainings that several processes share, and one does alone, with the same result.

``python -m torch.distributed.run --nproc-per-node 2 -m tests.distributed.trainings FOLDER`` carries
everything out; each rank writes ``CASE.RANK.safetensors``.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
import yaml
from accelerate import DistributedType, PartialState
from safetensors.torch import load_file, save_file
from torch import Tensor

from prunus import ranks, registry
from prunus.drive import finish
from prunus.drive._pruner import Pruner
from prunus.recipe import read, read_training
from prunus.recipe._bars import Bars
from prunus.recipe._job import job_for
from prunus.recipe._parts import parts
from prunus.recipe._stage import Stage
from prunus.recipe._steps import open_all
from prunus.recipe.train import train
from prunus.safe import SafePoints
from tests.distributed import shards
from tests.recipes.dense import recipe
from tests.task.pairs import translator, write

Found = dict[str, Tensor]
SPLITS = {"train": 25, "calibration": 8, "validation": 20}
"""Steps have four examples: in an epoch's last one, one of the processes has none."""
QUICK = (
    "latency=null", "evaluation.baselines=false", "calibration={samples: 8, batch_size: 3}",
    f"task.splits={json.dumps(SPLITS)}",
)  # fmt: skip
TRAINING = "batch_size: 4, learning_rate: .2, warmup_ratio: 0, optimizer: sgd"
HALF = ("sites=[heads, neurons]", "budget={density: .5, metric: units}")
GRADUAL = (
    *QUICK,
    f"training={{epochs: 1, {TRAINING}}}",
    "drive={name: gradual, schedule: {name: cubic, warmup: 1, cooldown: 1, every: 2}}",
)
BLOCKS = (*GRADUAL, "sites={grid: 4x1, match: '(?!.*pooler).*'}", "budget={density: .3}")
TILES = (*GRADUAL, "sites={grid: 4x4, match: '(?!.*pooler).*'}", "budget={density: .3}")
UNITS = (*GRADUAL, *HALF)
STEPWISE = (
    *QUICK, *HALF, "score=magnitude", f"training={{{TRAINING}}}",
    "drive={name: stepwise, steps: 2, recovery: .5}",
)  # fmt: skip
COMPOSED = (
    *QUICK, "score=magnitude", "sites=[heads, neurons]", f"training={{{TRAINING}}}",
    "recover=[least_squares, {name: modulewise, epochs: 2}]",
)  # fmt: skip
TOUCHED = (*QUICK, *HALF)
DROPOUT = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout_rate")
LEARNT = {
    "movement": "{name: movement, learning_rate: 1, init: uniform, scale: .1}",
    "soft_movement": "{name: soft_movement, penalty: 5, learning_rate: 1}",
    "l0": "{name: l0, penalty: 5, learning_rate: 1}",
}
ADAPTERS = ("lora", "splora", "splopa", "lokr", "phm", "sppara")
TRACED = ("snip_momentum", "snip", "gradient", "block_mask", "magnitude", "random")
LOSSES = "losses=[labels, {name: logits, weight: .5}, {name: hidden, layers: all}, attention]"


def _adapter(name: str) -> str:
    own = registry.find("adapt", name)
    return f"adapt={{name: {name}, rank: 2}}" if "rank" in own.model_fields else f"adapt={name}"


SAID: dict[str, tuple[str, ...]] = {
    **{f"score {name}": (*BLOCKS, f"score={name}") for name in TRACED},
    **{f"score {name}": (*TILES, f"score={said}") for name, said in LEARNT.items()},
    **{f"adapt {name}": (*UNITS, _adapter(name)) for name in ADAPTERS},
    "units": UNITS,
    "every loss": (*UNITS, LOSSES),
    "in parts": (*BLOCKS, "drive.progressive=2", "drive.lasso=.001"),
    "regrow": (*BLOCKS, "drive.regrow=true"),
    "passes": (*UNITS, LOSSES, "training.gradient_accumulation_steps=2"),
    "gates again": (
        *TILES, f"score={LEARNT['l0']}", "training.gradient_checkpointing=true",
        "training.gradient_accumulation_steps=2",
    ),
    "stepwise": STEPWISE,
    "stepwise splora": (*STEPWISE, "adapt={name: splora, rank: 2}"),
    "touched up": (*TOUCHED, "recover=[{name: finetune, steps: 6, learning_rate: .01}]"),
    "touched up lora": (
        *TOUCHED, "recover=[{name: finetune, steps: 6, train: lora, learning_rate: .01}]",
    ),
}  # fmt: skip
"""What each case says in a recipe."""


@contextmanager
def stage(said: tuple[str, ...], place: Path, points: Path | None) -> Iterator[Stage]:
    """Where a recipe is carried out, with a folder of safe points, if there is one."""
    made = read(place / "recipe.yaml", said)
    torch.manual_seed(made.seed)
    log = logging.getLogger("trainings")
    safe = SafePoints() if points is None else SafePoints.at(points, 0.0, made.seed)
    with Bars(True) as bars, TemporaryDirectory() as own:
        yield Stage(made, parts(made), Path(own), place / "out", bars, log, safe)


def pruned(said: tuple[str, ...], place: Path, points: Path | None = None) -> Found:
    """Masks, weights and losses of a recipe."""
    with stage(said, place, points) as where:
        opened = open_all(where, place / "dense")
        job = job_for(where, opened.model, opened.prepared, opened.batches)
        plan = where.parts.drive.run(job)
        weights = finish(job, plan).state_dict()
        losses = [float(one.loss) for one in job.history]
    return {
        **{f"plan/{name}": mask for name, mask in plan.items()},
        **{f"weight/{name}": own.clone() for name, own in weights.items()},
        "losses": torch.tensor(losses, dtype=torch.float64),
    }


class Killed(BaseException):
    """The end of a run in the middle of a step."""


def resumed(place: Path) -> Found:
    """A run that is killed and taken up again."""
    points, after = place / f"points{ranks.world()}", Pruner._after

    def killed(self: Pruner, *given: object) -> None:
        if self.done == 5:
            raise Killed
        after(self, *given)

    with pytest.MonkeyPatch.context() as broken, suppress(Killed):
        broken.setattr(Pruner, "_after", killed)
        pruned(UNITS, place, points)
    assert list(points.glob("**/checkpoint-5"))
    return pruned(UNITS, place, points)


def in_parts(said: tuple[str, ...], place: Path) -> Found:
    """Where several processes train, accelerate shards the network by FSDP2.

    It does so on GPUs alone; told that processors are some, it does it on them as well.
    """
    begun = PartialState.__init__

    def made(self: PartialState, *args: object, **settings: object) -> None:
        begun(self, *args, **settings)
        if self._shared_state["distributed_type"] == DistributedType.MULTI_CPU:
            self._shared_state["distributed_type"] = DistributedType.MULTI_GPU

    with pytest.MonkeyPatch.context() as asked:
        if ranks.world() > 1:
            asked.setattr(PartialState, "__init__", made)
            for name, value in FSDP.items():
                asked.setenv(name, value)
        return pruned(said, place)


FSDP = {
    "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_TRANSFORMER_CLS_TO_WRAP": "BertLayer",
}  # fmt: skip


def composed(place: Path) -> Found:
    """A model of modules that were tuned apart, recovered as a whole."""
    folder = place / f"library{ranks.world()}"
    drive = f"{{name: library, folder: {folder}, densities: [.5], recovery: 3 steps}}"
    return pruned((*COMPOSED, f"drive={drive}"), place)


def learnt(place: Path, *said: str) -> Found:
    """A network that is trained by ``prunus train``."""
    out = place / f"learnt{ranks.world()}"
    train(read_training(place / "train.yaml", said), out, quiet=True)
    found = {f"weight/{n}": own for n, own in load_file(out / "model.safetensors").items()}
    record = json.loads((out / "training.json").read_text())
    points = [point["validation"] for point in record["history"]]
    return {**found, "losses": torch.tensor([record["loss"], *points], dtype=torch.float64)}


LOOKED = (
    "training.averaging=.5",
    "training.eval_steps=2",
    "training.patience=3",
    "training.eval_split=validation",
)
CASES: dict[str, Callable[[Path], Found]] = {
    **{name: lambda place, said=said: pruned(said, place) for name, said in SAID.items()},
    **{f"shards, {name}": lambda _, name=name: shards.pruned(name) for name in shards.SAID},
    "resumed": resumed,
    "FSDP": lambda place: in_parts((*UNITS, LOSSES), place),
    "FSDP in passes": lambda place: in_parts(
        (*BLOCKS, "training.gradient_accumulation_steps=2"), place
    ),
    "library": composed,
    "a translator": learnt,
    "a translator in passes": lambda place: learnt(
        place, "training.gradient_accumulation_steps=2", "training.label_smoothing=.1"
    ),
    "a translator looked at": lambda place: learnt(place, *LOOKED),
}


def odd(place: Path) -> Found:
    """A step of an odd number of examples."""
    return pruned((*UNITS, "training.batch_size=3"), place)


def prepare(folder: Path) -> None:
    """Tiny networks without dropout, their data and their recipes."""
    said = yaml.safe_load(recipe(folder).read_text())
    del said["budget"]
    (folder / "recipe.yaml").write_text(yaml.safe_dump(said))
    translator(folder / "translator")
    for name in ("dense", "translator"):
        path = folder / name / "config.json"
        still = dict.fromkeys(DROPOUT, 0.0)
        path.write_text(json.dumps(json.loads(path.read_text()) | still))
    pairs = write(folder / "pairs.jsonl", times=2)
    task = {"name": "translation", "data": pairs, "splits": {"validation": 6}, "max_new_tokens": 4}
    said = {
        "model": str(folder / "translator"), "task": task,
        "training": {
            "max_steps": 7, "batch_size": 4, "learning_rate": 0.1, "optimizer": "sgd",
            "evaluate": False,
        },
    }  # fmt: skip
    (folder / "train.yaml").write_text(yaml.safe_dump(said))


def main(place: str, folder: str) -> None:
    """Carry out everything; a rank's files appear in the folder."""
    torch.set_num_threads(1)
    with ranks.together("cpu"):
        for name, case in CASES.items():
            found = {key: own.contiguous() for key, own in case(Path(place)).items()}
            save_file(found, Path(folder) / f"{name}.{ranks.rank()}.safetensors")
        told = shards.refused() | {"odd": shards.said_of(lambda: odd(Path(place)))}
        (Path(folder) / f"told.{ranks.rank()}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
