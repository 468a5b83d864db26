"""The `tls` of a manifest's request: whom it trusts and what it shows."""

from pathlib import Path

from mcp_guard.kit import references
from mcp_guard.kit.platform import is_private
from mcp_guard.manifest.document import Http
from mcp_guard.manifest.home import REACHES
from mcp_guard.manifest.process import Place
from mcp_guard.manifest.report import Report
from mcp_guard.model.tool import TlsSpec


def tls_of(entry: Http, place: Place, report: Report) -> TlsSpec | None:
    """The authorities, certificate and key of a tool; problems go to the report."""
    tls = entry.tls
    if tls is None:
        return None
    where = report.at("tls")
    if not entry.url.startswith("https://"):
        where.error("tls", "it means nothing without TLS", "write https:// in url:, or remove it")
    if tls.ca is None and tls.cert is None and tls.key is None:
        where.error("tls", "nothing is said here", "name ca:, or cert: and key:, or remove it")
    if (tls.cert is None) != (tls.key is None):
        where.error("tls", "a certificate is shown with its key", "name both cert: and key:")
    ca = _file(tls.ca, place, where.at("ca"))
    cert = _file(tls.cert, place, where.at("cert"))
    return TlsSpec(ca, cert, _key(tls.key, place, where.at("key")))


def _key(text: str | None, place: Place, report: Report) -> str | None:
    if text is None or not text.startswith(references.OPENING):
        found = _file(text, place, report)
        if found is not None and not is_private(Path(found)):
            report.error("permissions", "the key can be read or written by others", "set its mode to 0600")
        return found
    try:
        parts = references.parse(text)
    except ValueError:
        parts = ()
    if len(parts) != 1 or isinstance(parts[0], str) or parts[0].kind != "file":
        report.error("reference", "a key is a file", "write ${file:/PATH}, or a path from the home")
    return text


def _file(text: str | None, place: Place, report: Report) -> str | None:
    """The path of a file that is there. Links are not followed here: renewing a certificate may move them."""
    if text is None:
        return None
    path = place.home.resolve() / text
    if references.OPENING in text or "\0" in text or not path.is_file():
        report.error("path", "expected a file (PEM) that is there", "write its path, from the home or absolute")
        return None
    if place.reserved.holds(path):
        report.error("reaches_home", *REACHES)
        return None
    return str(path)
