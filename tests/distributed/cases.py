"""What several processes do together, and one alone, with the same result.

``python -m torch.distributed.run --nproc-per-node 2 -m tests.distributed.cases FOLDER`` carries
everything out; each rank writes ``CASE.RANK.safetensors`` and ``told.RANK.json``.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from prunus import ranks, registry
from prunus.anatomy import anatomy
from prunus.drive import job_of
from prunus.drive._alone import Alone
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.safe import Kept, SafePoints
from tests.convnets import images, resnet
from tests.tiny import batch_of, tiny

Found = dict[str, Tensor]
SIZES = (3, 2, 4, 1, 3)
"""Samples of the batches, of which the first rank has three and the other two."""
CONVOLUTIONAL = ("bn_scale", "lrp")
ON_NEURONS = ("activation", "activation_gradient", "fpgm", "fluctuation")
"""Criteria that not every kind of site feeds."""
CRITERIA = [n for n in registry.names("score") if not registry.find("score", n).learned]
DRIVES = ("oneshot", "sweep", "iterative")
TOGETHER = [n for n in registry.names("recover") if n not in ("finetune", "modulewise")]
REPAIRS = {n: registry.find("recover", n).at for n in TOGETHER}


def pruned(model, sites, drive="oneshot", sizes=SIZES, batches=None, **said) -> Found:
    """Plan, scores and weights of a job."""
    data = batches or [batch_of(model, size, seed=seed) for seed, size in enumerate(sizes)]
    settings = {"score": "knowledge", "recover": (), "budget": {"density": 0.5}, **said}
    job = job_of(model, sites, data, **settings)
    plan = registry.build("drive", drive).run(job)
    scores = {n: own for n, own in job.found.items() if isinstance(own, Tensor)}
    return {
        **{f"plan/{name}": mask for name, mask in plan.items()},
        **{f"score/{name}": own.double().cpu() for name, own in scores.items()},
        **{f"weight/{name}": own.detach() for name, own in job.student.named_parameters()},
    }


def scored(name: str, family: str = "bert", **said) -> Found:
    """One criterion's scores and plan."""
    if name in CONVOLUTIONAL:
        model, data = resnet(), [images(size, seed=seed) for seed, size in enumerate(SIZES)]
        sites = anatomy(model, data[0]).of("channels")
        return pruned(model, sites, batches=data, score=name, budget=UNITS)
    model = tiny(family)
    kinds = ("neurons",) if name in ON_NEURONS else ("heads", "neurons")
    return pruned(model, anatomy(model).of(*kinds), score=name, **said)


def driven(drive: str, **said) -> Found:
    """One drive with repairs; the iterative one has few sites."""
    model = tiny("bert")
    kinds = ("heads",) if drive == "iterative" else ("heads", "neurons")
    recover = () if drive == "iterative" else ("input_map", "least_squares")
    return pruned(model, anatomy(model).of(*kinds), drive, **{"recover": recover, **said})


def mended(name: str) -> Found:
    """One repair, or what it belongs to."""
    model = tiny("bert")
    if REPAIRS[name] == "weights":
        sites = anatomy(model).grid(".*(query|key|dense)", "1x1")
        budget = {"density": 0.5, "metric": "weights"}
        return pruned(model, sites, score="magnitude", budget=budget, recover=[name])
    return pruned(model, anatomy(model).of("heads", "neurons"), recover=[name])


def alone(place: int = 0) -> Found:
    """The loss and its error of one site cut alone."""
    model = tiny("bert")
    data = [batch_of(model, size, seed=seed) for seed, size in enumerate(SIZES)]
    job = job_of(
        model, anatomy(model).of("heads"), data, score="knowledge", budget=UNITS, recover=()
    )
    single = Alone(job, data)
    steps = single.ladders([0.5])
    wanted = list(steps.values())[place][0.5]
    return {"loss": torch.tensor(single.loss(wanted), dtype=torch.float64)}


def composed() -> Found:
    """A model of a library's modules, chosen by their losses."""
    with tempfile.TemporaryDirectory() as place:
        folder = ranks.shared(place.encode()).decode()  # every rank must see the library
        model = tiny("bert")
        data = [batch_of(model, size, seed=seed) for seed, size in enumerate(SIZES)]
        job = job_of(
            model, anatomy(model).of("heads", "neurons"), data,
            score="magnitude", budget=UNITS, recover=["least_squares"],
        )  # fmt: skip
        said = {"name": "library", "densities": [0.25, 0.5], "folder": folder}
        plan = registry.build("drive", said).run(job)
        masks = {f"plan/{name}": mask for name, mask in plan.items()}
        weights = {f"weight/{n}": p.detach() for n, p in job.student.named_parameters()}
        ranks.gathered(b"")  # the folder goes when all have read it
        return {**masks, **weights}


def few(sites: str) -> Found:
    """More ranks than batches."""
    model = tiny("bert")
    if sites == "grid":
        grid = anatomy(model).grid(".*(query|key|dense)", "1x1")
        budget = {"density": 0.5, "metric": "weights"}
        return pruned(model, grid, sizes=(4,), score="wanda", budget=budget, recover=["sparsegpt"])
    kinds = anatomy(model).of("heads", "neurons")
    recover = ["input_map", "least_squares"]
    return pruned(model, kinds, sizes=(4,), score="obs", select="curves", recover=recover)


UNITS = {"density": 0.5, "metric": "units"}
CASES: dict[str, Callable[[], Found]] = {
    **{f"score {name}": lambda name=name: scored(name) for name in CRITERIA},
    "score obs of tokens": lambda: scored("obs", "gpt2", select="curves"),
    "score of some": lambda: scored("fisher", scored=0.5),
    **{f"drive {name}": lambda name=name: driven(name) for name in DRIVES},
    "drive oneshot milder": lambda: driven({"name": "oneshot", "teacher": "milder"}),
    **{f"recover {name}": lambda name=name: mended(name) for name in TOGETHER},
    "one site alone": alone,
    "a library": composed,
    "few batches": lambda: few("units"),
    "few batches of a grid": lambda: few("grid"),
}
"""What one process finds as well."""
TIMED = {
    "latency": {"density": 0.6, "metric": "latency", "at": {"batch": 1, "length": 4}},
    "round_to": {"density": 0.6, "round_to": "auto"},
}
"""Budgets that are measured on one process's device, for all of them."""


def timed(name: str) -> Found:
    """A plan under a budget that speaks of time."""
    model = tiny("bert", intermediate_size=64)
    return pruned(model, anatomy(model).of("heads", "neurons"), budget=TIMED[name])


def raised(do: Callable[[], object]) -> str:
    """What a call raises."""
    try:
        do()
    except PrunusError as error:
        return str(error)
    return ""


def _broken() -> None:
    raise PrunusError("broken")


def units() -> dict[str, object]:
    """What every function of prunus.ranks gives this rank."""
    mine = ranks.rank()
    own = {"x": torch.full((2,), mine + 0.5), "n": torch.tensor(mine + 2)}
    only = {} if mine else {"f": torch.tensor([0.25]), "i": torch.tensor([3])}
    sums = ranks.total({**own, **only, "empty": torch.zeros(0, 3)})
    tensors = [torch.full((2, 2), float(mine)), torch.tensor([bool(mine)]), torch.zeros(0)]
    ranks.spread(tensors)
    seen = {"own": list(ranks.own("abcde")), "world": ranks.world(), "first": ranks.first()}
    with ranks.alone():
        seen |= {"alone": [ranks.world(), ranks.first(), list(ranks.own("abc"))]}
    return {
        **seen,
        "total": {name: tensor.tolist() for name, tensor in sums.items()},
        "whole": not sums["n"].is_floating_point() and not sums["i"].is_floating_point(),
        "spread": [tensor.tolist() for tensor in tensors],
        "shared": ranks.shared(f"from {mine}".encode()).decode(),
        "nothing shared": ranks.shared(b"x" * mine).decode(),
        "kept": kept(),
        "number": ranks.number(0.1 + mine),
        "gathered": [part.decode() for part in ranks.gathered(b"x" * mine)],
        "collected": [one.tolist() for one in ranks.collected({2 - mine: torch.tensor([mine])})],
        "by_first": ranks.by_first(lambda: [ranks.rank(), ranks.world()]),
        "raised by first": raised(lambda: ranks.by_first(_broken)),
        "agree": raised(lambda: ranks.agree("the weather", b"fine")),
        "differ": raised(lambda: ranks.agree("the weather", bytes([mine]))),
        "other data": raised(lambda: _given(sizes=(2 + mine,))),
        "other model": raised(lambda: _given(seed=mine)),
        "plan": Plan({"a": torch.tensor([True, bool(mine)])}).agreed()["a"].tolist(),
    }  # fmt: skip


def kept() -> list[object]:
    """What ranks find of what waits to be written, and of what was."""
    with tempfile.TemporaryDirectory() as folder:
        points = SafePoints.at(Path(folder) / "points", 3600, 0)
        points.put("waits", Kept({"from": ranks.rank()}, {"t": torch.arange(3)}))
        waits, nothing = points.get("waits"), points.get("nothing")
        assert waits is not None
        points.flush()
        made = points.once("waits", lambda: ranks.rank() + 10)
        return [waits.said, waits.tensors["t"].tolist(), nothing, made]


def _given(seed: int = 0, sizes: tuple[int, ...] = SIZES) -> None:
    """Another model or other data than the other rank's."""
    model = tiny("bert", seed=seed)
    pruned(model, anatomy(model).of("heads"), sizes=sizes)


def main(folder: str) -> None:
    """Carry out everything; a rank's files appear in the folder."""
    torch.set_num_threads(1)
    with ranks.together("cpu"):
        mine = ranks.rank()
        for name, case in {**CASES, **{n: lambda n=n: timed(n) for n in TIMED}}.items():
            found = {key: tensor.contiguous() for key, tensor in case().items()}
            save_file(found, Path(folder) / f"{name}.{mine}.safetensors")
        (Path(folder) / f"told.{mine}.json").write_text(json.dumps(units()))


if __name__ == "__main__":
    main(sys.argv[1])
