"""Weights that move away from zero stay: top-k of learned scores (Sanh et al., arXiv 2005.07683).

For blocks, rows and heads: Lagunas et al., arXiv 2109.04838.
"""

from prunus.score._learned import Learned


class Movement(Learned):
    """The budget takes the units of the highest scores, whenever masks are chosen."""
