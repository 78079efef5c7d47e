"""From one structured mask to the next in parts: of what is doomed, the least weights go first."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from prunus.site import Site, expand


@dataclass
class Easing:
    """Blocks that were chosen to go, weight by weight (neural-compressor's progressive pruning).

    Attributes:
        parts: in how many parts they go, the first at once.
        goals: {site: [*grid]} the masks that will hold when all of them are gone.
        ranks: {site: the weight's shape} of a doomed weight the fraction of the doomed ones that
            are lower; 1 and more elsewhere.
        part: how many parts are gone.
    """

    parts: int
    goals: dict[str, Tensor] = field(default_factory=dict)
    ranks: dict[str, Tensor] = field(default_factory=dict)
    part: int = 0

    def begin(
        self, sites: Mapping[str, Site], now: Mapping[str, Tensor], goals: Mapping[str, Tensor],
        fine: Mapping[str, Tensor],
    ) -> None:  # fmt: skip
        """Doom what stays now and is not in the goals; the first part goes.

        Args:
            sites: the sites, each of a single slice.
            now: {site: [*grid]} masks that hold.
            goals: masks that shall hold.
            fine: {site: the weight's shape} what each weight is worth.
        """
        for name, goal in goals.items():
            part, scores = sites[name].slices[0], fine[name]
            doomed = expand(part, now[name] & ~goal, scores.shape).bool()
            order = scores[doomed].argsort().argsort() / max(1, int(doomed.sum()))
            self.ranks[name] = torch.full_like(scores, 2.0).masked_scatter(doomed, order.to(scores))
            self.goals[name] = goal
        self.part = 1

    def stays(self, name: str) -> Tensor | None:
        """The weights of a site that are not gone yet; None where it waits for nothing."""
        ranks = self.ranks.get(name)
        return None if ranks is None else ranks >= self.part / self.parts

    def finished(self) -> dict[str, Tensor]:
        """Go a part on; the masks that hold from now on, if that was the last one."""
        self.part += 1
        if self.part < self.parts:
            return {}
        goals, self.goals, self.ranks = self.goals, {}, {}
        return goals
