"""The model card of a run: README.md of its checkpoint, in the format of the hub.

The hub reads the YAML at its head (https://huggingface.co/docs/hub/model-cards).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from prunus import notation
from prunus.report import _exports
from prunus.report import _units as show
from prunus.report._heat import heats
from prunus.report._page import plain
from prunus.report._rows import examples, removed, rows, split_of
from prunus.report._schema import Report
from prunus.report._zeros import work

CARD = "README.md"
OPEN = "## How to open it"
KEPT = ("license", "license_name", "license_link", "language", "base_model")
"""What a pruned model has of the dense one's card as it stands there."""
SENTENCES = "sentence-transformers"
METRICS = {"matthews": "matthews_correlation", "spearman": "spearmanr", "pearson": "pearsonr"}
"""Names of metrics that the hub calls otherwise."""
Front = Mapping[str, Any]


@dataclass(frozen=True)
class Origin:
    """What a card says that a report does not.

    Attributes:
        opening: what opens the checkpoint, in Python.
        base: the hub id of the dense model, where it has one.
        dataset: the hub id of the task's data, where it has one.
        config: which part of that.
        pipeline: what the hub calls the task.
        library: what opens the checkpoint, as the hub calls it.
        front: the head of the dense model's card.
    """

    opening: str
    base: str | None = None
    dataset: str | None = None
    config: str | None = None
    pipeline: str | None = None
    library: str = "transformers"
    front: Front = field(default_factory=dict)


def card(report: Report, origin: Origin) -> str:
    """The card: its head for the hub, then what was measured, removed and run."""
    head = _head(report, origin)
    recipe = yaml.safe_dump(report.recipe, sort_keys=False, allow_unicode=True, width=76)
    body = plain(
        "card.md.jinja",
        report=report,
        name=f"{_last(report.model)}-pruned",
        base=", ".join(_union([], head.base_model)) or _last(report.model),
        licence=origin.front.get("license"),
        removed=removed(report),
        measured=_table(("", "dense", "pruned", "change"), _measured(report)),
        stayed=_stayed(report),
        exports=_exports.lines(report),
        limits=_limits(report),
        opening=f"{OPEN}\n\n{_fenced(origin.opening, 'python')}",
        recipe=_fenced(recipe, "yaml"),
        show=show,
    )
    return ModelCard(f"---\n{head.to_yaml()}\n---\n\n{body}", ignore_metadata_errors=False).content


def front(path: Path) -> Front:
    """The head of a card; nothing where there is no card, or none that can be read."""
    try:
        found = REGEX_YAML_BLOCK.search(path.read_text(encoding="utf-8-sig"))
        said = notation.load(found.group(2)) if found else None
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return said if isinstance(said, dict) else {}


def reopened(text: str, opening: str) -> str:
    """The card of a checkpoint that is opened otherwise now; a card of others stays as it is."""
    told = f"{OPEN}\n\n{_fenced(opening, 'python')}\n"
    return re.sub(rf"^{OPEN}\n.*?(?=^## |\Z)", lambda _: f"{told}\n", text, flags=re.M | re.S)


def _last(model: str) -> str:
    """The name of a model, without the folder that it lies in."""
    return re.split(r"[/\\:]", model.rstrip("/"))[-1]


def _head(report: Report, origin: Origin) -> ModelCardData:
    theirs = origin.front
    sentences = origin.library == SENTENCES
    kept = {key: theirs[key] for key in KEPT if theirs.get(key)}
    if origin.base is not None:
        kept["base_model"] = origin.base
    return ModelCardData(
        **kept,
        model_name=f"{_last(report.model)}-pruned",
        library_name=origin.library,
        pipeline_tag=theirs.get("pipeline_tag") if sentences else origin.pipeline,
        tags=_union(["prunus", "pruning"], theirs.get("tags")),
        datasets=_union([origin.dataset] if origin.dataset else [], theirs.get("datasets")) or None,
        metrics=[_called(report.quality.metric)],
        eval_results=_results(report, origin) or None,
    )


def _union(ours: Sequence[str], theirs: Any) -> list[str]:
    others = theirs if isinstance(theirs, list) else [theirs] if isinstance(theirs, str) else []
    return list(dict.fromkeys([*ours, *map(str, others)]))


def _called(metric: str) -> str:
    return METRICS.get(metric, metric)


def _results(report: Report, origin: Origin) -> list[EvalResult]:
    """The pruned model's qualities, as the hub lists them."""
    values = {report.quality.metric: report.quality.pruned}
    values |= {name: own["pruned"] for name, own in report.model_dump().get("metrics", {}).items()}
    return [
        EvalResult(
            task_type=origin.pipeline or report.task,
            dataset_type=origin.dataset or report.task,
            dataset_name=report.task,
            dataset_config=origin.config,
            dataset_split=split_of(report),
            metric_type=_called(name),
            metric_name=f"{name} (%)",
            metric_value=round(value, 4),
        )
        for name, value in values.items()
        if value is not None
    ]


def _measured(report: Report) -> list[Sequence[str]]:
    return [
        (
            f"{row.label} ({row.note})" if row.note else row.label,
            row.dense,
            row.pruned,
            "; ".join(filter(None, (row.change, row.remark))),
        )
        for row in rows(report)
    ]


def _stayed(report: Report) -> dict[str, str]:
    """For every stack of layers a table: a row a layer, a column a kind of site."""
    return {
        heat.title: _table(
            ("layer", *heat.columns),
            [
                (layer, *(f"{own.kept:,} of {own.of:,}" if (own := cells.get(column)) else ""
                          for column in heat.columns))
                for layer, cells in heat.rows.items()
            ],
        )
        for heat in heats(report.kept)
    }  # fmt: skip


def _limits(report: Report) -> list[str]:
    found = [
        f"One run, of seed {report.seed}: another seed gives another model and other figures.",
        f"Quality is measured on {examples(report)}, and on nothing else. What follows ± there is"
        " one standard error.",
        "Times are those of the machine and the runtime that are named, and hold for no other.",
        "What the dense model gets wrong, this one does too; it was not tested for biases.",
    ]
    if report.frontier is not None:
        found.append(f"Its density was chosen on {report.frontier.n:,} other examples, of the"
                     f" {report.frontier.split} split.")  # fmt: skip
    if report.zeros is not None:
        found.append(f"{work(report.flops, report.zeros.work)}. Weights that stayed in place as"
                     " zeros save time only where a kernel leaves them out.")  # fmt: skip
    worst = report.detail and report.detail.worst_class
    if report.detail and worst:
        own = report.detail.recall[worst]
        found.append(
            f"The class that it finds least often is {worst!r}: {show.points(own.pruned)} % of"
            f" {own.n:,} examples, the dense model {show.points(own.dense)} %."
        )
    return found


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    aligned = ["---", *["---:"] * (len(head) - 1)]
    written = [head, aligned, *([_cell(own) for own in line] for line in lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in written)


def _cell(text: str) -> str:
    """Text that ends no cell, and opens no element."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def _fenced(text: str, language: str) -> str:
    """A block of code that nothing in it ends."""
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
