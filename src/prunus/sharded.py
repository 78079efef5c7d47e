"""Parameters of which every process holds a part, as FSDP2 (``fully_shard``) leaves them.

Everything here leaves tensors of another kind as they are.
"""

from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


def sharded(tensor: Tensor) -> bool:
    """Whether this process holds a part of it only."""
    return isinstance(tensor, DTensor)


def whole(tensor: Tensor) -> Tensor:
    """All of it, gathered; every process must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def held(tensor: Tensor) -> Tensor:
    """What this process holds of it; changes are the tensor's."""
    own = tensor.detach()
    return own.to_local() if isinstance(own, DTensor) else own


def on_part(tensor: Tensor, of: Tensor) -> Tensor:
    """What lies on a parameter's part, of a tensor of its shape that every process has alike."""
    if not isinstance(of, DTensor):
        return tensor
    laid = distribute_tensor(tensor, of.device_mesh, of.placements, src_data_rank=None)
    return laid.to_local()
