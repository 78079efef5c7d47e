"""CLIP's text encoder by itself."""

from prunus.anatomy._clip import stack, text
from prunus.anatomy._family import Family
from prunus.anatomy._out_proj import NoHeads

FAMILY = Family(
    stacks=(stack(),),
    channels=text(),
    empty=NoHeads,
    plain=(("intermediate_size", "neurons"),),
)
