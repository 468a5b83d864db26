"""Values on the command line that have a form: checked before a command runs, so that a wrong one is a usage error."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

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


class _Address(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """`HOST:PORT` to listen on; port 0 takes a free one."""

    name = "address"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        found = value if isinstance(value, tuple) else parse_address(str(value))
        if found is None:
            self.fail("expected HOST:PORT, for example 127.0.0.1:8765", param, ctx)
        return found


def parse_address(text: str) -> tuple[str, int] | None:
    """Host and port of `HOST:PORT`, or `None`."""
    host, separator, port = text.rpartition(":")
    if not (separator and host and port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        return None
    return host.removeprefix("[").removesuffix("]"), int(port)


class _Evidence(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """What a log is held against, converted by a function of `audit.evidence`, which is imported when it is needed."""

    def __init__(self, name: str, function: str) -> None:
        self.name = name
        self._function = function

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        from mcp_guard.audit import evidence

        if not isinstance(value, str):  # click converts a default that is already converted
            return value
        try:
            return getattr(evidence, self._function)(value)
        except evidence.EvidenceError as error:
            self.fail(str(error), param, ctx)


class _Bytes32(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """A salt or a hash in hex; its bytes."""

    name = "hex"

    def __init__(self, what: str) -> None:
        self._what = what

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        if isinstance(value, bytes):
            return value
        if re.fullmatch(r"[0-9a-fA-F]{64}", str(value)) is None:
            self.fail(f"expected {self._what}: 64 hex digits", param, ctx)
        return bytes.fromhex(str(value))


class _Duration(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """`90s`, `1h`; seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):  # click converts a default that is already converted
            return value
        try:
            return float(seconds(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Spent(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """`usd_today=400`, `usd_month=400`, or `usd=400` for both; the amounts by what conditions call them."""

    name = "unit=n"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, float | int]:
        match = re.fullmatch(r"([a-z][a-z0-9]{0,15})(_today|_month)?=([0-9]{1,12}(?:\.[0-9]{1,6})?)", str(value))
        if match is None:
            self.fail("expected UNIT=N, UNIT_today=N or UNIT_month=N, for example usd=400", param, ctx)
        unit, when, text = match.groups()
        amount = float(text) if "." in text else int(text)
        return {f"{unit}{each}": amount for each in ((when,) if when else ("_today", "_month"))}


def merged(given: Iterable[Mapping[str, float | int]]) -> dict[str, float | int]:
    """Several of `SPENT` as one; of two about the same the later."""
    return {name: amount for one in given for name, amount in one.items()}


class _OnRecord(_Principal):
    """A subject as records may name them: by their name, or by the pseudonym that is left."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        is_pseudonym = re.fullmatch(r"user:~[a-z2-7]{52}", value) is not None
        return value if is_pseudonym else super().convert(value, param, ctx)


SUBJECT = _Principal("subject", ("user:", "service:"))
SUBJECT_ON_RECORD = _OnRecord("subject", ("user:", "service:"))
CLIENT = _Principal("agent", ("agent:",))
SPENT = _Spent()
HOP = _Principal("principal", ("user:", "service:", "agent:"))
ACT = click.Choice(["list", "call", "approve", "task", "audit"])
TENANT = _Tenant()
MOMENT = _Moment()
DURATION = _Duration()
ADDRESS = _Address()
SALT = _Bytes32("a salt")
LEAF = _Bytes32("a leaf")
KNOWN = _Evidence("n:leaf", "known_record")
LOG_KEY = _Evidence("vkey", "log_key")
WITNESS_KEY = _Evidence("vkey", "witness_key")
CERTIFICATES = click.Path(exists=True, dir_okay=False, path_type=Path)
CHECKPOINT = _Evidence("file", "checkpoint_file")
APPROVERS = _Evidence("file", "approver_keys")
AGE = _Evidence("duration", "whole_seconds")
ARCHIVE = click.Path(exists=True, file_okay=False, path_type=Path)
