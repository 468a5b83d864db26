"""Updates of `audit://` and `task://` resources for clients of both eras; the SDK's part in it.

Legacy (`resources/subscribe`) has one stream a connection, modern (`subscriptions/listen`) one a request. Either way
each URI waits to be sent at most once, so a client that does not read costs nothing and holds up nobody.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY, ResourceUpdated, event_to_notification

from mcp_guard.admin.feed import Who
from mcp_guard.model.errors import GuardError
from mcp_guard.model.principal import Principal
from mcp_guard.server.failures import rpc_error
from mcp_guard.server.resources import UnknownResource, watched, watched_task
from mcp_guard.server.surface import Surface
from mcp_guard.server.tasks import TASK_IDS, TasksExtension

MAX_URIS: Final = 32
"""Subscriptions of one connection, or of one stream."""

Context = ServerRequestContext[Any, Any]
_STATE: Final = "mcp_guard.subscriptions"


class _Outlet:
    """What waits to be sent to one client: URIs, each at most once."""

    def __init__(self) -> None:
        self._waiting: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._over = False

    def changed(self, uri: str) -> None:
        self._waiting[uri] = None
        self._wake.set()

    def end(self) -> None:
        self._over = True
        self._wake.set()

    async def updates(self) -> AsyncIterator[str]:
        """URIs as they change, until the end."""
        while not self._over:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting and not self._over:
                uri = next(iter(self._waiting))
                del self._waiting[uri]
                yield uri


class _Link:
    """The subscriptions of one legacy connection, and the one task that sends on it."""

    def __init__(self, session: ServerSession, who: Who) -> None:
        self.who = who
        self.outlet = _Outlet()
        self.cancels: dict[str, Callable[[], None]] = {}
        self._session = session
        self._sending = asyncio.create_task(self._send())

    async def now(self) -> Principal:
        """Who speaks on this connection, as of now. Raises `Unauthenticated`."""
        return await self.who()

    def forget(self, uri: str) -> None:
        if cancel := self.cancels.pop(uri, None):
            cancel()

    async def aclose(self) -> None:
        self._sending.cancel()
        self.close()

    def close(self) -> None:
        for uri in list(self.cancels):
            self.forget(uri)

    async def _send(self) -> None:
        try:
            async for uri in self.outlet.updates():
                await self._session.send_resource_updated(uri)
        except Exception:  # noqa: BLE001 - whatever the transport says of a client that is gone, nobody listens there
            self.close()


class Subscriptions:
    """The subscriptions of one server's clients. Whoever may not have one is told what everybody is told of a resource
    that is not there."""

    def __init__(self, surface: Surface, who: Callable[[Context], Who], tasks: TasksExtension) -> None:
        self._surface = surface
        self._who = who
        self._tasks = tasks

    async def subscribe(self, ctx: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        """`resources/subscribe` of the legacy era. A second one for the same URI changes nothing."""
        uri, link = str(params.uri), self._link(ctx)
        if uri in link.cancels:
            return types.EmptyResult()
        if len(link.cancels) >= MAX_URIS:
            raise MCPError(types.INVALID_PARAMS, f"A connection has at most {MAX_URIS} subscriptions")
        try:
            cancel = await self._watch(uri, link.now, partial(link.outlet.changed, uri), lambda: link.forget(uri))
        except (UnknownResource, GuardError) as error:
            raise rpc_error(error) from None
        link.forget(uri)  # one that came in the meantime
        link.cancels[uri] = cancel
        return types.EmptyResult()

    async def unsubscribe(self, ctx: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        """`resources/unsubscribe` of the legacy era; of what is not subscribed to as well."""
        self._link(ctx).forget(str(params.uri))
        return types.EmptyResult()

    async def listen(self, ctx: Context, params: types.SubscriptionsListenRequestParams) -> Any:
        """`subscriptions/listen` of the modern era: what is honoured is said first, and nothing says why the rest is
        not. The stream ends when nothing is left to tell."""
        if ctx.request_id is None:
            raise MCPError(types.INVALID_REQUEST, "subscriptions/listen is a request")
        meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
        outlet, cancels = _Outlet(), dict[str, Callable[[], None]]()
        uris = list(dict.fromkeys(params.notifications.resource_subscriptions or ()))[:MAX_URIS]
        wanted = self._tasks.wanted(ctx, params.notifications)[: MAX_URIS - len(uris)]
        tasks = {f"{TASK_IDS} {one}": one for one in wanted}  # no URI that is watched is like these keys
        who = self._who(ctx)

        async def send(notification: types.ServerNotification) -> None:
            await ctx.session.send_notification(notification, related_request_id=ctx.request_id)

        try:
            for key in (*uris, *tasks):
                uri = f"task://{tasks[key]}" if key in tasks else key
                with suppress(UnknownResource, GuardError):
                    cancels[key] = await self._watch(uri, who, partial(outlet.changed, key), outlet.end)
            await send(_acknowledged(_honoured(cancels, tasks), meta))
            if cancels:
                async for key in outlet.updates():
                    if key in tasks:
                        await self._tasks.tell(ctx, who, tasks[key], meta)
                    else:
                        await send(event_to_notification(ResourceUpdated(key), meta))
        finally:
            for cancel in cancels.values():
                cancel()
        return types.SubscriptionsListenResult(_meta=meta)

    def seen(self, ctx: Context) -> None:
        """Note who speaks on a legacy connection now: a client renews its token while a session lasts."""
        link = ctx.session._connection.state.get(_STATE)
        if link is not None:
            link.who = self._who(ctx)

    def _link(self, ctx: Context) -> _Link:
        connection = ctx.session._connection
        link = connection.state.get(_STATE)
        if link is None:
            link = connection.state[_STATE] = _Link(ctx.session, self._who(ctx))
            connection.exit_stack.push_async_callback(link.aclose)
        assert isinstance(link, _Link)
        return link

    async def _watch(
        self, uri: str, who: Who, changed: Callable[[], None], ended: Callable[[], None]
    ) -> Callable[[], None]:
        task = watched_task(uri)
        if task is not None:
            return await self._surface.watch_task(who, task, changed, ended)
        return await self._surface.watch_records(who, watched(uri), changed, ended)


def _honoured(cancels: Mapping[str, object], tasks: Mapping[str, str]) -> types.SubscriptionFilter:
    uris, found = [key for key in cancels if key not in tasks], [tasks[key] for key in cancels if key in tasks]
    more: dict[str, Any] = {TASK_IDS: found} if found else {}
    return types.SubscriptionFilter(resource_subscriptions=uris or None, **more)


def _acknowledged(honoured: types.SubscriptionFilter, meta: dict[str, Any]) -> types.ServerNotification:
    params = types.SubscriptionsAcknowledgedNotificationParams(notifications=honoured, _meta=meta)
    return types.SubscriptionsAcknowledgedNotification(params=params)
