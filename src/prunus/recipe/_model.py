"""What a recipe may say, checked without importing torch."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from prunus.errors import PrunusError, unknown
from prunus.recipe._settings import EAGER, Calibration, Evaluation, Latency, Save, Vocabulary
from prunus.registry import Many, Part, listed, named, names, spec_of
from prunus.schedule._span import Length
from prunus.tiling import Grid

GRADUAL = "gradual"
STEPWISE = "stepwise"
LIBRARY = "library"
TRAINING = {GRADUAL: "snip_momentum", STEPWISE: "taylor"}
"""The drives that train, and what they score by unless told otherwise."""
FINETUNE = "finetune"
"""The touch-up that trains."""
BY_DRIVE = {
    GRADUAL: {"patience": "nothing: weights of an earlier look are those of less pruning"},
    STEPWISE: {"epochs": "drive.recovery, before and after", "max_steps": "drive.recovery"},
    LIBRARY: {"epochs": "drive.recovery", "max_steps": "drive.recovery"},
}
"""Settings of a training that a drive says itself."""
ELSEWHERE = {
    "max_length": "task.max_length",
    "evaluate": "evaluation.split",
    "label_smoothing": "losses, which have softer answers (logits)",
    "averaging": "nothing: an average of weights would bring back what is pruned",
}
"""Settings of a training that a recipe says in other places."""
WHOLE = {"density": 1.0}
"""The budget of a recipe whose drive says itself what stays."""
BASELINES = ("random", "narrower", "shallower", "bfloat16", "int8")
KINDS = ("heads", "queries", "neurons", "sublayers", "layers", "channels")
Settings = dict[str, Any]


def _site(value: Any) -> Any:
    if isinstance(value, str) and value not in KINDS:
        raise unknown("site kind", value, KINDS)
    return value if isinstance(value, str) else Grid.of(value)


def _source(value: Any) -> Any:
    """A place is text; anything else stands for a new network, or a new one of a family."""
    family = isinstance(value, Mapping) and value.get("name") in names("anatomy")
    return value if isinstance(value, str) or family else spec_of("networks", value)


def _vocabulary(value: Any) -> Any:
    return {"keep": value} if isinstance(value, str) else value


def _baselines(value: Any) -> Any:
    """True is all of them, false none."""
    if isinstance(value, bool):
        return BASELINES if value else ()
    names = listed(value)
    for name in names if isinstance(names, list | tuple) else ():
        if name not in BASELINES:
            raise unknown("baseline", str(name), BASELINES)
    return names


def _as_configured(settings: Settings) -> Settings:
    """The budget of a recipe whose drive names the models that shall be made.

    Raises:
        PrunusError: it says otherwise.
    """
    budget = settings.get("budget", WHOLE)
    if not isinstance(budget, Mapping) or budget.get("density") != 1:
        raise PrunusError(
            "budget: drive: library composes the configurations that it names, and they say how"
            " much stays; leave the budget out, or name densities to search among"
        )
    return dict(budget)


class Method(Part):
    """What goes, and how: the parts of a recipe that need no data.

    Attributes:
        sites: what may go: kinds of sites, or grids of weights.
        score: what matters.
        budget: how much stays, see :class:`prunus.select.Budget`.
        select: how the budget is split between sites.
        drive: when things happen.
        recover: what is mended, in order.
    """

    sites: Many[Annotated[str | Grid, BeforeValidator(_site)]] = ("heads", "neurons")
    score: Annotated[Settings, named("score")] = Field(default_factory=lambda: {"name": "obs"})
    budget: Settings = Field(default_factory=lambda: {"density": 0.5})
    select: Annotated[Settings, named("select")] = Field(default_factory=lambda: {"name": "curves"})
    drive: Annotated[Settings, named("drive")] = Field(default_factory=lambda: {"name": "oneshot"})
    recover: Many[Annotated[Settings, named("recover")]] = Field(
        default_factory=lambda: ({"name": "input_map"}, {"name": "least_squares"})
    )

    @model_validator(mode="before")
    @classmethod
    def _follows(cls, settings: Any) -> Any:
        """Defaults follow the drive, and the metric the sites."""
        if not isinstance(settings, Mapping):
            return settings
        found = dict(settings)
        drive, sites = found.get("drive"), listed(found.get("sites"))
        name = str(drive.get("name") if isinstance(drive, Mapping) else drive)
        if name in TRAINING:
            frozen = name == GRADUAL and found.get("adapt") is not None
            score = "magnitude" if frozen else TRAINING[name]
            found = {"score": score, "select": "greedy", "recover": [], **found}
        if name == LIBRARY:
            found = {"recover": ["least_squares", "modulewise"], **found}
            if isinstance(drive, Mapping) and drive.get("configurations") is not None:
                found = {**found, "budget": _as_configured(found)}
        budget = found.get("budget", {"density": 0.5})
        grids = isinstance(sites, list | tuple) and all(not isinstance(s, str) for s in sites)
        if grids and isinstance(budget, Mapping) and "max_bytes" not in budget:
            found["budget"] = {"metric": "weights", **budget}
        return found

    @field_validator("sites")
    @classmethod
    def _some(cls, sites: tuple[str | Grid, ...]) -> tuple[str | Grid, ...]:
        if not sites:
            raise PrunusError("nothing may go: name a kind of site, such as heads")
        return sites


TRACKERS = ("tensorboard", "mlflow", "wandb")


def _tracker(value: Any) -> Any:
    if value not in TRACKERS:
        raise unknown("tracker", str(value), TRACKERS)
    return value


Track = Many[Annotated[str, BeforeValidator(_tracker)]]
"""Where a run is told of as it goes, see :mod:`prunus.tracking`."""


class Recipe(Method):
    """One pruning run.

    Attributes:
        model: a folder, ``package:module/folder``, or a hub id.
        task: what the model does: ``{name: glue, subset: sst2}``.
        vocab: which tokens stay; ``seen``, or settings; None keeps them all. They go before
            anything is scored, and are no part of the budget.
        calibration: the data that scores and repairs see.
        evaluation: how quality is measured.
        latency: how latency is measured; None measures none.
        adapt: adapters that are trained, and merged, where the drive or the touch-up trains; the
            weights that they stand on are frozen.
        training: how a network is trained while it is pruned (drive: gradual or stepwise), see
            :class:`prunus.task.Training`.
        losses: terms of the training's loss, see :mod:`prunus.loss`.
        teacher: whose answers terms ask for; None is the dense model itself.
        compare: what else is made of the dense model and measured beside the pruned one: random,
            narrower, shallower, bfloat16, int8; true for all of them.
        portable: let transformers alone open the result, with ``trust_remote_code=True``.
        packed: leave zero blocks of weights out of the saved file, which only prunus then opens;
            where there are none, it is saved as it is.
        export: to what else the saved model is written, beside it; each is compared with torch and
            its quality measured.
        save: how often safe points are written, from which a run that was cut off goes on (``prunus
            run --resume``); None writes none.
        track: where the run is told of as it goes: tensorboard, mlflow, wandb.
        device: where torch computes.
        seed: of everything that is drawn.
        out: the run's folder, where the command line names none.
    """

    model: str
    task: Annotated[Settings, named("task")]
    vocab: Annotated[Vocabulary | None, BeforeValidator(_vocabulary)] = None
    calibration: Calibration = Calibration()
    evaluation: Evaluation = Evaluation()
    latency: Latency | None = Latency()
    adapt: Annotated[Settings | None, named("adapt")] = None
    training: Settings = Field(default_factory=dict)
    losses: Many[Annotated[Settings, named("loss")]] = ({"name": "labels"},)
    teacher: str | None = None
    compare: Annotated[tuple[str, ...], BeforeValidator(_baselines)] = ()
    portable: bool = False
    packed: bool = False
    export: Many[Annotated[Settings, named("export")]] = ()
    save: Save | None = Save()
    track: Track = ()
    device: str = "cpu"
    seed: int = 0
    out: str | None = None

    @property
    def trains(self) -> bool:
        """Whether the drive trains a network with labels."""
        if self.drive["name"] != LIBRARY:
            return self.drive["name"] in TRAINING
        return Length.parse(self.drive.get("recovery", 0)).number > 0

    @model_validator(mode="after")
    def _opened(self) -> Self:
        if self.portable and self.packed:
            raise PrunusError(
                "portable, packed: only prunus unpacks weights, so that a packed checkpoint is not"
                " portable; leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _timed(self) -> Self:
        """Other runtimes stay on the processor, and baselines are timed by torch alone."""
        asked = self.latency.runtime if self.latency else (EAGER,)
        if self.device != "cpu" and set(asked) != {EAGER}:
            raise PrunusError(
                f"latency.runtime: only {EAGER} runs on device {self.device!r}; leave the others"
                " out, or time the saved models with `prunus bench`"
            )
        if self.compare and EAGER not in asked:
            raise PrunusError(
                f"compare: baselines are timed by {EAGER}; add it to latency.runtime, so that the"
                " pruned model can stand beside them"
            )
        return self

    @model_validator(mode="after")
    def _trains(self) -> Self:
        """Nothing is said of a training that does not take place, but where its length is said."""
        said = self.model_fields_set & {"training", "losses", "teacher"}
        trains = self.trains
        told = self.drive["name"] == LIBRARY and "recovery" in self.drive
        if said and not trains and not told:
            raise PrunusError(
                f"{', '.join(sorted(said))}: only drive: {' and '.join(TRAINING)} train while they"
                " prune, and drive: library where it has a recovery; use one of them, or leave it"
                " out (`prunus train` fine-tunes a dense model)"
            )
        touched_up = any(spec["name"] == FINETUNE for spec in self.recover)
        if self.adapt is not None and not trains and not touched_up:
            raise PrunusError(
                "adapt: nothing trains the adapters; add finetune to recover, or use drive:"
                f" {' or '.join(TRAINING)}"
            )
        elsewhere = ELSEWHERE | BY_DRIVE.get(self.drive["name"], {})
        for key, where in elsewhere.items():
            if key in self.training:
                raise PrunusError(f"training.{key} is for `prunus train`; here say {where}")
        return self


class TrainRecipe(Part):
    """One fine-tuning run.

    Attributes:
        model: the pretrained model: a folder, ``package:module/folder``, or a hub id; or a new
            network for images: ``{name: cifar_resnet, depth: 20}``; or a new one of a family for
            texts: ``{name: t5, config: {d_model: 256}}``, see :mod:`prunus.networks._fresh`.
        task: what it shall learn.
        training: how, see :class:`prunus.task.Training`.
        save: how often safe points are written, from which a training that was cut off goes on
            (``prunus train --resume``); None writes none.
        track: as of a pruning run, like ``device``.
        out: the folder of the result, where the command line names none.
    """

    model: Annotated[str | Settings, BeforeValidator(_source)]
    task: Annotated[Settings, named("task")]
    training: Settings = Field(default_factory=dict)
    save: Save | None = Save()
    track: Track = ()
    device: str = "cpu"
    out: str | None = None
