"""Every kernel gives what a dense product gives, for any shape and any zeros."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import linear

from prunus.errors import PrunusError
from prunus.sparse import SparseLinear
from prunus.sparse._kernel import multiply
from prunus.sparse._runs import COST, Runs, density_of, length_of
from tests.sparse.weights import blocks
from tests.tiny import far

KERNELS = ("c", "numba")
LENGTHS = tuple(COST)


@pytest.fixture(params=(1, 2, 5))
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=60)
@given(
    outputs=st.integers(1, 90),
    inputs=st.integers(1, 90),
    tokens=st.integers(0, 150),
    length=st.sampled_from(LENGTHS),
    density=st.sampled_from((0.0, 0.1, 0.5, 1.0)),
    biased=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_it_is_the_dense_product(kernel, outputs, inputs, tokens, length, density, biased, seed):
    torch.manual_seed(seed)
    weight = blocks(outputs, inputs, density, length)
    bias = torch.randn(outputs) if biased else None
    x = torch.randn(tokens, inputs)
    found = multiply(x, Runs.of(weight, bias, length), kernel)
    wanted = linear(x.double(), weight.double(), None if bias is None else bias.double())
    assert found.shape == wanted.shape
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("tokens", [1, 3, 700])
def test_threads_share_the_work(kernel, length, tokens, threads):
    torch.manual_seed(threads)
    weight, bias = blocks(1111, 300, 0.4, length), torch.randn(1111)
    x = torch.randn(tokens, 300)
    wanted = linear(x, weight, bias)
    with torch.inference_mode():
        found = multiply(x, Runs.of(weight, bias, length), kernel)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", [(40,), (9, 40), (2, 9, 40), (2, 1, 9, 40), (0, 40)])
def test_any_layout_of_inputs(kernel, shape):
    weight, bias = blocks(70, 40, 0.3, 4), torch.randn(70)
    runs = Runs.of(weight, bias, 4)
    x = torch.randn(shape)
    apart = torch.randn(*shape, 2)[..., 0]
    assert not apart.is_contiguous() or not apart.numel()
    turned = x.transpose(0, -1).contiguous().transpose(0, -1)
    for one in (x, apart, turned):
        torch.testing.assert_close(
            multiply(one, runs, kernel), linear(one, weight, bias), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("kernel", KERNELS)
def test_infinities_of_padding_do_not_leak(kernel):
    """What lies behind the last token or output takes no part."""
    weight = blocks(37, 33, 0.5, 4)
    memory = torch.full((64, 33), float("nan"))
    memory[:19] = torch.randn(19, 33)
    assert multiply(memory[:19], Runs.of(weight, None, 4), kernel).isfinite().all()


def test_runs_hold_what_is_not_zero():
    weight = torch.zeros(6, 3)
    weight[1, 2], weight[5, 0] = 7.0, 8.0
    runs = Runs.of(weight, torch.arange(6.0), 4)
    assert runs.starts.tolist() == [0, 1, 2]
    assert runs.columns.tolist() == [2, 0]
    assert runs.values.tolist() == [[0, 7, 0, 0], [0, 8, 0, 0]]
    assert runs.bias.tolist() == [0, 1, 2, 3, 4, 5, 0, 0]


@pytest.mark.parametrize(
    ("rows", "columns", "density", "length"),
    [(4, 1, 0.1, 4), (16, 1, 0.1, 16), (32, 1, 0.1, 32), (32, 32, 0.1, 32), (8, 8, 0.1, 4),
     (1, 1, 0.1, 1), (1, 1, 0.9, 32), (1, 1, 0.0, 32)],
)  # fmt: skip
def test_the_length_of_runs_is_found(rows, columns, density, length):
    torch.manual_seed(0)
    weight = blocks(640, 640, density, rows, columns)
    assert length_of(weight) == length
    if length < 32 or rows == 32:
        assert density_of(weight, length) == pytest.approx(float((weight != 0).float().mean()))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_dtypes_are_refused(kernel, dtype):
    layer = SparseLinear(nn.Linear(8, 8), kernel)
    with pytest.raises(PrunusError, match="float32 on the CPU"):
        layer(torch.zeros(2, 8, dtype=dtype))


def test_a_wrong_width_is_refused():
    layer = SparseLinear(nn.Linear(8, 8))
    with pytest.raises(PrunusError, match="8 inputs"):
        layer(torch.zeros(4, 16))


@pytest.mark.parametrize("kernel", KERNELS)
def test_it_is_as_near_as_dense_at_bert_s_size(kernel):
    torch.manual_seed(0)
    dense = nn.Linear(768, 3072)
    dense.weight.data = blocks(3072, 768, 0.1, 32)
    x = torch.randn(128, 768)
    assert far(SparseLinear(dense, kernel)(x), dense(x).detach()) < 1e-6
