"""`audit://`, `guard://`, `task://`, `result://`: parsed strictly, decided by policy, recorded, answered as JSON."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

import mcp_types as types

from mcp_guard.admin.records import RECORD_FILTERS, Completion
from mcp_guard.kit.strict_json import dumps
from mcp_guard.model.errors import Refused
from mcp_guard.model.kept import is_id
from mcp_guard.model.principal import Principal
from mcp_guard.server.surface import Surface

RECORDS_TEMPLATE: Final = f"audit://records{{?{','.join(RECORD_FILTERS)}}}"
CALL_TEMPLATE: Final = "audit://call/{id}"
PROOF_TEMPLATE: Final = "audit://proof/{n}"
TASK_TEMPLATE: Final = "task://{id}"
RESULT_TEMPLATE: Final = "result://{id}{?page}"

_JSON: Final = "application/json"
_CALL_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
TASK_ID: Final = re.compile(r"[0-9a-f]{32}")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,14}")
_PAGE: Final = re.compile(r"page=([1-9][0-9]{0,5})")
_MAX_URI: Final = 2048


class UnknownResource(Exception):
    """The resource is not there, or not for this caller: the two look alike."""


class Resources:
    """The resources of one guard."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface

    def listed(self, principal: Principal) -> list[types.Resource]:
        """The fixed resources this principal may read."""
        found: list[types.Resource] = []
        if self._surface.may_read_audit(principal):
            found.append(_resource("audit://records", "Audit records", "The newest audit records you may read."))
            found.append(_resource("audit://status", "Audit status", "State of the audit log."))
            found.append(_resource("audit://checkpoint", "Checkpoint", "The newest signed note about the audit log."))
        if self._surface.may_see_self(principal):
            found.append(
                _resource("guard://whoami", "Who am I", "Your identity, roles and scopes as the guard sees them.")
            )
        if self._surface.may_see_permissions(principal):
            found.append(
                _resource(
                    "guard://permissions",
                    "Permissions",
                    "What you may do with each tool you can list, and what that depends on. Scopes you lack are named.",
                )
            )
        if self._surface.may_see_usage(principal):
            found.append(_resource("guard://usage", "Usage", "What you used of your limits, and when they reset."))
        return found

    def templates(self, principal: Principal) -> list[types.ResourceTemplate]:
        """The templates this principal may use (RFC 6570)."""
        own = [
            _template(TASK_TEMPLATE, "One task", "How far a task is that an earlier call was told about, by its id."),
            _template(
                RESULT_TEMPLATE, "One result", "A result that was too large for the answer of its call, in pages."
            ),
        ]
        if not self._surface.may_read_audit(principal):
            return own
        return [
            *own,
            _template(
                RECORDS_TEMPLATE, "Audit records", "Audit records by filter, newest first; `next` continues a page."
            ),
            _template(CALL_TEMPLATE, "One call", "Every record of one call, with what may be shown of its values."),
            _template(PROOF_TEMPLATE, "Proof", "That record n, as a receipt names it, stands in the signed log."),
        ]

    async def complete(self, principal: Principal, template: str, variable: str, start: str) -> Completion:
        """Values of a template's variable that begin so, from records the principal may read.

        Raises `UnknownResource` for another template, `Refused` and store failures as they are.
        """
        if template == RECORDS_TEMPLATE:
            return await self._surface.complete(principal, variable, start)
        if template == CALL_TEMPLATE:
            return await self._surface.complete(principal, "call" if variable == "id" else "", start)
        if template in (TASK_TEMPLATE, RESULT_TEMPLATE):  # an id is known or it is not
            return Completion([])
        if template == PROOF_TEMPLATE:  # a number is not guessed from its first digits
            return await self._surface.complete(principal, "", start)
        raise UnknownResource

    async def read(self, principal: Principal, uri: str) -> str:
        """The JSON text of a resource.

        Raises `UnknownResource`, `UsageError` for a filter of a reader who may read, `Refused` for one who is frozen,
        and store failures as they are.
        """
        try:
            return dumps(await self._value(principal, uri)).decode()
        except Refused as refusal:
            if refusal.code == "frozen":  # it was theirs to read, so it is theirs to know
                raise
            raise UnknownResource from None
        except ValueError:
            raise UnknownResource from None

    async def _value(self, principal: Principal, uri: str) -> Mapping[str, object]:
        parts = _split(uri)
        match (parts.scheme, parts.netloc, parts.path):
            case ("audit", "records", "" | "/"):
                return await self._surface.read_records(principal, _filters(parts.query))
            case ("audit", "call", path) if not parts.query and _CALL_ID.fullmatch(path.removeprefix("/")):
                return await self._surface.read_call(principal, path.removeprefix("/"))
            case ("audit", "status", "" | "/") if not parts.query:
                return await self._surface.read_status(principal)
            case ("audit", "checkpoint", "" | "/") if not parts.query:
                return await self._surface.read_checkpoint(principal)
            case ("audit", "proof", path) if not parts.query and _NUMBER.fullmatch(path.removeprefix("/")):
                return _there(await self._surface.read_proof(principal, int(path.removeprefix("/"))))
            case ("guard", "whoami", "" | "/") if not parts.query:
                return await self._surface.whoami(principal)
            case ("guard", "permissions", "" | "/") if not parts.query:
                return await self._surface.read_permissions(principal)
            case ("guard", "usage", "" | "/") if not parts.query:
                return await self._surface.read_usage(principal)
            case ("task", identifier, "" | "/") if not parts.query and TASK_ID.fullmatch(identifier):
                return await self._surface.read_task(principal, identifier)
            case ("result", identifier, "" | "/") if is_id(identifier):
                return await self._surface.read_result(principal, identifier, _page(parts.query))
        raise UnknownResource


def _page(query: str) -> int:
    """Which page of a result is asked for: the first where nothing is said."""
    if not query:
        return 1
    match = _PAGE.fullmatch(query)
    if match is None:
        raise UnknownResource
    return int(match[1])


def _there(found: Mapping[str, object] | None) -> Mapping[str, object]:
    if found is None:
        raise UnknownResource
    return found


def watched_task(uri: str) -> str | None:
    """The task a resource is about, if it is about one."""
    identifier = uri.removeprefix("task://").removesuffix("/")
    return identifier if uri.startswith("task://") and TASK_ID.fullmatch(identifier) else None


def watched(uri: str) -> Mapping[str, str]:
    """Which records a resource is made of, as filters, so that it changes when there are new ones.

    Raises `UnknownResource` for one that is not made of records.
    """
    try:
        parts = _split(uri)
        match (parts.scheme, parts.netloc, parts.path):
            case ("audit", "records", "" | "/"):
                return _filters(parts.query)
            case ("audit", "call", path) if not parts.query and _CALL_ID.fullmatch(path.removeprefix("/")):
                return {"call": path.removeprefix("/")}
            case ("audit", "status" | "checkpoint", "" | "/") if not parts.query:
                return {}
    except ValueError:
        raise UnknownResource from None
    raise UnknownResource


def _split(uri: str) -> SplitResult:
    if len(uri) > _MAX_URI:
        raise UnknownResource
    parts = urlsplit(uri)
    if parts.fragment or "@" in parts.netloc:
        raise UnknownResource
    return parts


def _filters(query: str) -> dict[str, str]:
    """Query parameters; an unknown or repeated one is an error, never ignored."""
    pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    filters = dict(pairs)
    if len(filters) != len(pairs) or not filters.keys() <= set(RECORD_FILTERS):
        raise UnknownResource
    return filters


def _resource(uri: str, name: str, description: str) -> types.Resource:
    return types.Resource(uri=uri, name=name, description=description, mime_type=_JSON)


def _template(uri: str, name: str, description: str) -> types.ResourceTemplate:
    return types.ResourceTemplate(uri_template=uri, name=name, description=description, mime_type=_JSON)
