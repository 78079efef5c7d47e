"""Every family with every task head: what holds of a pruned model, written to docs/families.md.

    python benchmarks/families.py

Tiny random models of uneven widths and depths. Saved ones are opened in processes of their own, the
portable ones where prunus cannot be imported. Some minutes, one thread.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/families.md"
BOUND = 1e-5
HEAD = f"""# Families

What holds of a pruned model, for every family and every task head that transformers has of it. Made
by `python benchmarks/families.py`, on tiny random models from which units of every kind are cut,
unevenly.

- **masked = shrunk**: the largest relative distance between what the dense model answers under the
  mask and what the cut model answers; the bound is {BOUND:.0e}.
- **reload**: saved by prunus, opened in a fresh process that imports prunus, by every Auto class
  that fits: the same answers.
- **portable**: saved with `portable=True`, opened in a fresh process that cannot import prunus,
  saved and opened there again: the same answers.
- **generate**: six tokens with a cache, from padded prompts: the same under the mask, cut, and cut
  and opened from a portable checkpoint. Heads that write no text say so.
"""


def main() -> None:
    """Fill the page."""
    with tempfile.TemporaryDirectory() as place:
        os.environ |= {"HF_MODULES_CACHE": place, "HF_HUB_OFFLINE": "1"}  # before transformers
        sys.path.insert(0, str(ROOT))
        import torch

        from prunus.task._network import hushed
        from tests.tiny import FAMILIES

        torch.set_num_threads(1)
        rows: dict[str, dict[str, str]] = {}
        with hushed():
            for family in FAMILIES:
                rows |= {f"{family} {row['head']}": row for row in heads(family, Path(place))}
        for order, folder in (("prunus", "reload"), ("portable", "portable")):
            for case, found in opened(order, Path(place) / folder).items():
                rows[case][folder] = found
    PAGE.write_text("\n".join([HEAD, *page(rows)]), encoding="utf-8")


def heads(family: str, place: Path) -> Iterator[dict[str, str]]:
    """A row for each head of a family; its checkpoints are left in ``place``."""
    from tests.checkpoint.conftest import store, trusted
    from tests.tiny import auto_heads, batch_of, tiny

    for index, (name, autos) in enumerate(auto_heads(family).items()):
        model = tiny(family, name, layers=3)
        plan, small = uneven(model, index)
        batch, case = batch_of(model), f"{family} {name}"
        store(small, batch, place / "reload" / case, autos)
        folder = store(small, batch, place / "portable" / case, autos, portable=True)
        row = {"family": family, "head": name, "masked = shrunk": apart(model, plan, small, batch)}
        models = (small, trusted(folder)) if model.can_generate() else ()
        yield row | {"generate": generates(model, plan, models)}


def uneven(model: Any, seed: int) -> tuple[Any, Any]:
    """A plan that takes a layer or sublayer and a random share of everything else; the cut model.

    It is the first of its kind that the stock configuration cannot say.
    """
    from prunus.anatomy import anatomy
    from prunus.checkpoint import adopt
    from prunus.edit import shrink
    from prunus.plan import Plan
    from tests.contract.draw import random_plan

    sites = anatomy(model)
    while True:
        coarse = random_plan(sites.of("sublayers", "layers"), seed, share=0.7)
        plan = Plan({**random_plan(sites, seed), **coarse})
        small = adopt(shrink(model, plan))
        if hasattr(small.config, "prunus"):
            return plan, small
        seed += 100


def apart(model: Any, plan: Any, small: Any, batch: Mapping[str, Any]) -> str:
    """How far masked and cut are apart."""
    from prunus.anatomy import anatomy
    from prunus.edit import mask
    from tests.contract.test_masked_is_shrunk import left
    from tests.tiny import answers, far

    with mask(model, anatomy(model), plan):
        masked = answers(model, batch)
    cut = answers(small, batch)
    worst = max(far(answer, left(masked[name], plan, answer)) for name, answer in cut.items())
    return f"{worst:.0e}" if worst < BOUND else f"**{worst:.0e}**"


def generates(model: Any, plan: Any, models: tuple[Any, ...]) -> str:
    """Whether the cut models write what the masked one does."""
    import torch

    from prunus.anatomy import anatomy
    from prunus.edit import mask
    from tests.checkpoint.test_generate import generated, prompt

    if not models:
        return "reads images" if model.main_input_name == "pixel_values" else "writes no text"
    with mask(model, anatomy(model), plan):
        expected, _ = generated(model, prompt())
    same = all(torch.equal(generated(small, prompt())[0], expected) for small in models)
    return "same tokens" if same else "**other tokens**"


def opened(order: str, folder: Path) -> dict[str, str]:
    """{case: what its Auto classes said}."""
    from tests.checkpoint.conftest import reopen

    found: dict[str, str] = {}
    for row in reopen(order, folder):
        told = "bit for bit" if row.get("equal") else f"**{row.get('error', 'differs')}**"
        if found.get(row["case"], "bit for bit") == "bit for bit":
            found[row["case"]] = told
    return found


def page(rows: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """A table for each family."""
    columns = ("head", "masked = shrunk", "reload", "portable", "generate")
    for family in dict.fromkeys(row["family"] for row in rows.values()):
        yield f"## {family}\n"
        yield f"| {' | '.join(columns)} |"
        yield f"{'|---' * len(columns)}|"
        for row in rows.values():
            if row["family"] == family:
                yield f"| {' | '.join(row[column] for column in columns)} |"
        yield ""


if __name__ == "__main__":
    main()
