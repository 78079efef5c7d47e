"""What the report says of weights that are zero, as report.json holds it."""

from prunus.report._value import Count, Value


class Matrix(Value):
    """The weight of one linear layer, convolution or embedding.

    Attributes:
        name: the module's.
        kind: its class.
        shape: of the weight.
        nonzero: how many of its elements are not zero.
        of: how many it has.
        pruned: whether more of it is zero than chance explains.
        block: (rows, columns) of the blocks that its zeros lie in, if they lie in any; blocks of
            one element are single zeros.
        live: how many of these blocks are not all zeros.
    """

    name: str
    kind: str
    shape: tuple[Count, ...]
    nonzero: Count
    of: Count
    pruned: bool
    block: tuple[Count, Count] | None = None
    live: Count | None = None


class Zeros(Value):
    """The pruned model's weights that stayed in place as zeros.

    Attributes:
        layers: all linear layers and convolutions.
        embeddings: apart.
        nonzero: how many elements of the layers are not zero.
        of: how many they have.
        neural_compressor: the fraction removed, as Intel neural-compressor counts it: the zeros of
            pruned layers over the elements of all.
        work: the fraction of the pruned model's FLOPs that multiply by them.
    """

    layers: tuple[Matrix, ...]
    embeddings: tuple[Matrix, ...]
    nonzero: Count
    of: Count
    neural_compressor: float
    work: float | None = None
