"""One log line an event, as text for people or JSON for machines, redacted before it is rendered."""

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

from mcp_guard.kit.raised import kind_and_place
from mcp_guard.telemetry.context import about_call

Redact = Callable[[str], str]


def configure(*, verbose: int, as_json: bool, redact: Redact) -> None:
    """Send the records of every `mcp_guard` logger to stderr, and what libraries warn of in the same form: they log
    exceptions of ours as well.

    `verbose` below 0 shows errors only, 0 warnings and events, above 0 debugging. `redact` sees every string of a
    record, so that no secret reaches a log line.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(as_json, redact))
    root = logging.getLogger("mcp_guard")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(logging.DEBUG if verbose > 0 else logging.ERROR if verbose < 0 else logging.INFO)
    if (others := logging.lastResort) is not None:  # else their messages and tracebacks would come out as they are
        others.setFormatter(handler.formatter)
        others.setLevel(logging.ERROR if verbose < 0 else logging.WARNING)


class _Formatter(logging.Formatter):
    """Made ready at the first record: most commands log nothing, and should not wait for what they do not use."""

    def __init__(self, as_json: bool, redact: Redact) -> None:
        super().__init__()
        self._as_json = as_json
        self._redact = redact
        self._ready: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        if self._ready is None:
            self._ready = _formatter(self._as_json, self._redact)
        return self._ready.format(record)


def _add_call(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return event if not (call := about_call()) else {**call, **event}


def _tell_error(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Of an exception its kind and place: a traceback ends with a text that may quote a value."""
    info = event.pop("exc_info", None)
    error = info[1] if isinstance(info, tuple) else info
    return event if not isinstance(error, BaseException) else {**event, "error": kind_and_place(error)}


def _formatter(as_json: bool, redact: Redact) -> logging.Formatter:
    import structlog

    def redacting(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {key: redact(value) if isinstance(value, str) else value for key, value in event.items()}

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        _add_call,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _tell_error,
        redacting,
    ]
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
