"""What the parts of report.json have in common."""

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity: what is not a number becomes null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Some = Annotated[int, Field(gt=0, lt=2**63)]
Positive = Annotated[float, Field(gt=0)]


class Value(BaseModel):
    """A part of a report: frozen, with the keys that it names and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
