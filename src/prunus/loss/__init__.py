"""What training minimises: one file a term, a scalar of what student and teacher give."""

from prunus.loss._objective import Objective
from prunus.loss._term import Term

__all__ = ["Objective", "Term"]
