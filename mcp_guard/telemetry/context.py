"""Which call this is: known to every log line written on its behalf."""

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

_CALL: ContextVar[Mapping[str, str]] = ContextVar("mcp_guard.call", default=MappingProxyType({}))


def enter_call(call: str, trace: str | None) -> None:
    """Say that what runs in this context, a task's usually, belongs to a call and perhaps to a trace."""
    _CALL.set({"call": call} if trace is None else {"call": call, "trace": trace})


def about_call() -> Mapping[str, str]:
    """`call` and `trace` of the call this runs for; empty outside of one."""
    return _CALL.get()
