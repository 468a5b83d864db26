"""Arguments of a function that are dataclasses: built from JSON as the function's annotations say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_type_hints

from mcp_guard.kit.pointer import join
from mcp_guard.model.errors import Refused

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class Builders:
    """What makes the arguments of one function."""

    adapters: "Mapping[str, TypeAdapter[object]]"

    @classmethod
    def of(cls, function: Callable[..., object], names: tuple[str, ...]) -> "Builders":
        """Builders for these parameters. Raises what resolving annotations raises."""
        if not names:
            return cls({})
        from pydantic import TypeAdapter

        hints = get_type_hints(function)
        return cls({name: TypeAdapter(hints[name]) for name in names})

    def build(self, arguments: dict[str, object]) -> dict[str, object]:
        """The arguments as the function takes them. Raises `Refused` (`args_invalid`)."""
        for name in self.adapters.keys() & arguments.keys():
            try:
                arguments[name] = self.adapters[name].validate_python(arguments[name])
            except Exception:  # noqa: BLE001 - a class of the home decides what it is made of, and may raise anything
                raise Refused("args_invalid", f"argument {join([name])} is not what the function takes") from None
        return arguments
