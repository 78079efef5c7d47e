"""Small random networks that see images: of transformers, in plain torch, and drawn at random."""

import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

SIDE = 32
IMAGE = {"x": torch.zeros(1, 3, SIDE, SIDE)}

CONFIGS: dict[str, dict[str, Any]] = {
    "ResNet": {"embedding_size": 8, "hidden_sizes": [16, 32], "depths": [2, 2]},
    "ConvNext": {"hidden_sizes": [8, 16], "depths": [1, 2], "num_stages": 2, "image_size": 32},
    "ConvNextV2": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2, "image_size": 32},
    "MobileNetV1": {"depth_multiplier": 0.1, "min_depth": 4, "image_size": 32},
    "MobileNetV2": {
        "depth_multiplier": 0.1, "min_depth": 4, "depth_divisible_by": 4, "image_size": 32,
    },
    "EfficientNet": {
        "width_coefficient": 0.1, "depth_coefficient": 0.1, "depth_divisor": 4, "hidden_dim": 128,
        "image_size": 32,
    },
    "RegNet": {
        "embedding_size": 8, "hidden_sizes": [8, 16, 16, 24], "depths": [1, 1, 1, 1],
        "groups_width": 4,
    },
    "PoolFormer": {
        "hidden_sizes": [8, 16], "depths": [1, 1], "num_encoder_blocks": 2, "patch_sizes": [3, 3],
        "strides": [2, 2], "padding": [1, 1],
    },
    "Bit": {"embedding_size": 8, "hidden_sizes": [16, 32], "depths": [1, 1], "num_groups": 8},
    "Levit": {
        "image_size": 32, "hidden_sizes": [16, 32, 32], "num_attention_heads": [2, 2, 2],
        "depths": [1, 1, 1], "key_dim": [4, 4, 4],
    },
    "Beit": {
        "image_size": 32, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 24, "patch_size": 8,
    },
    "Dinov2": {
        "image_size": 32, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "patch_size": 8,
    },
}  # fmt: skip
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ResNet, basic blocks": ("ResNet", {"layer_type": "basic", "hidden_sizes": [8, 16]}),
    "RegNet, no gates": ("RegNet", {"layer_type": "x"}),
}
"""Architectures of transformers, and what makes them tiny."""


def stock(name: str, **more: Any) -> nn.Module:
    """A tiny model of transformers for three classes."""
    name, own = VARIANTS.get(name, (name, {}))
    config = getattr(transformers, f"{name}Config")
    cls = getattr(transformers, f"{name}ForImageClassification")
    return cls(config(**{"num_labels": 3, **CONFIGS[name], **own, **more}))


class Block(nn.Module):
    """Two convolutions beside a shortcut without weights, as in the ResNets for CIFAR."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, edge = stride, (outputs - inputs) // 2
        self.pad = nn.ZeroPad3d((0, 0, 0, 0, edge, edge))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.pad(x[:, :, :: self.stride, :: self.stride]))


def padded() -> nn.Module:
    """A residual network that pads channels with zeros where it widens."""
    blocks = [Block(8, 8, 1), Block(8, 16, 2), Block(16, 32, 2)]
    return Chain(
        nn.Conv2d(3, 8, 3), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 3)
    )


class Chain(nn.Sequential):
    """Layers one after the other, given an argument of a name."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


def vgg() -> nn.Module:
    """Convolutions, then linear layers that read places of channels."""
    return Chain(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(4),
        nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(108, 20), nn.ReLU(), nn.Dropout(),
        nn.Linear(20, 3),
    )  # fmt: skip


class Dense(nn.Module):
    """Every layer reads all layers before it, one after the other, as in DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(8 + 6 * k) for k in range(4))
        self.convs = nn.ModuleList(nn.Conv2d(8 + 6 * k, 6, 3, 1, 1) for k in range(3))
        self.head = nn.Linear(26, 3)

    def forward(self, x: Tensor) -> Tensor:
        seen = [self.stem(x)]
        for norm, conv in zip(self.norms, self.convs, strict=False):
            seen.append(conv(torch.relu(norm(torch.cat(seen, 1)))))
        return self.head(torch.relu(self.norms[3](torch.cat(seen, 1))).mean((2, 3)))


class Shuffle(nn.Module):
    """Groups whose channels are dealt out anew, halves, and what makes images larger again."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 1)
        self.groups = nn.Conv2d(16, 16, 3, 1, 1, groups=2)
        self.norm = nn.GroupNorm(2, 16)
        self.second = nn.Conv2d(16, 16, 1, groups=2)
        self.up = nn.ConvTranspose2d(16, 12, 2, 2)
        self.each = nn.ConvTranspose2d(12, 12, 2, 2, groups=12)
        self.last = nn.GroupNorm(6, 12)
        self.head = nn.Linear(28, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.groups(self.first(x[:, :, ::4, ::4])))
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        one, other = self.second(x).chunk(2, 1)
        y = torch.cat([other * 2, one], 1)
        z = self.last(self.each(self.up(y)))
        return self.head(torch.cat([z.mean((2, 3)), y.amax((2, 3))], 1))


class Rare(nn.Module):
    """Operations of which few networks have any."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.rows = nn.Embedding(5, 8)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.third = nn.Conv2d(8, 6, 1)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x[:, :, ::4, ::4])
        x = torch.stack([x, 2 * x], dim=2).sum(2)
        x = x + self.rows(torch.tensor([1]))[:, :, None, None]
        x = x.as_strided(x.shape, x.stride())
        x = self.third(nn.functional.pad(self.second(x), (1, 1, -1, -1)))
        return self.head(x.mean((2, 3)).unsqueeze(0).squeeze(0))


PLAIN: dict[str, Callable[[], nn.Module]] = {
    "padded ResNet": padded, "VGG": vgg, "DenseNet": Dense, "ShuffleNet": Shuffle,
    "rare": Rare,
}  # fmt: skip
ARCHITECTURES = (*CONFIGS, *VARIANTS, *PLAIN)


def network(name: str, seed: int = 0) -> nn.Module:
    """A network of :data:`ARCHITECTURES`, its weights, norms and statistics far from defaults."""
    torch.manual_seed(seed)
    made = PLAIN.get(name, partial(stock, name))()
    return stirred(made, seed)


def stirred(model: nn.Module, seed: int) -> nn.Module:
    """Vectors and statistics that are not all alike."""
    drawn = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.parameters():
            if tensor.dim() == 1:
                tensor += 0.3 * torch.randn(tensor.shape, generator=drawn)
        for name, tensor in model.named_buffers():
            if "running" in name:
                tensor += 0.5 * torch.rand(tensor.shape, generator=drawn)
    return model.eval()


class Drawn(nn.Module):
    """A random graph of convolutions, norms, sums, concatenations, splits and gates."""

    STEPS = ("conv", "conv", "depthwise", "grouped", "norm", "norm", "relu", "add", "add", "cat",
             "halves", "swapped", "gate", "pad", "up", "pool", "shuffle")  # fmt: skip

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.draw = random.Random(seed)
        self.steps: list[tuple[str, tuple[int, ...], int]] = []
        self.layers = nn.ModuleList()
        self.widths = [self._layer(nn.Conv2d(3, 8, 3, 2, 1), "layer", (0,), 8)]
        for _ in range(self.draw.randint(4, 12)):
            self._step(self.draw.choice(self.STEPS))
        last = self.widths[-1]
        self.flat = self.draw.random() < 0.3
        self.head = nn.Linear(last * (4 if self.flat else 1), 3)

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for what, reads, layer in self.steps:
            values.append(COMPUTE[what]([values[k] for k in reads], self.layers[layer]))
        if self.flat:
            return self.head(functional.adaptive_avg_pool2d(values[-1], 2).flatten(1))
        return self.head(values[-1].mean((2, 3)))

    def _layer(self, module: nn.Module, what: str, reads: tuple[int, ...], width: int) -> int:
        self.layers.append(module)
        self.steps.append((what, reads, len(self.layers) - 1))
        return width

    def _step(self, what: str) -> None:
        place = len(self.widths) - (0 if self.draw.random() < 0.8 else min(1, len(self.widths) - 1))
        width = self.widths[place - 1]
        made = getattr(self, f"_{what}")(place, width)
        if made is not None:
            self.widths.append(made)

    def _conv(self, at: int, width: int) -> int:
        wide, kernel = self.draw.choice([4, 6, 8, 12]), self.draw.choice([1, 3])
        conv = nn.Conv2d(width, wide, kernel, 1, kernel // 2, bias=self.draw.random() < 0.5)
        return self._layer(conv, "layer", (at,), wide)

    def _depthwise(self, at: int, width: int) -> int:
        times = self.draw.choice([1, 1, 2])
        conv = nn.Conv2d(width, times * width, 3, 1, 1, groups=width)
        return self._layer(conv, "layer", (at,), times * width)

    def _grouped(self, at: int, width: int) -> int | None:
        if width % 4:
            return None
        groups = self.draw.choice([2, width // 2])
        return self._layer(nn.Conv2d(width, width, 1, groups=groups), "layer", (at,), width)

    def _norm(self, at: int, width: int) -> int:
        groups = [count for count in (1, 2, width // 2) if width % count == 0]
        norm = self.draw.choice(
            [nn.BatchNorm2d(width), nn.GroupNorm(self.draw.choice(groups), width)]
        )
        if self.draw.random() < 0.25:
            return self._layer(nn.LayerNorm(width), "across", (at,), width)
        return self._layer(norm, "layer", (at,), width)

    def _relu(self, at: int, width: int) -> int:
        act = self.draw.choice([nn.ReLU(), nn.GELU(), nn.Sigmoid(), nn.Hardswish()])
        return self._layer(act, "layer", (at,), width)

    def _add(self, at: int, width: int) -> int:
        same = [k for k, other in enumerate(self.widths, 1) if other == width]
        return self._layer(nn.Identity(), "add", (at, self.draw.choice(same)), width)

    def _cat(self, at: int, width: int) -> int:
        other = self.draw.randint(1, len(self.widths))
        return self._layer(nn.Identity(), "cat", (at, other), width + self.widths[other - 1])

    def _halves(self, at: int, width: int) -> int | None:
        return None if width % 2 else self._layer(nn.Identity(), "halves", (at,), width // 2)

    def _swapped(self, at: int, width: int) -> int | None:
        return None if width % 2 else self._layer(nn.Identity(), "swapped", (at,), width)

    def _gate(self, at: int, width: int) -> int:
        gate = nn.Sequential(
            nn.Conv2d(width, 4, 1), nn.ReLU(), nn.Conv2d(4, width, 1), nn.Sigmoid()
        )
        return self._layer(gate, "gate", (at,), width)

    def _pad(self, at: int, width: int) -> int:
        return self._layer(nn.ZeroPad3d((0, 0, 0, 0, 1, 3)), "layer", (at,), width + 4)

    def _up(self, at: int, width: int) -> int:
        groups = self.draw.choice([1, width])
        up = nn.ConvTranspose2d(width, width, 3, 1, 1, groups=groups)
        return self._layer(up, "layer", (at,), width)

    def _pool(self, at: int, width: int) -> int:
        pool = self.draw.choice([nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(3, 1, 1)])
        return self._layer(pool, "layer", (at,), width)

    def _shuffle(self, at: int, width: int) -> int | None:
        return None if width % 2 else self._layer(nn.ChannelShuffle(2), "shuffle", (at,), width)


def _across(x: Tensor, norm: nn.Module) -> Tensor:
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _dealt(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


COMPUTE: Mapping[str, Callable[[list[Tensor], nn.Module], Tensor]] = {
    "layer": lambda x, layer: layer(x[0]),
    "across": lambda x, layer: _across(x[0], layer),
    "add": lambda x, _: x[0] + x[1],
    "cat": lambda x, _: torch.cat(x, 1),
    "halves": lambda x, _: x[0].chunk(2, 1)[0] * x[0].chunk(2, 1)[1],
    "swapped": lambda x, _: torch.cat(x[0].chunk(2, 1)[::-1], 1),
    "gate": lambda x, layer: x[0] * layer(x[0].mean((2, 3), keepdim=True)),
    "shuffle": lambda x, _: _dealt(x[0]),
}
