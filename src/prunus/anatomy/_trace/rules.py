"""The rule for every operation: how labels pass through it.

Every rule gets the tracer, the operation's arguments by name and what it returned, and gives the
factors of the (first) tensor returned. Where labelled entries are lost sight of on purpose (a mean
over channels) they are fixed; an operation without a rule is an error where it meets labels.
"""

from typing import Any

import torch

from prunus.anatomy._trace import products, shapes, statistics
from prunus.anatomy._trace.convolutions import convolution
from prunus.anatomy._trace.operands import Rule, made, pointwise, same


def rule_of(operation: Any) -> Rule | None:
    """The rule for an operation of ATen, None where there is none."""
    name = operation.overloadpacket.__name__.removesuffix("_")
    if name in _RULES:
        return _RULES[name]
    return pointwise if torch.Tag.pointwise in operation.tags else None


_TABLE: dict[Rule, str] = {
    same: "detach alias clone contiguous lift_fresh _to_copy dropout native_dropout"
    " zeros_like fill zero ones_like full_like empty_like rand_like randn_like",
    pointwise: "copy where masked_fill hardswish _prelu_kernel log_sigmoid_forward bernoulli"
    " rsub floor_divide",
    shapes.index: "index",
    shapes.view: "view _unsafe_view reshape _reshape_alias",
    shapes.permute: "permute",
    shapes.strided: "as_strided",
    shapes.transpose: "t transpose",
    shapes.select: "select",
    shapes.unbind: "unbind",
    shapes.slice: "slice",
    shapes.split: "split split_with_sizes chunk",
    shapes.cat: "cat",
    shapes.stack: "stack",
    convolution: "convolution _convolution",
    products.attention: "_scaled_dot_product_flash_attention_for_cpu"
    " _scaled_dot_product_attention_math _scaled_dot_product_flash_attention"
    " _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention"
    " _scaled_dot_product_fused_attention_overrideable",
    shapes.pad: "constant_pad_nd",
    statistics.reduce: "mean sum amax amin max min var var_mean std any all prod argmax"
    " argmin norm linalg_vector_norm",
    statistics.mixed: "_softmax _log_softmax softmax log_softmax cumsum roll flip sort",
    statistics.resized: "max_pool1d max_pool2d max_pool3d max_pool2d_with_indices"
    " max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d"
    " _adaptive_avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d"
    " adaptive_max_pool3d upsample_nearest1d upsample_nearest2d upsample_bilinear2d"
    " upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa reflection_pad1d"
    " reflection_pad2d replication_pad1d replication_pad2d mkldnn_max_pool2d",
    shapes.unsqueeze: "unsqueeze",
    shapes.squeeze: "squeeze",
    shapes.expand: "expand",
    made: "new_zeros new_ones new_empty new_full",
    products.mm: "mm addmm",
    products.bmm: "bmm baddbmm",
    products.linear: "linear mkldnn_linear",
    products.embedding: "embedding",
    statistics.batch_norm: "native_batch_norm _native_batch_norm_legit"
    " _native_batch_norm_legit_no_training _batch_norm_no_update cudnn_batch_norm batch_norm",
    statistics.layer_norm: "native_layer_norm",
    statistics.group_norm: "native_group_norm",
}
_RULES: dict[str, Rule] = {name: rule for rule, names in _TABLE.items() for name in names.split()}
