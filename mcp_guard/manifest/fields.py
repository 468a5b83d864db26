"""Field types of the files people write: strict, each with its expectation in words."""

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from mcp_guard.kit.units import DURATION_PATTERN, SIZE_PATTERN, size


class Strict(BaseModel):
    """No coercion, no unknown keys. `unsupported` are keys of the contract this version does not enforce."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=False, defer_build=True)
    unsupported: ClassVar[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Matching:
    """A string of one form. `expected` completes the sentence «expected …»."""

    pattern: str
    expected: str

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        whole = re.compile(self.pattern)

        def check(value: str) -> str:
            if whole.fullmatch(value) is None:
                raise PydanticCustomError("expected", "expected {expected}", {"expected": self.expected})
            return value

        return core_schema.no_info_after_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "pattern": self.pattern}


Duration = Annotated[str, Matching(DURATION_PATTERN, "a duration such as 200ms, 10s or 5m")]
Size = Annotated[str, Matching(SIZE_PATTERN, "a size such as 64KiB or 1MiB")]


def between(least: str, most: str) -> AfterValidator:
    """Holds a size to bounds, which are sizes as well."""

    def check(text: str) -> str:
        if not size(least) <= size(text) <= size(most):
            raise PydanticCustomError("expected", "expected {expected}", {"expected": f"a size from {least} to {most}"})
        return text

    return AfterValidator(check)


AnswerSize = Annotated[Size, between("1KiB", "1MiB")]

# Tags and toolsets become Casbin g2 rows, scopes are RFC 6749 scope tokens without the characters a policy file needs.
Tag = Annotated[
    str, Matching(r"^(risk|toolset|tag):[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$", "a tag such as risk:high or tag:billing")
]
Label = Annotated[str, Matching(r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$", "a plain name: letters, digits, dot, dash")]
Word = Annotated[
    str, Matching(r"^[a-z][a-z0-9_-]{0,31}$", "a lower-case word such as untrusted or pii, at most 32 characters")
]
Scope = Annotated[str, Matching(r"^[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,126}$", "a scope such as orders:read")]
ToolName = Annotated[
    str, Matching(r"^[a-zA-Z][a-zA-Z0-9_-]{0,63}$", "a name of letters, digits, _ and -, at most 64, a letter first")
]
