"""Wiring of results that are kept."""

from functools import cache, lru_cache
from typing import TYPE_CHECKING

from mcp_guard.build.live import Live
from mcp_guard.kit.clock import SystemClock
from mcp_guard.kit.units import seconds, size

if TYPE_CHECKING:
    from mcp_guard.config.results import Results
    from mcp_guard.keeping import Keeping, Rules
    from mcp_guard.results.store import ResultStore
    from mcp_guard.store.store import Store


def results_of(live: Live, store: "Store") -> "ResultStore":
    """The kept results of a store. The key is made when the first is kept."""
    from mcp_guard.results.store import ResultStore
    from mcp_guard.secrets.vault import load_or_make

    home = live.definition.home
    return ResultStore(store, cache(lambda: load_or_make(home.keys)))


def keeping_of(live: Live, store: "Store") -> "Keeping":
    from mcp_guard.keeping import Keeping

    return Keeping(results_of(live, store), lambda: rules_of(live.definition.home.settings.results), SystemClock())


@lru_cache(maxsize=4)
def rules_of(said: "Results") -> "Rules":
    """What a home says of results, in numbers."""
    from mcp_guard.keeping import Rules
    from mcp_guard.results.store import Bounds

    kept = said.kept
    return Rules(
        answer=size(said.largest),
        beginning=size(said.beginning),
        keep=said.keep,
        largest=size(kept.largest),
        seconds=seconds(kept.expires),
        bounds=Bounds(kept.count, size(kept.size), size(kept.total)),
    )
