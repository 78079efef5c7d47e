"""CLIP (Radford et al., arXiv 2103.00020): an encoder of images and one of texts, a stream each."""

from prunus.anatomy._clip import stack, text, vision
from prunus.anatomy._family import Family
from prunus.anatomy._out_proj import NoHeads

FAMILY = Family(
    stacks=(stack("vision_model.", "vision_config."), stack("text_model.", "text_config.")),
    channels=(vision("vision_model."), text("text_model.")),
    empty=NoHeads,
    plain=(
        ("text_config.intermediate_size", "neurons", "text_model."),
        ("vision_config.intermediate_size", "neurons", "vision_model."),
    ),
)
