"""What a traced program computes or holds but does not answer with: it goes."""

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node

WEIGHTS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
CHECK = torch.ops.aten._assert_tensor_metadata.default
"""Of dtypes, which are constants of a trace."""


def drop_unread(program: ExportedProgram) -> None:
    """Take work and weights whose outcome nothing reads out of a program, in place.

    An encoder's graph has a decoder, run for the keys and values alone; a layer without heads has
    empty weights, which not every format can say.
    """
    signature, module = program.graph_signature, program.graph_module
    module.graph.eliminate_dead_code(_has_effect)
    idle = {node.name: node for node in module.graph.nodes if not node.users}
    for spec in [*signature.input_specs]:
        if spec.kind in WEIGHTS and spec.arg.name in idle:
            signature.input_specs.remove(spec)
            module.graph.erase_node(idle[spec.arg.name])
            for held in (program.state_dict, program.constants):
                held.pop(str(spec.target), None)
    module.recompile()


def _has_effect(node: Node) -> bool:
    return node.is_impure(impure_random=False) and node.target != CHECK
