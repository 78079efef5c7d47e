"""What removed units gave on average, folded into the bias (FLAP, arXiv 2312.11983)."""

from prunus.errors import PrunusError
from prunus.recover import Reader, Repair


class Bias(Repair):
    """Give the reader the bias under which the residual stream has the dense model's mean.

    b' = mean(y) - W_stays mean(x_stays), weights as they are. Where the sublayers below are whole
    this is FLAP's baseline, b' = b + W_gone mean(x_gone); above a cut it also makes up for what
    went wrong on average there. Only for readers that have a bias: others would get a parameter
    that their configuration does not know.
    """

    def mend(self, reader: Reader) -> None:
        """Write the bias.

        Raises:
            PrunusError: the reader has none.
        """
        weight, bias = reader.weight.double(), reader.bias
        if bias is None:
            raise PrunusError(
                f"recover: bias: {reader.site.reader} has no bias to fold a constant into; use"
                " recover: least_squares, which mends weights alone"
            )
        stays, seen = reader.stays.to(weight.device), reader.moments
        bias.copy_((seen.y - seen.x[stays] @ weight[stays]) / seen.tokens)
