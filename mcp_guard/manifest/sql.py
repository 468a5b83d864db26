"""The `sql` connector of a manifest: one statement, fixed text, named parameters, on SQLite or PostgreSQL."""

import re
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote

from mcp_guard.kit import references
from mcp_guard.manifest.arguments import Arguments
from mcp_guard.manifest.document import Sql
from mcp_guard.manifest.home import file_in_home
from mcp_guard.manifest.process import Place
from mcp_guard.manifest.report import Report
from mcp_guard.manifest.sql_text import POSTGRES, SQLITE, Dialect, check_statement, positional
from mcp_guard.manifest.sql_text import writes as _writes
from mcp_guard.model.tool import PostgresSpec, SqlSpec

_OF_POSTGRES = ("password", "tls", "ca")
_ADDRESS = re.compile(
    r"(?:postgresql|postgres)://(?P<user>[A-Za-z0-9._~%-]+)@(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)"
    r"(?::(?P<port>[0-9]{1,5}))?/(?P<database>[A-Za-z0-9._~%-]+)"
)
_FORM = "postgresql://USER@HOST:PORT/DATABASE"


def compile_sql(
    entry: Sql, arguments: Arguments, place: Place, report: Report
) -> tuple[SqlSpec | PostgresSpec | None, frozenset[str]]:
    """The statement of a tool and the arguments it uses; problems go to the report."""
    remote = entry.database.startswith(("postgresql:", "postgres:"))
    dialect = POSTGRES if remote else SQLITE
    used = check_statement(entry.statement, entry.readonly, arguments, dialect, report.at("statement"))
    if remote:
        return _postgres(entry, place, report), used
    for key in _OF_POSTGRES:
        if getattr(entry, key) is not None:
            report.at(key).error("database", f"{key} means nothing for a SQLite file", "remove it")
    path = _file(entry.database, report.at("database"), place)
    if path is None:
        return None, used
    return SqlSpec("sql", str(path), entry.readonly, entry.statement, entry.max_rows), used


def writes(statement: str, dialect: Dialect = SQLITE) -> bool:
    """Whether a statement changes data."""
    return _writes(statement, dialect)


def _file(text: str, report: Report, place: Place) -> Path | None:
    scheme, _, rest = text.partition(":")
    if references.OPENING in text:
        report.error("reference_place", "a secret reference may stand in a header value only", "write sqlite:PATH")
        return None
    if scheme != "sqlite":
        report.error("value", f"expected sqlite:PATH or {_FORM}", "for example sqlite:var/orders.db")
        return None
    if any(character in rest for character in "?#%"):
        report.error("path", "a database is named by its path alone", "remove ?, # and %")
        return None
    return file_in_home(rest, place.home, place.reserved, report)


def _postgres(entry: Sql, place: Place, report: Report) -> PostgresSpec | None:
    if find_spec("asyncpg") is None:
        hint = "pip install 'mcp-guard[postgres]'"
        report.at("database").error("missing_package", "PostgreSQL needs asyncpg, which is not installed", hint)
        return None
    found = _ADDRESS.fullmatch(entry.database)
    port = int(found["port"] or 5432) if found else 0
    if found is None or not 0 < port < 65536:
        hint = "options have keys of their own: password (a reference), tls and ca"
        report.at("database").error("value", f"expected {_FORM}", hint)
        return None
    host = found["host"].strip("[]")
    if entry.password is not None and re.fullmatch(references.WHOLE_REFERENCE, entry.password) is None:
        report.at("password").error("literal_secret", "a password is named, never written out", "${secret:NAME}")
    text, parameters = positional(entry.statement, POSTGRES)
    return PostgresSpec(
        kind="sql",
        host=host.lower(),
        port=port,
        user=unquote(found["user"]),
        database=unquote(found["database"]),
        password=entry.password,
        tls=_tls(entry, host, report),
        ca=_ca(entry.ca, place, report.at("ca")),
        readonly=entry.readonly,
        statement=text,
        parameters=parameters,
        max_rows=entry.max_rows,
    )


def _tls(entry: Sql, host: str, report: Report) -> bool:
    local = _is_loopback(host)
    tls = entry.tls == "verify" or (entry.tls is None and not local)
    if not tls and not local:
        report.at("tls").warning("plaintext", "statements, rows and the log-in travel unencrypted", "say tls: verify")
    if not tls and entry.ca is not None:
        report.at("ca").error("tls", "an authority means nothing without TLS", "say tls: verify, or remove it")
    return tls


def _ca(text: str | None, place: Place, report: Report) -> str | None:
    if text is None:
        return None
    path = place.home / text
    if "\0" in text or not path.is_file():
        report.error("path", "expected a file of certificates (PEM) that is there", "it is written from the home")
        return None
    return str(path)


def _is_loopback(host: str) -> bool:
    try:
        return host.lower() == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
