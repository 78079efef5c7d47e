"""From the arguments of block-spa-experiments in one row to the settings of a recipe."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from prunus.table import Cell, Line

METHOD, DENSITY, FIRST = "pruning_method", "final_threshold", "initial_threshold"
DISTILS, PROTOTYPES, SCORES = "alpha_distil", "num_splopa_prototypes", "mask_scores_learning_rate"
RATE, POSITIONS_RATE = "adapter_learning_rate", 1e-3
"""What the published script takes where it is not told."""
NEEDED = (
    METHOD, FIRST, DENSITY, "per_gpu_train_batch_size", "warmup_steps", "num_train_epochs",
    "learning_rate", "initial_warmup", "final_warmup",
)  # fmt: skip
SAME = {
    "per_gpu_train_batch_size": "training.batch_size",
    "warmup_steps": "training.warmup_steps",
    "num_train_epochs": "training.epochs",
    "learning_rate": "training.learning_rate",
    "max_seq_length": "task.max_length",
    SCORES: "score.learning_rate",
    "mask_init": "score.init",
    "mask_scale": "score.scale",
    "regularization": "score.regularizer",
    "final_lambda": "score.penalty",
    PROTOTYPES: "adapt.prototypes",
    "splopa_prototype_rank": "adapt.rank",
    "splopa_init_range": "adapt.init_range",
    RATE: "adapt.learning_rate",
}
"""Arguments that are settings."""
CRITERIA = {
    "magnitude": "magnitude",
    "topK": "movement",
    "sigmoied_threshold": "soft_movement",
    "l0": "l0",
}
GLOBAL = "threshold"
"""What the sheet calls top-k over all matrices, of magnitudes or of learned scores."""
LETTERS = {"magnitude": "B", "l0": "C", "movement": "D", "soft_movement": "E"}
TEMPERATURE = 2
EVERY = {"local": "1 step", "global": "25 steps"}


@dataclass(frozen=True)
class Run:
    """The arguments of one row."""

    line: Line

    @property
    def adapts(self) -> bool:
        """Whether prototypes learn in the place of weights."""
        return PROTOTYPES in self.line.said

    @property
    def recipe(self) -> str:
        """What the settings are put over."""
        return "splopa" if self.adapts else "movement"

    @property
    def words(self) -> list[str]:
        """Method and adapters, as rows are called."""
        adapter = f"splopa-{self.line.cells[PROTOTYPES].held}" if self.adapts else ""
        return [str(self._criterion).replace("_", "-"), adapter]

    @property
    def code(self) -> str:
        """As the sheet does: B to E for the method, odd ones local, from 3 on with a teacher."""
        local = self._method in {"magnitude", "topK"}
        number = (1 if local else 2) + (2 if DISTILS in self.line.said else 0)
        return f"{LETTERS.get(self._criterion, '')}{number}"

    def settings(self) -> dict[str, Cell]:
        """Settings by their keys, with the cells that say them."""
        return dict(self._settings())

    @cached_property
    def _method(self) -> str:
        return str(self.line.cells[METHOD].held)

    @property
    def _criterion(self) -> str:
        if self._method == GLOBAL:
            return "movement" if SCORES in self.line.said else "magnitude"
        return CRITERIA.get(self._method, self._method)

    def _settings(self) -> Iterator[tuple[str, Cell]]:
        cells = self.line.said
        yield "score", self._score()
        yield from ((key, cells[title]) for title, key in SAME.items() if title in cells)
        if self.adapts and RATE not in cells:
            yield SAME[RATE], cells[PROTOTYPES].of(POSITIONS_RATE)
        yield from self._amount()
        scope = "global" if self._method == GLOBAL else "local"
        yield "budget.scope", cells[METHOD].of(scope)
        yield "drive.schedule.warmup", self._steps("initial_warmup")
        yield "drive.schedule.cooldown", self._steps("final_warmup")
        yield "drive.schedule.every", cells[METHOD].of(EVERY[scope])
        yield "training.freeze_embeddings", Cell(True, self.line.where)
        if self.adapts and self._criterion == "magnitude":
            yield "drive.regrow", Cell(True, self.line.where)
        if DISTILS in cells:
            yield from self._teaching()

    def _score(self) -> Cell:
        cell = self.line.cells[METHOD]
        if self._criterion in LETTERS:
            return cell.of({"name": self._criterion})
        known = ", ".join((*CRITERIA, GLOBAL))
        return cell.bad(f"pruning_method {cell.held!r} is unknown; known are {known}")

    def _amount(self) -> Iterator[tuple[str, Cell]]:
        """Thresholds: of scores, of nothing, or the fraction that stays."""
        first, last = self.line.cells[FIRST], self.line.cells[DENSITY]
        if self._criterion in {"soft_movement", "l0"}:
            yield "budget.density", self.line.cells[METHOD].of(1)
        else:
            yield "budget.density", last
        if self._criterion == "soft_movement":
            yield "score.initial", first
            yield "score.threshold", last
        elif first.held != 1:
            yield FIRST, first.bad(f"expected 1, from which the fraction falls, got {first.held!r}")

    def _steps(self, title: str) -> Cell:
        """A length of the schedule, which counts in warm-ups of the learning rate."""
        times, warmup = self.line.cells[title], self.line.cells["warmup_steps"]
        if not (_number(times.held) and _number(warmup.held)):
            return times.bad(f"{title} {times.held!r} of {warmup.held!r} steps is no length")
        return times.of(f"{round(times.held * warmup.held)} steps")

    def _teaching(self) -> Iterator[tuple[str, Cell]]:
        """The teacher is the dense model, whatever the sheet calls it."""
        cell = self.line.cells[DISTILS]
        yield (
            "losses",
            cell.of([{"name": "labels"}, {"name": "logits", "temperature": TEMPERATURE}]),
        )
        if "alpha_ce" in self.line.said:
            yield "losses.0.weight", self.line.cells["alpha_ce"]
        yield "losses.1.weight", cell


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
