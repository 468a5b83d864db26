"""Values on the command line that have a form: checked before a command runs, so that a wrong one is a usage error."""

import re
from datetime import UTC, datetime, timedelta

import click

from mcp_guard.identity.directory import is_principal_name, is_tenant_name
from mcp_guard.kit.units import seconds


class _Principal(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """A principal of certain kinds. The value is never quoted: it may be a token in the wrong place."""

    def __init__(self, name: str, kinds: tuple[str, ...]) -> None:
        self.name = name
        self._kinds = kinds

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not is_principal_name(value) or not value.startswith(self._kinds):
            self.fail(f"expected {' or '.join(f'{kind}NAME' for kind in self._kinds)}", param, ctx)
        return value


class _Tenant(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    name = "tenant"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not is_tenant_name(value):
            self.fail("expected the plain name of a tenant", param, ctx)
        return value


class _Moment(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """`2026-01-05T12:00:00Z`, or a duration before now such as `2h`; unix microseconds."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):  # click converts a default that is already converted
            return value
        moment = _moment(str(value))
        if moment is None:
            self.fail("expected a time with a zone, 2026-01-05T12:00:00Z, or how long ago, 2h", param, ctx)
        return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def _moment(text: str) -> datetime | None:
    try:
        return datetime.now(UTC) - timedelta(seconds=seconds(text))
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
        moment.timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo is not None else None


class _Kept(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """`N:LEAF`, as a receipt states them."""

    name = "n:leaf"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, str]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([0-9]{1,15}):([0-9a-f]{64})", str(value))
        if match is None:
            self.fail("expected N:LEAF, a record number and 64 hex digits, as `n` and `leaf` of a receipt", param, ctx)
        return int(match.group(1)), match.group(2)


class _Salt(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """The salt of a commitment, in hex; its bytes."""

    name = "hex"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        if isinstance(value, bytes):
            return value
        if re.fullmatch(r"[0-9a-fA-F]{64}", str(value)) is None:
            self.fail("expected a salt: 64 hex digits", param, ctx)
        return bytes.fromhex(str(value))


SUBJECT = _Principal("subject", ("user:", "service:"))
CLIENT = _Principal("agent", ("agent:",))
TENANT = _Tenant()
MOMENT = _Moment()
KEPT = _Kept()
SALT = _Salt()
