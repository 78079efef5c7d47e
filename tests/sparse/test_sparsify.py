"""Whole models: what is replaced, what it answers, and that the rest of torch still works."""

import copy

import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification
from transformers.pytorch_utils import Conv1D

import prunus
from prunus.errors import PrunusError
from prunus.sparse import SparseConv1D, SparseLinear, sparsify
from tests.sparse.weights import blocks, sparse_encoder
from tests.tiny import FAMILIES, answers, batch_of, far, tiny


@pytest.mark.parametrize("kernel", ["c", "numba"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_answers_as_before(family, kernel):
    model = sparse_encoder(tiny(family))
    batch = batch_of(model)
    before = answers(model, batch)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = sparsify(model, density=0.5, kernel=kernel)
    assert any(isinstance(module, SparseLinear | SparseConv1D) for module in model.modules())
    for name, tensor in answers(model, batch).items():
        assert far(tensor, before[name]) < 1e-5, name
    after = model.state_dict()
    assert list(after) == list(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in after.items())
    for layer in found:
        sparse = isinstance(model.get_submodule(layer.name), SparseLinear | SparseConv1D)
        assert sparse == (not layer.left)


def test_gpt2_generates_the_same():
    model = sparse_encoder(tiny("gpt2"), 0.3)
    ids = torch.tensor([[3, 4, 5], [6, 7, 8]])
    settings = {"max_new_tokens": 6, "do_sample": False, "attention_mask": torch.ones_like(ids)}
    before = model.generate(ids, **settings)
    sparsify(model, density=0.6)
    assert type(model.transformer.h[0].mlp.c_fc) is SparseConv1D
    assert torch.equal(model.generate(ids, **settings), before)


def test_a_saved_model_opens_dense(tmp_path):
    model = sparse_encoder(tiny("bert"))
    batch = batch_of(model)
    before = answers(model, batch)["logits"]
    sparsify(model, density=0.5)
    model.save_pretrained(tmp_path / "hub")
    prunus.save(model, tmp_path / "ours")
    stock = AutoModelForSequenceClassification.from_pretrained(tmp_path / "hub")
    for again in (stock, prunus.load(tmp_path / "ours")):
        assert not any(isinstance(module, SparseLinear) for module in again.modules())
        assert torch.equal(answers(again, batch)["logits"], before)


def test_loaded_weights_count():
    model, other = (sparse_encoder(tiny("bert", seed=seed)) for seed in (0, 1))
    batch = batch_of(model)
    sparsify(model, density=0.5)
    model.load_state_dict(other.state_dict())
    assert far(answers(model, batch)["logits"], answers(other, batch)["logits"]) < 1e-5


def test_weights_written_count_after_pack():
    layer = SparseLinear(nn.Linear(8, 8))
    layer.weight.data.zero_()
    layer.bias.data.fill_(3.0)
    layer.pack()
    assert torch.equal(layer(torch.randn(2, 8)), torch.full((2, 8), 3.0))


def test_a_copy_is_whole():
    model = sparse_encoder(tiny("bert"))
    batch = batch_of(model)
    sparsify(model, density=0.5)
    other = copy.deepcopy(model)
    assert torch.equal(answers(other, batch)["logits"], answers(model, batch)["logits"])


def test_there_and_back_to_another_dtype():
    layer = SparseLinear(nn.Linear(8, 8))
    x = torch.randn(2, 8)
    layer.to(torch.bfloat16)
    with pytest.raises(PrunusError, match="float32 on the CPU"):
        layer(x.bfloat16())
    layer.to(torch.float32)
    assert far(layer(x), nn.functional.linear(x, layer.weight, layer.bias)) < 1e-6


def test_backward_is_refused():
    model = sparse_encoder(tiny("bert"))
    batch = batch_of(model)
    sparsify(model, density=0.5)
    loss = model(**batch).loss
    with pytest.raises(PrunusError, match="have no gradient"):
        loss.backward()


def test_torch_compile_and_export():
    dense = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16)).requires_grad_(False)
    for layer in (dense[0], dense[2]):
        layer.weight.copy_(blocks(*layer.weight.shape, 0.2, 4))
    sparse = copy.deepcopy(dense)
    sparsify(sparse, density=0.5)
    x = torch.randn(5, 16)
    with torch.inference_mode():
        compiled = torch.compile(sparse, backend="aot_eager", fullgraph=True)
        assert far(compiled(x), dense(x)) < 1e-6
        program = torch.export.export(sparse, (x,), dynamic_shapes=[{0: torch.export.Dim.AUTO}])
        y = torch.randn(9, 16)
        assert far(program.module()(y), dense(y)) < 1e-6


def test_the_operation_is_sound():
    layer = SparseLinear(nn.Linear(8, 12))
    runs = layer._runs
    held = (runs.starts, runs.columns, runs.values, runs.bias, 12, layer.kernel)
    x = torch.randn(3, 8)
    torch.library.opcheck(
        torch.ops.prunus.sparse_linear.default, (x, *held),
        test_utils=("test_schema", "test_faketensor"),
    )  # fmt: skip


def test_a_layer_that_is_as_fast_dense_stays():
    torch.manual_seed(0)
    model = nn.ModuleDict({"sparse": nn.Linear(512, 1024), "dense": nn.Linear(512, 1024)})
    model["sparse"].weight.data = blocks(1024, 512, 0.02, 32)
    sparse, dense = sparsify(model)
    assert (sparse.left, sparse.length) == ("", 32)
    assert sparse.speedup is not None
    assert sparse.speedup > 3
    assert dense.left == "its density is above 0.9"
    assert type(model["sparse"]) is SparseLinear
    assert type(model["dense"]) is nn.Linear
    assert model["dense"].weight.requires_grad
    assert not model["sparse"].weight.requires_grad


def test_one_layer_in_two_places():
    layer = nn.Linear(16, 16)
    layer.weight.data = blocks(16, 16, 0.1, 4)
    model = nn.Sequential(layer, nn.Sequential(layer))
    sparsify(model, density=0.5)
    assert model[0] is model[1][0]
    assert isinstance(model[0], SparseLinear)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda layer: layer.register_forward_hook(lambda *_: None), "hooks"),
        (lambda layer: layer.to(torch.bfloat16), "float32"),
        (lambda layer: layer.to("meta"), "meta"),
        (lambda layer: layer.weight.data.fill_(1), "density is above"),
    ],
)
def test_nothing_replaced_says_why(change, why):
    layer = nn.Linear(16, 16)
    layer.weight.data = blocks(16, 16, 0.1, 4)
    change(layer)
    with pytest.raises(PrunusError, match=f"(?s)Sequential has no.*{why}.*2:4"):
        sparsify(nn.Sequential(layer))


def test_a_model_without_linear_layers_is_told():
    with pytest.raises(PrunusError, match="it has none at all"):
        sparsify(nn.Sequential(nn.Conv2d(3, 3, 3)))


def test_a_layer_alone_has_no_place_where_another_could_stand():
    with pytest.raises(PrunusError, match=r"this is a Linear itself: use SparseLinear\(layer\)"):
        sparsify(nn.Linear(4, 4), density=1)


@pytest.mark.parametrize("settings", [{"tokens": 0}, {"density": 1.5}, {"density": -0.1}])
def test_numbers_out_of_range(settings):
    with pytest.raises(PrunusError, match="0 <= density <= 1"):
        sparsify(nn.Sequential(nn.Linear(4, 4)), **settings)


def test_conv1d_s_weight_lies_as_before():
    dense = Conv1D(24, 16)
    dense.weight.data = blocks(24, 16, 0.3, 4).T.contiguous()
    x = torch.randn(2, 3, 16)
    wanted = dense(x).detach()
    sparse = SparseConv1D(dense)
    assert sparse.weight.shape == (16, 24)
    assert far(sparse(x), wanted) < 1e-6
