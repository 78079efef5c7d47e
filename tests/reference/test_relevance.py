"""Relevance against the rules' formulae on explicit matrices, against zennit, and conserved."""

import copy

import pytest
import torch
from torch import nn
from transformers.modeling_outputs import ImageClassifierOutput

from prunus.errors import PrunusError
from prunus.probe import Relevance
from prunus.registry import build
from prunus.score import score
from tests.convnets import images, outputs_of, residual, resnet
from tests.tiny import batch_of, tiny


class Classifier(nn.Module):
    """Any modules in a row; what they put out, flattened, are the logits."""

    def __init__(self, *modules):
        super().__init__()
        self.body = nn.Sequential(*modules)
        for norm in self.modules():
            if isinstance(norm, nn.BatchNorm2d | nn.BatchNorm1d):
                nn.init.normal_(norm.weight)
                nn.init.uniform_(norm.running_var, 0.5, 2)
        self.eval()

    def forward(self, pixel_values):
        return ImageClassifierOutput(logits=self.body(pixel_values).flatten(1))


LAYERS = {
    "conv1d": (lambda: nn.Conv1d(2, 3, 3, padding=1), (2, 5)),
    "conv2d": (lambda: nn.Conv2d(2, 3, 3, stride=2, padding=1), (2, 5, 4)),
    "dilated": (lambda: nn.Conv2d(2, 3, 2, dilation=2), (2, 5, 4)),
    "grouped": (lambda: nn.Conv2d(4, 6, 3, padding=1, groups=2), (4, 3, 3)),
    "conv3d": (lambda: nn.Conv3d(2, 2, 2), (2, 3, 2, 3)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2), (4, 2, 3)),
    "linear": (lambda: nn.Linear(7, 4), (7,)),
}
RULES = [
    {"first": "epsilon"},
    {"first": "flat"},
    {"first": "alpha_beta"},
    {"first": "alpha_beta", "alpha": 2, "beta": 1},
    {"first": "z_beta", "low": -3, "high": 3},
]


def matrix_of(layer, shape):
    """[outputs, inputs] a layer without its bias as an explicit matrix."""
    silent = copy.deepcopy(layer)
    for module in silent.modules():
        if getattr(module, "bias", None) is not None:
            module.bias.data.zero_()
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
    units = torch.eye(torch.Size(shape).numel()).reshape(-1, *shape)
    with torch.no_grad():
        return silent(units).flatten(1).T.double()


def by_formula(matrix, x, start, first, alpha=1, beta=0, low=0, high=0):
    """[inputs] relevance, output by output."""
    found = torch.zeros(matrix.shape[1], dtype=torch.float64)
    for weights, r in zip(matrix, start, strict=True):
        if first == "epsilon":
            z = weights * x
        elif first == "flat":
            z = (weights != 0).double()
        elif first == "z_beta":
            z = weights * x - weights.clamp(min=0) * low - weights.clamp(max=0) * high
        else:
            up, down = (weights * x).clamp(min=0), (weights * x).clamp(max=0)
            found += alpha * r * up / up.sum().clamp_min(1e-300)
            found -= beta * r * down / down.sum().clamp_max(-1e-300)
            continue
        found += r * z / z.sum()
    return found


@pytest.mark.parametrize("settings", RULES, ids=str)
@pytest.mark.parametrize("layer", LAYERS)
def test_one_layer_by_the_formula(layer, settings):
    torch.manual_seed(0)
    make, shape = LAYERS[layer]
    model = Classifier(make())
    batch = {"pixel_values": torch.randn(2, *shape), "labels": torch.tensor([1, 0])}
    found = Relevance(epsilon=1e-12, start="logit", **settings).of_input(model, batch)
    matrix = matrix_of(model.body[0], shape)
    with torch.no_grad():
        logits = model(batch["pixel_values"]).logits.double()
    for row in range(2):
        start = torch.zeros_like(logits[row])
        start[batch["labels"][row]] = logits[row, batch["labels"][row]]
        expected = by_formula(matrix, batch["pixel_values"][row].double().flatten(), start,
                              **settings)  # fmt: skip
        torch.testing.assert_close(found[row].flatten().double(), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("layer", ["conv2d", "transposed"])
def test_batch_norms_are_folded_into_the_layer_before(layer):
    torch.manual_seed(1)
    make, shape = LAYERS[layer]
    model = Classifier(nn.Sequential(make(), nn.BatchNorm2d(make().out_channels).eval()))
    assert (model.body[0][1].weight < 0).any()
    batch = {"pixel_values": torch.randn(1, *shape)}
    for label in range(0, model(**batch).logits.shape[1], 5):
        batch["labels"] = torch.tensor([label])
        found = Relevance(first="alpha_beta").of_input(model, batch)
        matrix = matrix_of(model.body[0], shape)
        start = torch.zeros(len(matrix))
        start[label] = 1
        expected = by_formula(matrix, batch["pixel_values"].double().flatten(), start, "alpha_beta")
        torch.testing.assert_close(found.flatten().double(), expected, rtol=1e-3, atol=1e-6)


def sums(model, batch, rules, *paths):
    """{module: [sample] sum of the relevance at its output}, and of the input."""
    found, undo = {}, []
    for path in paths:

        def keep(_, __, out, path=path):
            out.register_hook(lambda r: found.update({path: r.flatten(1).sum(1)}))

        undo.append(model.get_submodule(path).register_forward_hook(keep))
    found["input"] = rules.of_input(model, batch).flatten(1).sum(1)
    for hook in undo:
        hook.remove()
    return found


@pytest.mark.parametrize("settings", [
    {}, {"conv": "epsilon", "first": "epsilon"}, {"conv": "flat", "first": "flat"},
    {"linear": "alpha_beta", "first": "alpha_beta"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("start", ["one", "logit"])
def test_relevance_is_conserved_layer_by_layer(settings, start):
    cases = [(residual().double(), ("pool", "head")), (
        resnet(32).double(),
        ("resnet.embedder", "resnet.encoder.stages.0", "resnet.encoder.stages.1", "resnet.pooler",
         "classifier"),
    )]  # fmt: skip
    for model, paths in cases:
        batch = images(pixels=16)
        batch["pixel_values"] = batch["pixel_values"].double()
        with torch.no_grad():
            logits = model(batch["pixel_values"]).logits
        begun = logits.gather(1, batch["labels"][:, None])[:, 0]
        expected = begun if start == "logit" else torch.ones_like(begun)
        rules = Relevance(start=start, epsilon=1e-12, **settings)
        for path, found in sums(model, batch, rules, *paths).items():
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4, msg=path)


def test_residual_sums_split_in_proportion():
    class Sum(Classifier):
        def forward(self, pixel_values):
            x = pixel_values
            return ImageClassifierOutput(logits=3 * x + 1 - (x * x.detach().sigmoid()) / 2)

    x = torch.tensor([[1.0, -2.0]])
    found = Relevance().of_input(Sum(), {"pixel_values": x, "labels": torch.tensor([1])})
    torch.testing.assert_close(found, torch.tensor([[0.0, 1.0]]))


def test_what_works_in_place_is_followed():
    class InPlace(nn.Module):
        def __init__(self, in_place):
            super().__init__()
            self.one, self.two = nn.Linear(4, 5), nn.Linear(5, 5)
            self.relu, self.in_place = nn.ReLU(inplace=in_place), in_place

        def forward(self, pixel_values):
            x = self.one(pixel_values)
            if self.in_place:
                self.relu(x)
                y = self.two(x)
                y.add_(x)
                torch.nn.functional.hardtanh(y, -1, 1, True)
            else:
                x = self.relu(x)
                y = nn.functional.hardtanh(self.two(x) + x)
            return ImageClassifierOutput(logits=y)

    torch.manual_seed(0)
    model = InPlace(True)
    plain = InPlace(False)
    plain.load_state_dict(model.state_dict())
    batch = {"pixel_values": torch.randn(3, 4), "labels": torch.tensor([0, 3, 2])}
    found, expected = (Relevance(first="epsilon").of_input(m, batch) for m in (model, plain))
    assert found.abs().sum() > 0
    torch.testing.assert_close(found, expected)


class Gated(Classifier):
    """Squeeze and excitation."""

    def __init__(self, gate):
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), gate)

    def forward(self, pixel_values):
        x = self.body(pixel_values)
        return ImageClassifierOutput(logits=(x * self.gate(x)).mean((2, 3)))


@pytest.mark.parametrize("gate", [nn.Sigmoid(), nn.Hardsigmoid(inplace=True)])
def test_gates_have_no_relevance(gate):
    torch.manual_seed(0)
    model, batch = Gated(gate), images()
    assert sums(model, batch, Relevance(), "body").keys() == {"body", "input"}
    kept = sums(model, batch, Relevance(), "body")["body"]
    torch.testing.assert_close(kept, torch.ones(4), rtol=1e-4, atol=0)
    with pytest.raises(PrunusError, match=r"does not reach gate\.1"):
        score(model, [batch], {"a": outputs_of(model, "gate.1")}, build("score", "lrp"))


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Classifier(nn.Softmax(1)), "softmax"),
        (lambda: Classifier(nn.Bilinear(3, 3, 2)), "bilinear"),
    ],
)
def test_what_cannot_be_followed_is_named(make, what):
    model = make()
    if what == "bilinear":
        model.body.forward = lambda x: model.body[0](x, x)
    batch = {"pixel_values": torch.randn(2, 3), "labels": torch.tensor([0, 1])}
    with pytest.raises(PrunusError, match=f"cannot follow '{what}'"):
        Relevance().of_input(model, batch)


def test_what_is_written_into_cannot_be_followed():
    class Written(Classifier):
        def forward(self, pixel_values):
            x = self.body(pixel_values)
            x[:, 0] = 0
            return ImageClassifierOutput(logits=x)

    batch = {"pixel_values": torch.randn(2, 3), "labels": torch.tensor([0, 1])}
    with pytest.raises(PrunusError, match="cannot follow 'setitem'"):
        Relevance().of_input(Written(nn.Linear(3, 2)), batch)


def test_bad_input_is_told():
    model, batch = residual(), images()
    with pytest.raises(PrunusError, match="needs labels"):
        Relevance().of_input(model, {"pixel_values": batch["pixel_values"]})
    with pytest.raises(PrunusError, match="alpha 2 - beta 0 must be 1"):
        build("score", {"name": "lrp", "alpha": 2})
    with pytest.raises(PrunusError, match="3 channels"):
        Relevance(low=(0, 1)).of_input(model, batch)
    bert = tiny("bert")
    with pytest.raises(PrunusError, match="explains image classifiers"):
        Relevance().begin(bert, batch_of(bert))


def test_the_class_that_is_explained():
    model, batch = residual(), images()
    with torch.no_grad():
        predicted = model(batch["pixel_values"]).logits.argmax(-1)
    found = Relevance(towards="predicted").of_input(model, {"pixel_values": batch["pixel_values"]})
    expected = Relevance().of_input(model, {**batch, "labels": predicted})
    torch.testing.assert_close(found, expected)


def test_the_criterion_adds_up_sizes_of_relevance():
    model = residual()
    paths = ("conv1", "conv2")
    sites = {path: outputs_of(model, path) for path in paths}
    data = [images(size, seed=size) for size in (3, 2)]
    expected = dict.fromkeys(paths, 0)
    for batch in data:
        held = {}
        undo = []
        for path in paths:

            def keep(_, __, out, path=path, held=held):
                out.register_hook(lambda r: held.update({path: r.abs().sum((0, 2, 3))}))

            undo.append(model.get_submodule(path).register_forward_hook(keep))
        Relevance().of_input(model, batch)
        for hook in undo:
            hook.remove()
        expected = {path: expected[path] + held[path].double() for path in paths}
    found = score(model, data, sites, build("score", "lrp"))
    for path in paths:
        torch.testing.assert_close(found[path], expected[path])
    normalised = score(model, data, sites, build("score", {"name": "lrp", "normalize": "l1"}))
    torch.testing.assert_close(normalised["conv1"], expected["conv1"] / expected["conv1"].sum())


def test_zennit_finds_the_same():
    rules = pytest.importorskip("zennit.rules")
    composites = pytest.importorskip("zennit.composites")
    canonizers = pytest.importorskip("zennit.canonizers")
    attribution = pytest.importorskip("zennit.attribution")
    torch.manual_seed(0)
    model = Classifier(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3),
    )  # fmt: skip
    batch = images(pixels=12)
    bias = {"zero_params": "bias"}
    layers = [
        (nn.Conv2d, rules.AlphaBeta(1.0, 0.0, stabilizer=1e-12, **bias)),
        (nn.Linear, rules.Epsilon(1e-6, **bias)),
        (nn.AvgPool2d, rules.Norm(1e-6)),
        (nn.modules.activation.ReLU, rules.Pass()),
    ]
    first = [(nn.Conv2d, rules.ZBox(-4.0, 4.0, stabilizer=1e-12, **bias))]
    composite = composites.SpecialFirstLayerMapComposite(
        layers, first, canonizers=[canonizers.SequentialMergeBatchNorm()]
    )
    one = nn.functional.one_hot(batch["labels"], 3).float()
    with attribution.Gradient(copy.deepcopy(model.body), composite) as attributor:
        _, expected = attributor(batch["pixel_values"], one)
    found = Relevance(low=-4.0, high=4.0).of_input(model, batch)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_reduced_precision_finds_about_the_same():
    model, batch = resnet(), images(pixels=16)
    exact = Relevance().of_input(model, batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough = Relevance().of_input(model, batch)
    together = torch.stack([exact.flatten(), rough.flatten().float()])
    assert torch.corrcoef(together)[0, 1] > 0.95


def test_only_classes_are_explained():
    with pytest.raises(PrunusError, match="explains classes"):
        Relevance().of_input(resnet().base_model, images())
