"""Settings of the way out: when an origin is left alone."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from mcp_guard.kit import units
from mcp_guard.manifest.fields import Duration, Strict

_LONGEST_REST = 3600


def _rest(text: str) -> str:
    if not 0 < units.seconds(text) <= _LONGEST_REST:
        expected = "a duration above zero and of at most 1h"
        raise PydanticCustomError("expected", "expected {expected}", {"expected": expected})
    return text


class Breaker(Strict):
    """When an origin that keeps failing is left alone by the `http` tools of this process."""

    failures: Annotated[int, Field(ge=0, le=10_000)] = Field(
        default=10, description="After so many timeouts, broken connections and 5xx in a row; 0 is never."
    )
    open: Annotated[Duration, AfterValidator(_rest)] = Field(
        default="30s", description="For that long, and up to half of it more; then one call finds out."
    )


class Egress(Strict):
    """The way out of `http` tools."""

    breaker: Breaker = Breaker()
