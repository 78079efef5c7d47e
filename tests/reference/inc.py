"""neural-compressor's pruner, slowly, from its documented semantics: loops, and a threshold.

One thing is as prunus has it: of a fraction of blocks that is no whole number, the original removes
what is whole, and so misses its target; here the next whole number goes.
"""

from math import ceil, cos, pi

import torch


def wanted(decay, way, target):
    """What fraction has gone, at a fraction of the way."""
    if decay == "exp":
        return 1 - (1 - target) ** way
    if decay == "cos":
        return target * (1 - cos(pi / 2 * way))
    return target * way ** {"linear": 1, "cube": 3}[decay]


class Reference:
    """One pruner: told of steps, it masks weights.

    Args:
        weights: {name: parameter [outputs, inputs]}.
        criterion: magnitude, gradient, snip or snip_momentum.
        pattern: NxM, channelx1, 1xchannel, or N:M, of which N go.
        decay: exp, cos, linear or cube.
        scope: global or local.
        target: the fraction that goes.
        start: the step before which masks are chosen for the first time.
        end: the last such step.
        every: steps in between.
        most: of a layer, the greatest fraction that goes.
    """

    def __init__(
        self, weights, *, criterion, pattern, decay, scope, target, start, end, every, most=0.98
    ):
        self.weights, self.criterion, self.pattern = weights, criterion, pattern
        self.decay, self.scope, self.target, self.most = decay, scope, target, most
        self.start, self.end, self.every = start, end, every
        self.masks = {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()}
        self.scores = {name: torch.zeros_like(w) for name, w in weights.items()}
        self.step = self.completed = 0
        self.total = (end - start + every) // every - 1
        if self.total == 0:
            self.total = self.completed = 1

    def begin(self):
        """Before a step: choose masks where that is due; gives the fraction that shall be gone."""
        due = self.start <= self.step <= self.end and (self.step - self.start) % self.every == 0
        if not due:
            return None
        fraction = wanted(self.decay, self.completed / self.total, self.target)
        self.completed += 1
        if self.criterion == "magnitude":
            self.scores = {name: weight.detach().abs() for name, weight in self.weights.items()}
        if fraction:
            self._choose(fraction)
        self._mask()
        return fraction

    def before(self):
        """Before the optimizer's step: gradients are there."""
        for name, weight in self.weights.items():
            found = {
                "magnitude": self.scores[name],
                "gradient": weight.grad.abs(),
                "snip": (weight.detach() * weight.grad).abs(),
                "snip_momentum": 0.9 * self.scores[name] + (weight.detach() * weight.grad).abs(),
            }
            self.scores[name] = found[self.criterion]

    def after(self):
        """After the optimizer's step."""
        self._mask()
        self.step += 1

    def _mask(self):
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.mul_(self.masks[name])

    def _choose(self, fraction):
        groups = [list(self.weights)] if self.scope == "global" else [[n] for n in self.weights]
        for names in groups:
            goes = self._lowest(names, fraction)
            self.masks |= {name: ~self._spread(name, goes[name]) for name in names}

    def _lowest(self, names, fraction):
        """{name: [block] bool}: which blocks go; a layer beyond its most is settled by itself."""
        blocks = {name: self._blocks(name) for name in names}
        per_run, of = self._run
        most = 1.0 if per_run < of else self.most  # of runs, N of M weights go at most anyway
        left = ceil(sum(map(len, blocks.values())) * fraction * of / per_run - 1e-9)
        gone, rest = {}, list(names)
        while rest:
            threshold = torch.kthvalue(torch.cat([blocks[name] for name in rest]), left).values
            found = {name: blocks[name] <= threshold for name in rest}
            over = [n for n in rest if int(found[n].sum()) > int(most * len(found[n]) + 1e-9)]
            if not over:
                return gone | found
            for name in over:
                count = int(most * len(blocks[name]) + 1e-9)
                gone[name] = blocks[name] <= torch.kthvalue(blocks[name], count).values
                left -= count
                rest.remove(name)
        return gone

    @property
    def _run(self):
        """(N, M) of a pattern N:M; of blocks, all of one."""
        return tuple(map(int, self.pattern.split(":"))) if ":" in self.pattern else (1, 1)

    def _shape(self, name):
        rows, columns = self.weights[name].shape
        if ":" in self.pattern:
            return 1, self._run[1]
        height, width = self.pattern.split("x")
        return (
            rows if height == "channel" else int(height),
            columns if width == "channel" else int(width),
        )

    def _blocks(self, name):
        """[block]: scores, row by row; of N:M, the mean of those that would go."""
        height, width = self._shape(name)
        scores, found = self.scores[name], []
        for row in range(0, scores.shape[0], height):
            for column in range(0, scores.shape[1], width):
                block = scores[row : row + height, column : column + width].flatten()
                if ":" in self.pattern:
                    block = block[block <= torch.kthvalue(block, self._run[0]).values]
                found.append(block.mean())
        return torch.stack(found)

    def _spread(self, name, goes):
        """[outputs, inputs] bool: which weights go."""
        height, width = self._shape(name)
        scores, gone = self.scores[name], torch.zeros_like(self.masks[name])
        place = 0
        for row in range(0, scores.shape[0], height):
            for column in range(0, scores.shape[1], width):
                here = slice(row, row + height), slice(column, column + width)
                if goes[place] and ":" in self.pattern:
                    gone[here] = (
                        scores[here] <= torch.kthvalue(scores[here].flatten(), self._run[0]).values
                    )
                elif goes[place]:
                    gone[here] = True
                place += 1
        return gone
