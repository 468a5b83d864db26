"""What a request says about itself beside its parameters: a wish for a dry run, and the trace it is part of."""

from collections.abc import Mapping
from typing import Any, Final

from mcp.server.context import ServerRequestContext

from mcp_guard.model.call import DryRun
from mcp_guard.model.trace import Trace
from mcp_guard.model.trace import parse as parse_trace

Context = ServerRequestContext[Any, Any]

DRY_RUN_KEY: Final = "mcp-guard/dry_run"
TRACE_KEY: Final = "mcp-guard/trace"
TRACEPARENT: Final = "traceparent"
"""The key of `_meta` (SEP-414) and the HTTP header (W3C Trace Context) that carry a trace."""


def dry_run_of(params: Mapping[str, Any] | None) -> DryRun:
    """Read from the message itself: what a model would coerce or drop must not become an act."""
    meta = (params or {}).get("_meta")
    if not isinstance(meta, Mapping) or DRY_RUN_KEY not in meta:
        return "no"
    return "yes" if meta[DRY_RUN_KEY] is True else "malformed"


def trace_of(ctx: Context) -> Trace | None:
    """The caller's trace: what the message says, and only where it says nothing, what its HTTP request says.

    The message travels from the caller to here; headers may be an intermediary's. Neither is believed for anything.
    """
    meta = (ctx.params or {}).get("_meta")
    if isinstance(meta, Mapping) and TRACEPARENT in meta:
        return parse_trace(meta[TRACEPARENT])
    sent = [] if ctx.request is None else ctx.request.headers.getlist(TRACEPARENT)
    return parse_trace(sent[0]) if len(sent) == 1 else None
