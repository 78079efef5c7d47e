"""DeiT (Touvron et al., arXiv 2012.12877): ViT with a second token that learnt from a teacher."""

from dataclasses import replace

from prunus.anatomy.vit import FAMILY as VIT

STREAM = VIT.streams[0]

FAMILY = replace(
    VIT,
    channels=replace(
        STREAM,
        slices=(
            *STREAM.slices,
            (r"embeddings\.distillation_token", 2),
            (r"(cls|distillation)_classifier\.weight", 1),
        ),
    ),
)
