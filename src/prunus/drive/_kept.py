"""What a job has found, on its way to safe points and back."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter
from torch import Tensor, nn

from prunus.curve import Curve
from prunus.drive._job import Job
from prunus.errors import PrunusError
from prunus.gram import Moments
from prunus.plan import Plan
from prunus.probe import Curvature, Evidence, probe
from prunus.recover import Trained
from prunus.safe import Kept
from prunus.task import History

SCORE = "score"
PLAN, STUDENT = "plan/", "student/"


def known(job: Job) -> None:
    """Score the dense model, unless that was done before."""
    kept = None if job.found else job.safe.get(SCORE)
    if kept is not None:
        _take_scores(job, kept)
    elif not job.found:
        job.score(Plan())
        job.safe.put(SCORE, _scores(job))


def _scores(job: Job) -> Kept:
    """Evidence and scores of every site, numbered; sites of one reader share a curvature."""
    tensors, said = dict[str, Tensor](), list[dict[str, Any]]()
    for place, (name, own) in enumerate(job.evidence.items()):
        found, curvature = job.found[name], own.curvature
        parts = vars(found) if isinstance(found, Curve) else {"scores": found}
        tensors |= {f"{place}/found/{key}": value for key, value in parts.items()}
        tensors |= {f"{place}/seen/{key}": value for key, value in own.seen.items()}
        if curvature is not None:
            tensors[f"outer/{own.site.reader}"] = curvature.outer
        smoothing = None if curvature is None else curvature.smoothing
        counts = {"samples": own.samples, "tokens": own.tokens}
        said.append({"site": name, "smoothing": smoothing, **counts})
    return Kept(said, tensors)


def _take_scores(job: Job, kept: Kept) -> None:
    job.evidence = probe(job.student, (), job.sites, ())
    curved = dict[str, Curvature]()
    device = next(job.model.parameters()).device
    for place, said in enumerate(kept.said):
        own = job.evidence[said["site"]]
        own.samples, own.tokens = said["samples"], said["tokens"]
        own.seen = {key: value.to(device) for key, value in kept.under(f"{place}/seen/").items()}
        found = kept.under(f"{place}/found/")
        scores = found.get("scores")
        job.found[said["site"]] = Curve(**found) if scores is None else scores.to(device)
        if said["smoothing"] is not None:
            own.curvature = _curvature(curved, own, kept, said["smoothing"])


def _curvature(
    known: dict[str, Curvature], own: Evidence, kept: Kept, smoothing: float
) -> Curvature:
    reader = own.site.reader
    if reader not in known:
        outer = kept.tensors[f"outer/{reader}"].to(next(iter(own.weights.values())).device)
        known[reader] = Curvature(Moments.zeros(0, 0, outer.device), outer, smoothing)
    return known[reader]


def pack(job: Job, plan: Mapping[str, Tensor], **said: Any) -> Kept:
    """A job's student as it is, with the plan, and what is told of its trainings."""
    trained = None if job.trained is None else asdict(job.trained)
    told = {"history": [asdict(own) for own in job.history], "learnt": job.learnt}
    tensors = {f"{STUDENT}{name}": own for name, own in _state(job.student).items()}
    tensors |= {f"{PLAN}{name}": own for name, own in plan.items()}
    return Kept({**told, "trained": trained, **said}, tensors)


def unpack(job: Job, kept: Kept) -> Plan:
    """Make a job's student what it was; the plan.

    Raises:
        PrunusError: it was another network.
    """
    plan = Plan(kept.under(PLAN))
    further = [name for name in plan if name not in job.sites]
    if further:
        job.also(job.sites.read(job.model).only(further))
    job.cut(plan)
    state, there = kept.under(STUDENT), _state(job.student)
    if {n: t.shape for n, t in state.items()} != {n: t.shape for n, t in there.items()}:
        raise PrunusError("the safe points hold another network; remove them to begin anew")
    for name, own in there.items():
        own.copy_(state[name])
    job.history = TypeAdapter(list[History]).validate_python(kept.said["history"])
    job.learnt = kept.said["learnt"]
    job.trained = None if kept.said["trained"] is None else Trained(**kept.said["trained"])
    return plan


def _state(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a model, tied ones once."""
    found, owners = dict[str, Tensor](), set[int]()
    for name, own in model.state_dict().items():
        if own.data_ptr() not in owners or not own.numel():
            found[name] = own.detach()
        owners.add(own.data_ptr())
    return found
