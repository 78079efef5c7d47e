"""What a pruner of Intel neural-compressor 2 may be told, checked; imports no torch."""

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from prunus.errors import PrunusError, unknown
from prunus.registry import Part, Pattern, parse
from prunus.tiling import Tiling

CRITERIA = ("magnitude", "gradient", "snip", "snip_momentum", "block_mask")
PROGRESSIVE = "progressive"
LOCK = "pattern_lock"
TYPES = (*CRITERIA, *(f"{name}_{PROGRESSIVE}" for name in CRITERIA), "basic", PROGRESSIVE, LOCK)
ELSEWHERE = {
    "sparse_gpt": "score: obs",
    "retrain_free": "the recipe kwon",
}
"""What prunes without training, and what of prunus does it."""
HEADS = "mha"
SCHEDULES = {"exp": "exponential", "cos": "cosine", "linear": "linear", "cube": "cube"}
PROGRESSIVE_STEPS = 4
Share = Annotated[float, Field(ge=0, lt=1)]
Step = Annotated[
    NonNegativeInt,
    BeforeValidator(
        lambda value: int(value) if type(value) is float and isfinite(value) else value
    ),
]
"""A number of optimizer steps; scripts reckon with fractions of epochs, which are cut off."""


class PrunerConfig(Part):
    """One pruner: its layers, its pattern, its criterion, its schedule.

    Names, order and defaults are those of neural-compressor 2.6.

    Attributes:
        target_sparsity: the fraction of weights that shall go.
        pruning_type: the criterion, with ``_progressive`` behind it or not, or ``pattern_lock``.
        pattern: ``4x1`` and such, ``channelx1``, ``1xchannel``, ``mha``, or ``2:4``: 2 of 4 go.
        op_names: regular expressions that are searched in the names of modules; () is all.
        excluded_op_names: likewise, of modules that stay dense.
        backend: None.
        start_step: optimizer steps that are done when masks are chosen for the first time.
        end_step: at most so many are done when they are chosen for the last time.
        pruning_scope: one threshold over all layers, or one each.
        pruning_frequency: steps from one choice to the next.
        min_sparsity_ratio_per_op: the least fraction of a layer that goes in the end.
        max_sparsity_ratio_per_op: the greatest.
        sparsity_decay_type: the schedule.
        pruning_op_types: what names of module classes contain.
        low_memory_usage: without effect: scores are kept by blocks, which takes less than half.
        criterion_type: the criterion, where ``pruning_type`` is ``basic`` or ``progressive``.
        resume_from_pruned_checkpoint: zeros of the checkpoint stay.
        reg_type: ``group_lasso``, or none.
        reg_coeff: its coefficient.
        criterion_reduce_type: what of a block's scores is the block's.
        lock_init_sparsity: zeros of the checkpoint stay.
    """

    target_sparsity: Share = 0.9
    pruning_type: str = "snip_momentum"
    pattern: str = "4x1"
    op_names: tuple[Pattern, ...] = ()
    excluded_op_names: tuple[Pattern, ...] = ()
    backend: None = None
    start_step: Step = 0
    end_step: Step = 0
    pruning_scope: Literal["global", "local"] = "global"
    pruning_frequency: PositiveInt = 1
    min_sparsity_ratio_per_op: Share = 0.0
    max_sparsity_ratio_per_op: Share = 0.98
    sparsity_decay_type: Literal["exp", "cos", "linear", "cube"] = "exp"
    pruning_op_types: tuple[str, ...] = ("Conv", "Linear")
    low_memory_usage: bool = False
    criterion_type: str = "snip_momentum"
    resume_from_pruned_checkpoint: bool = False
    reg_type: Literal["group_lasso"] | None = None
    reg_coeff: NonNegativeFloat = 0.0
    criterion_reduce_type: Literal["mean", "sum", "max"] = "mean"
    lock_init_sparsity: bool = False

    @property
    def criterion(self) -> str:
        """The name of the criterion; the type of the pruner decides, where it names one."""
        name = self.pruning_type.removesuffix(f"_{PROGRESSIVE}")
        return name if name in CRITERIA else self.criterion_type

    @property
    def progressive(self) -> bool:
        """Whether blocks go weight by weight from one mask to the next."""
        return self.pruning_type.endswith(PROGRESSIVE)

    @property
    def locked(self) -> bool:
        """Whether zeros of the checkpoint stay."""
        return self.resume_from_pruned_checkpoint or self.lock_init_sparsity or self.only_locked

    @property
    def only_locked(self) -> bool:
        """Whether nothing but the zeros of the checkpoint goes."""
        return self.pruning_type == LOCK

    @property
    def tiling(self) -> Tiling | None:
        """The blocks; None where heads go. Of ``N:M``, N is how many go: prunus' M - N : M."""
        return _tiling(self.pattern)

    @property
    def most(self) -> float:
        """The greatest fraction of a layer that may go, under its pattern."""
        return min(self.max_sparsity_ratio_per_op, _reach(self.tiling))

    @property
    def target(self) -> float:
        """The fraction that goes in the end."""
        return min(self.target_sparsity, self.most)

    @property
    def schedule(self) -> dict[str, Any]:
        """The schedule as prunus is told of it."""
        if self.start_step == self.end_step:
            return {"name": "one_shot", "warmup": self.start_step}
        name = SCHEDULES[self.sparsity_decay_type]
        return {"name": name, "warmup": self.start_step, "every": self.pruning_frequency}

    @property
    def extras(self) -> dict[str, Any]:
        """What a pruner of prunus is told only where it is asked for."""
        lasso = {"lasso": self.reg_coeff} if self.reg_type and self.reg_coeff else {}
        parts = min(PROGRESSIVE_STEPS, self.pruning_frequency) if self.progressive else 1
        return lasso | ({"progressive": parts} if parts > 1 else {})

    @field_validator("pruning_type")
    @classmethod
    def _known_type(cls, name: str) -> str:
        if name in ELSEWHERE:
            raise PrunusError(
                f"{name} prunes without training: in prunus a recipe does that, with"
                f" {ELSEWHERE[name]}; see `prunus ls`"
            )
        if name not in TYPES:
            raise unknown("pruning_type", name, TYPES)
        return name

    @field_validator("criterion_type")
    @classmethod
    def _known_criterion(cls, name: str) -> str:
        if name not in CRITERIA:
            raise unknown("criterion_type", name, CRITERIA)
        return name

    @field_validator("pattern")
    @classmethod
    def _known_pattern(cls, pattern: str) -> str:
        _tiling(pattern)
        return pattern

    @model_validator(mode="after")
    def _sound(self) -> Self:
        reach = _reach(self.tiling)
        if self.end_step < self.start_step:
            raise PrunusError(f"end_step {self.end_step} is before start_step {self.start_step}")
        if self.target_sparsity > reach and not self.only_locked:
            raise PrunusError(
                f"target_sparsity {self.target_sparsity} is beyond pattern {self.pattern}, of which"
                f" at most {reach:g} can go: lower the target, or choose another pattern"
            )
        if self.min_sparsity_ratio_per_op > self.most:
            raise PrunusError(
                f"min_sparsity_ratio_per_op {self.min_sparsity_ratio_per_op} is above the most"
                f" that may go of a layer, {self.most:g}"
            )
        if self.only_locked and self.start_step != self.end_step:
            raise PrunusError("pattern_lock acts once: give the same start_step and end_step")
        return self


def resolve(
    pruning_configs: Sequence[Mapping[str, Any]], common: Mapping[str, Any]
) -> tuple[PrunerConfig, ...]:
    """The pruners of a configuration: what one says, then what is said of all, then defaults.

    None is as if nothing were said. Without ``pruning_configs`` there is one pruner.

    Raises:
        PrunusError: a key is unknown (the nearest known ones are told), or a value will not do.
    """
    shared = _said(common)
    parse(PrunerConfig, "WeightPruningConfig", _keys_of(shared))
    return tuple(
        parse(PrunerConfig, f"pruning_configs[{place}]", {**shared, **_said(own)})
        for place, own in enumerate(pruning_configs or [{}])
    )


def _said(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is not None, and whatever is unknown; ``parameters`` spelt out."""
    if not isinstance(settings, Mapping):
        raise PrunusError(f"a pruner is described by a mapping of keys, not by {settings!r}")
    found = {key: value for key, value in settings.items() if key != "parameters"}
    found |= settings.get("parameters") or {}
    fields = PrunerConfig.model_fields
    return {key: value for key, value in found.items() if value is not None or key not in fields}


def _keys_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The unknown keys alone: values are checked for each pruner, which may have its own."""
    return {key: value for key, value in settings.items() if key not in PrunerConfig.model_fields}


def _tiling(pattern: str) -> Tiling | None:
    last = pattern.rpartition("_")[2]
    if HEADS in last:
        return None
    run = re.fullmatch(r"(\d+):(\d+)", last)
    if run is None:
        return Tiling.parse(last)
    goes, of = int(run[1]), int(run[2])
    if not 0 < goes < of:
        raise PrunusError(f"pattern {pattern!r}: of N:M weights N go, and 0 < N < M")
    return Tiling(among=(of - goes, of))


def _reach(tiling: Tiling | None) -> float:
    """The greatest fraction that a pattern lets go."""
    if tiling is None or not tiling.among:
        return 1.0
    stays, of = tiling.among
    return (of - stays) / of
