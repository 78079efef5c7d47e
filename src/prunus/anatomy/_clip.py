"""What CLIP's two encoders (Radford et al., arXiv 2103.00020) have in common: a tower of layers."""

from prunus.anatomy._family import Channels, FeedForward, Stack
from prunus.anatomy._out_proj import attention


def stack(tower: str = "", config: str = "") -> Stack:
    """The layers of a tower, which may lie below a module and be told in an inner configuration."""
    return Stack(
        layers=f"{tower}encoder.layers",
        count=f"{config}num_hidden_layers",
        attention=(attention("layer_norm1"),),
        feed_forward=FeedForward(up=("mlp.fc1",), down="mlp.fc2", residual="layer_norm2"),
    )


def vision(tower: str = "") -> Channels:
    """The stream of the vision tower; the classifier reads it with no norm between."""
    return _channels(
        tower,
        (
            (tower + r"embeddings\.class_embedding", 0),
            (tower + r"embeddings\.patch_embedding\.weight", 0),
            (r"(visual_projection|classifier)\.weight", 1),
        ),
        r"pre_layrnorm|post_layernorm",
        entries="classifier",
    )


def text(tower: str = "") -> Channels:
    """The stream of the text tower."""
    slices = (
        (tower + r"embeddings\.token_embedding\.weight", 1),
        (r"text_projection\.weight", 1),
    )
    return _channels(tower, slices, r"final_layer_norm")


def _channels(
    tower: str, slices: tuple[tuple[str, int], ...], norms: str, entries: str = ""
) -> Channels:
    layer = rf"{tower}encoder\.layers\.\d+\."
    crossed = rf"{layer}layer_norm[12]|{tower}({norms})"
    return Channels(
        slices=(
            *slices,
            (tower + r"embeddings\.position_embedding\.weight", 1),
            (layer + r"(self_attn\.[qkv]_proj|mlp\.fc1)\.weight", 1),
            (layer + r"(self_attn\.out_proj|mlp\.fc2)\..*", 0),
            (rf"({crossed})\..*", 0),
        ),
        norms=crossed,
        entries=entries,
        name=tower.rstrip(".") or "stream",
    )
