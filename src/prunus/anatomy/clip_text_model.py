"""CLIP's text encoder by itself."""

from prunus.anatomy._clip import NoHeads, stack, text
from prunus.anatomy._family import Family

FAMILY = Family(
    stacks=(stack(),),
    channels=text(),
    empty=NoHeads,
    plain=(("intermediate_size", "neurons"),),
)
