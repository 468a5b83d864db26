"""Settings of results: how much an answer carries, and what becomes of the rest."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from mcp_guard.kit import units
from mcp_guard.manifest.fields import AnswerSize, Duration, Size, Strict, between

_LONGEST = 7 * 24 * 3600


def _while(text: str) -> str:
    if not 1 <= units.seconds(text) <= _LONGEST:
        raise PydanticCustomError("expected", "expected {expected}", {"expected": "a duration from 1s to 7d"})
    return text


class Kept(Strict):
    """Results that are larger than an answer, for whoever called. All bounds hold at once."""

    largest: Annotated[Size, between("1KiB", "8MiB")] = Field(
        default="8MiB", description="A result that is larger is refused."
    )
    expires: Annotated[Duration, AfterValidator(_while)] = Field(default="1h", description="How long one can be read.")
    count: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=20, description="How many one person has; the oldest goes for a new one."
    )
    size: Annotated[Size, between("1KiB", "1GiB")] = Field(
        default="32MiB", description="How large they are together, of one person."
    )
    total: Annotated[Size, between("1KiB", "64GiB")] = Field(
        default="256MiB", description="How large all of them are together; where there is no room, results are refused."
    )


class Results(Strict):
    """What is answered of a result."""

    largest: AnswerSize = Field(default="1MiB", description="Bytes of JSON that one answer carries.")
    beginning: Annotated[Size, between("256B", "64KiB")] = Field(
        default="16KiB", description="How much is shown of a result that is larger."
    )
    keep: bool = Field(default=True, description="Whether that is kept; else it is refused.")
    kept: Kept = Kept()
