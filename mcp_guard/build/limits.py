"""Wiring of what limits calls."""

from functools import cache
from typing import TYPE_CHECKING

from mcp_guard.build.live import Live

if TYPE_CHECKING:
    from mcp_guard.limits.limits import Limits
    from mcp_guard.store.store import Store


def limits_of(live: Live, store: "Store") -> "Limits":
    """The counters of a store, and the limits of the home over all tools, as they are in force.

    The key is made when it is first needed.
    """
    from mcp_guard.limits.limits import Limits
    from mcp_guard.secrets.vault import load_or_make

    home = live.definition.home
    vault = cache(lambda: load_or_make(home.keys))
    return Limits(store, lambda: live.common_limits, lambda data: vault().digest(data))
