"""Carries a fine-tuning out."""

from pathlib import Path
from shutil import rmtree

from prunus import ranks
from prunus.networks._fresh import Fresh
from prunus.networks._network import Network
from prunus.notation import read_json
from prunus.recipe._model import Settings, TrainRecipe
from prunus.recipe._parts import build
from prunus.registry import names, parse
from prunus.task import train as fine_tune
from prunus.tracking import tracked

TRACKING = "tracking"


def train(
    recipe: TrainRecipe, out: str | Path, quiet: bool = False, resume: bool = False
) -> list[str]:
    """Fine-tune and save; the folder appears complete, at the end.

    What tracks, writes into ``OUT.tracking`` meanwhile, which is ``OUT/tracking`` in the end.

    Args:
        recipe: what to do.
        out: the folder to be written.
        quiet: show no progress.
        resume: go on from the safe points of a training that was cut off, if there are any.

    Returns:
        Lines that say how good the model became.

    Raises:
        PrunusError: see :func:`prunus.task.train`.
    """
    task, training = build("task", recipe.task), build("training", recipe.training)
    every = None if recipe.save is None else 60 * recipe.save.minutes
    live = Path(out).with_name(f"{Path(out).name}.{TRACKING}")
    said = recipe.model_dump(mode="json")
    with ranks.together(recipe.device):
        with tracked(recipe.track, live, Path(out).name, said):
            source = _source(recipe.model)
            folder = fine_tune(source, task, training, out, quiet, every, resume, recipe.device)
        if live.exists() and ranks.first():
            _settle(live, folder / TRACKING)
    record = read_json(folder / "training.json")
    return [*_looked(record, training.eval_split), *_judged(record["quality"])]


def _settle(live: Path, place: Path) -> None:
    """Logs lie beside what was trained; where it was there already, nothing was told."""
    if place.exists():
        rmtree(live)
    else:
        live.replace(place)


def _looked(record: Settings, split: str) -> list[str]:
    """The loss that was left, where there were looks at it."""
    points, kept = record["history"], record["kept"]
    left = [point for point in points if kept in (None, point["step"])][-1:]
    return [
        f"loss on {split} {point['validation']:.4f} after {point['step']} steps"
        f" of {points[-1]['step']}"
        for point in left
    ]


def _judged(quality: Settings | None) -> list[str]:
    if quality is None:
        return []
    beside = ", ".join(f"{k.replace('_', ' ')} {v:.2f}" for k, v in quality["baselines"].items())
    value = f"{quality['metric']} {quality['value']:.2f} ± {quality['stderr']:.2f}"
    return [f"{value} (n = {quality['n']}; {beside})"]


def _source(model: str | Settings) -> str | Network | Fresh:
    """A place, or what is to be made."""
    if isinstance(model, str):
        return model
    if model["name"] in names("networks"):
        return build("networks", model)
    return parse(Fresh, "model", model)
