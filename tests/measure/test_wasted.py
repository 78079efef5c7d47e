import pytest
import torch
from torch import nn

from prunus.measure.wasted import wasted
from prunus.probe.work import work
from tests.tiny import FAMILIES, batch_of, tiny


class Net(nn.Module):
    """Two products that are known by heart, and one of activations."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Linear(6, 10)
        self.image = nn.Conv2d(2, 4, 3)

    def forward(self, x, image):
        made = self.wide(x)
        return made @ made.T, self.image(image)


def test_zeros_are_counted_by_how_often_they_are_multiplied():
    net = Net()
    with torch.no_grad():
        net.wide.weight[:4] = 0
        net.image.weight[:, 0] = 0
    found = wasted(net, {"x": torch.randn(5, 6), "image": torch.randn(1, 2, 8, 8)})
    wide, product, image = 2 * 5 * 6 * 10, 2 * 5 * 10 * 5, 2 * 36 * 4 * 2 * 9
    assert found.flops == wide + product + image
    assert found.zeros == 0.4 * wide + 0.5 * image
    assert found.share == found.zeros / found.flops


def test_a_tied_weight_wastes_work_in_each_of_its_layers():
    one, other = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    other.weight = one.weight
    with torch.no_grad():
        one.weight[0] = 0
    found = wasted(nn.Sequential(one, other), {"input": torch.randn(3, 4)})
    assert (found.flops, found.zeros) == (2 * 2 * 3 * 16, 2 * 2 * 3 * 4)


def test_without_work_nothing_is_wasted():
    assert wasted(nn.LayerNorm(4), {"input": torch.randn(3, 4)}).share == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_all_layers_are_wasted_where_all_weights_are_zero(family):
    model = tiny(family)
    batch = batch_of(model)
    assert wasted(model, batch).zeros == 0
    spent = work(model, batch)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D":
                module.weight.zero_()
    products = {name for name, own in model.named_modules() if hasattr(own, "weight")}
    layers = sum(flops for name, flops in spent.items() if name in products)
    assert 0 < wasted(model, batch).zeros <= layers < sum(spent.values())
