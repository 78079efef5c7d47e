"""Families whose form does not allow pruning, and why."""

REFUSED = {
    "albert": (
        "ALBERT runs the same layer again and again, so a unit cut from it is gone everywhere, and"
        " what one pass through it should be mended to differs from the next; distil it into a"
        " BERT, whose layers are its own, and prune that"
    ),
    "swin": (
        "Swin attends within shifted windows, so what its heads write is not in the order of the"
        " stream that it is added to, and each of its stages has a stream of another width; prune a"
        " ViT or DeiT"
    ),
}
