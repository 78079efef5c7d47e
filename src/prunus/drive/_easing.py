"""From one structured mask to the next in parts: of what is doomed, the least weights go first."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import torch
from torch import Tensor

from prunus.errors import PrunusError
from prunus.schedule import Times
from prunus.site import Site, expand


@dataclass
class Easing:
    """Blocks that were chosen to go, weight by weight (neural-compressor's progressive pruning).

    Attributes:
        parts: in how many parts they go, the first of them at once.
        times: when blocks are chosen; what the last choice dooms goes at once.
        goals: {site: [*grid]} the masks that will hold when all parts are gone.
        ranks: {site: the weight's shape} of a doomed weight, the fraction of the doomed ones that
            are worth less; above 1 elsewhere.
        part: how many parts are gone.
    """

    parts: int
    times: Times
    goals: dict[str, Tensor] = field(default_factory=dict)
    ranks: dict[str, Tensor] = field(default_factory=dict)
    part: int = 0

    def check(self, sites: Mapping[str, Site]) -> None:
        """Check that there is something to go in parts, and time for them.

        Raises:
            PrunusError: there is not.
        """
        for site in sites.values():
            if len(site.slices) != 1 or all(prod(part.tile) == 1 for part in site.slices):
                raise PrunusError(
                    f"site {site.name!r}: progressive is for blocks of one weight matrix, such as"
                    " 4x1; leave it out"
                )
        if self.times.last and self.times.every < self.parts:
            raise PrunusError(
                f"progressive: {self.parts} parts between two choices of masks need as many steps,"
                f" but masks are chosen every {self.times.every}: raise `every`"
            )

    def begin(
        self,
        sites: Mapping[str, Site],
        now: Mapping[str, Tensor],
        goals: Mapping[str, Tensor],
        fine: Mapping[str, Tensor],
    ) -> None:
        """Doom what stays now and not in the goals; the first part goes.

        Args:
            sites: each of a single slice.
            now: {site: [*grid]} masks that hold.
            goals: those that shall hold.
            fine: {site: the weight's shape} what each weight is worth.
        """
        for name, goal in goals.items():
            gone = (now[name] & ~goal).to(fine[name])
            doomed = expand(sites[name].slices[0], gone, fine[name].shape).bool()
            order = fine[name][doomed].argsort().argsort() / max(1, int(doomed.sum()))
            ranks = torch.full_like(fine[name], 2.0)
            self.ranks[name] = ranks.masked_scatter(doomed, order.to(ranks))
            self.goals[name] = goal
        self.part = 1

    def due(self, done: int) -> bool:
        """Whether the next part goes when so many steps are done."""
        behind = (done - self.times.start) % self.times.every
        return bool(self.goals) and behind == self.part * (self.times.every // self.parts)

    def advance(self) -> dict[str, Tensor]:
        """Let a part go; the masks that hold from now on, if it was the last one."""
        self.part += 1
        if self.part < self.parts:
            return {}
        goals, self.goals, self.ranks = self.goals, {}, {}
        return goals

    def stays(self) -> dict[str, Tensor]:
        """{site: the weight's shape} True for weights that are not gone yet."""
        return {name: ranks >= self.part / self.parts for name, ranks in self.ranks.items()}

    def state(self) -> dict[str, Tensor]:
        """What a later training needs to go on from here."""
        goals = {f"goal/{name}": goal for name, goal in self.goals.items()}
        ranks = {f"rank/{name}": ranks for name, ranks in self.ranks.items()}
        parts = {f"part/{name}": torch.tensor(self.part) for name in self.goals}
        return {**goals, **ranks, **parts}

    def restore(self, devices: Mapping[str, torch.device], state: Mapping[str, Tensor]) -> None:
        """Go on from :meth:`state`, each site on its device."""
        names = [name for name in devices if f"goal/{name}" in state]
        self.goals, self.ranks = (
            {name: state[f"{what}/{name}"].to(devices[name]).clone() for name in names}
            for what in ("goal", "rank")
        )
        self.part = int(state[f"part/{names[0]}"]) if names else 0
