"""Connections to PostgreSQL: one pool for each database and log-in, made when the first tool needs it.

The host is the operator's word, from a manifest: nothing an agent says has a part in where a connection goes. So
private addresses need no opting in here. Nothing is taken from the environment (`PGPASSWORD`, `~/.pgpass`, …).
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcp_guard.connect.failure import Failed
from mcp_guard.kit import references, strict_json
from mcp_guard.kit.references import Reference

if TYPE_CHECKING:
    from asyncpg import Connection, Pool

    from mcp_guard.model.tool import PostgresSpec

MAX_CONNECTIONS = 8
"""For one database and log-in."""

CONNECT_SECONDS = 10.0
_IDLE_SECONDS = 300.0
_CLOSE_SECONDS = 2.0
_CLEAR_SECONDS = 5.0
_Key = tuple[str, int, str, str, str | None, bool, str | None]

# What a statement means must not depend on how a role or a database is set up.
_SETTINGS = {
    "application_name": "mcp-guard",
    "client_encoding": "UTF8",
    "datestyle": "ISO",
    "intervalstyle": "iso_8601",
    "standard_conforming_strings": "on",
    "timezone": "UTC",
}


@dataclass(slots=True)
class Pools:
    """The pools of a home. `obtain` resolves passwords, at each connection anew."""

    obtain: Callable[[Reference], Awaitable[str]]
    _pools: "dict[_Key, Pool]" = field(default_factory=dict)
    _clearing: set[asyncio.Task[None]] = field(default_factory=set)

    async def of(self, spec: "PostgresSpec") -> "Pool":
        """The pool for a tool. Raises `Failed` where the authority's certificates cannot be used."""
        key = (spec.host, spec.port, spec.user, spec.database, spec.password, spec.tls, spec.ca)
        found = self._pools.get(key)
        if found is None:
            found = self._pools[key] = self._make(spec)
        return await found  # opens it at the first time

    def clear_up(self, pool: "Pool", connection: "Connection", *, lost: bool) -> None:
        """Take back a connection whose transaction did not end well, without keeping anybody waiting.

        The server is told to cancel what still runs there, and to roll back; a `lost` connection is cut off.
        """
        task = asyncio.get_running_loop().create_task(_cleared(pool, connection, lost))
        self._clearing.add(task)
        task.add_done_callback(self._clearing.discard)

    async def aclose(self) -> None:
        """Close every connection; those that still work after two seconds are cut off."""
        if self._clearing:
            await asyncio.wait(set(self._clearing))
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    def _make(self, spec: "PostgresSpec") -> "Pool":
        import asyncpg

        return asyncpg.create_pool(
            host=spec.host,
            port=spec.port,
            user=spec.user,
            database=spec.database,
            password=self._password(spec.password),
            ssl=_context(spec.ca) if spec.tls else False,
            direct_tls=False,
            target_session_attrs="any",
            timeout=CONNECT_SECONDS,
            min_size=0,
            max_size=MAX_CONNECTIONS,
            max_inactive_connection_lifetime=_IDLE_SECONDS,
            server_settings=_SETTINGS,
            init=_prepare,
        )

    def _password(self, text: str | None) -> Callable[[], Awaitable[str]]:
        async def password() -> str:
            (part,) = references.parse(text) if text is not None else ("",)
            return await self.obtain(part) if isinstance(part, Reference) else part

        return password


async def _cleared(pool: "Pool", connection: "Connection", lost: bool) -> None:
    with suppress(Exception):  # a connection that broke has left the pool by itself
        try:
            async with asyncio.timeout(0 if lost else _CLEAR_SECONDS):
                await connection.execute("ROLLBACK")  # waits for what is being cancelled
        except Exception:  # noqa: BLE001 - whatever it is, the connection is not used again
            connection.terminate()
        finally:
            await pool.release(connection)


def _context(ca: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)  # certificate and host name are checked
    except (OSError, ssl.SSLError):
        raise Failed("upstream_unavailable", "the authority's certificates cannot be used", retry="never") from None


async def _prepare(connection: "Connection") -> None:
    """JSON is read strictly, and an interval is text: as a number of seconds it would not be what it was."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=str, decoder=_json)
    await connection.set_type_codec("interval", schema="pg_catalog", encoder=str, decoder=str)


def _json(text: str) -> object:
    return strict_json.loads(text.encode())
