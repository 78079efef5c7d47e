"""What the saved model of a run is exported to, compared with torch and measured."""

from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

from prunus import export
from prunus.errors import PrunusError
from prunus.export import Exporter, Facts
from prunus.recipe import _runtimes
from prunus.recipe._open import open_model
from prunus.recipe._parts import Parts
from prunus.recipe._settings import Latency
from prunus.recipe._stage import Stage
from prunus.recipe._steps import Opened
from prunus.recipe.export import Source, measured, name_of, written
from prunus.registry import spelt
from prunus.report._exported import Export
from prunus.safe import Kept
from prunus.task import Quality


def require(chosen: Parts, latency: Latency | None) -> None:
    """Check that what a run ends with can be had, before it begins.

    Raises:
        PrunusError: two exports would lie in one folder, or a package is not installed.
    """
    names = list(map(name_of, chosen.export))
    for name in names:
        if names.count(name) > 1:
            raise PrunusError(f"export: {name} is asked for twice; leave one of them out")
    for exporter in chosen.export:
        exporter.require()
    for runtime in latency.runtime if latency else ():
        _runtimes.require(runtime, "float32")


def export_all(stage: Stage, opened: Opened, pruned: Quality) -> list[Export]:
    """Every export that the recipe asks for; one that cannot be made says why.

    Args:
        stage: the run; its folder holds the saved model.
        opened: the data.
        pruned: what the pruned model answered on the split that the recipe reports.
    """
    if not stage.parts.export:
        return []
    folder, split = stage.folder / "model", stage.recipe.evaluation.split
    with stage.phase("export"):
        source = Source.of(open_model(folder), folder, "model", opened.prepared, split)
        return [_kept(stage, opened, source, one, pruned) for one in stage.parts.export]


def _kept(
    stage: Stage, opened: Opened, source: Source, exporter: Exporter, pruned: Quality
) -> Export:
    """An export that was made before, where it still lies in the run's folder; or a new one."""
    name = f"export {name_of(exporter)}"
    if not (stage.folder / name_of(exporter) / export.FILE).is_file():
        stage.safe.drop(name)
    return stage.safe.once(
        name, lambda: _exported(stage, opened, source, exporter, pruned),
        lambda found: Kept(found.model_dump(mode="json")),
        lambda kept: Export.model_validate(kept.said),
    )  # fmt: skip


def _exported(
    stage: Stage, opened: Opened, source: Source, exporter: Exporter, pruned: Quality
) -> Export:
    name = name_of(exporter)
    place, split = stage.folder / name, stage.recipe.evaluation.split
    told = {"to": spelt(exporter)["name"], "dtype": exporter.dtype, "folder": name}
    try:
        found = written(source, exporter, place)
        quality = stage.evaluate(export.load(place), opened.prepared, name)
    except Exception as error:  # whatever a runtime says: the pruned model is there all the same
        rmtree(place, ignore_errors=True)
        return Export(**told, why=stage.fault(name, error))
    found = measured(found, pruned, quality, split)
    stage.log.info("%s: %s ahead of torch", name, found.change)
    return Export(
        **told,
        difference=found.facts.difference,
        samples=found.facts.samples,
        quality=quality.value,
        ahead=found.change and found.change.value,
        margin=found.change and found.change.margin,
        bytes=sum(path.stat().st_size for path in _graphs(found.facts, place)),
    )


def _graphs(facts: Facts, folder: Path) -> Iterator[Path]:
    """The files of the graphs, and of their weights where these lie apart."""
    for stored in facts.graphs.values():
        yield from folder.glob(f"{Path(stored.file).stem}.*")
