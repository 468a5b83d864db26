"""TLS of a tool's own: the authorities it trusts instead of the usual ones, and the certificate it shows (RFC 8446).

Whatever is said here, the server's certificate and name are verified. Files are read again once they change, so that
certificates can be renewed while the server runs.
"""

import ssl
from pathlib import Path

from mcp_guard.connect.failure import Failed
from mcp_guard.kit import references
from mcp_guard.kit.platform import is_private
from mcp_guard.kit.references import Reference
from mcp_guard.model.tool import TlsSpec

Version = tuple[tuple[int, int, int], ...]
"""What changes where one of the files does."""


def version_of(tls: TlsSpec) -> Version:
    """The files as they are now. Raises `Failed` where one is not there."""
    try:
        found = [path.stat() for path in (_path(tls.ca), _path(tls.cert), _path(tls.key)) if path is not None]
    except OSError:
        raise _unusable("a file of the tool's tls: is not there or cannot be read") from None
    return tuple((status.st_ino, status.st_size, status.st_mtime_ns) for status in found)


def context_of(tls: TlsSpec, trust: ssl.SSLContext) -> ssl.SSLContext:
    """A context that verifies like `trust`, by the tool's own authorities where it has some. Raises `Failed`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # certificate and host name are checked
    context.minimum_version = trust.minimum_version
    try:
        if tls.ca is not None:
            context.load_verify_locations(cafile=tls.ca)
        else:
            context.load_verify_locations(cadata=b"".join(trust.get_ca_certs(binary_form=True)))
    except (OSError, ssl.SSLError, ValueError):
        raise _unusable("the authority's certificates of the tool cannot be used") from None
    key = _path(tls.key)
    if tls.cert is not None and key is not None:
        _show(context, tls.cert, key, own=tls.key == str(key))
    return context


def _show(context: ssl.SSLContext, cert: str, key: Path, *, own: bool) -> None:
    try:
        if own and not is_private(key):
            raise _unusable("the key of the tool's certificate can be read by others; set its mode to 0600")
        context.load_cert_chain(cert, key, password=_nothing)
    except (OSError, ssl.SSLError, ValueError):
        raise _unusable("the tool's own certificate and key cannot be used") from None


def _nothing() -> str:
    """The password of an encrypted key: none. Without this the terminal would be asked."""
    return ""


def _path(text: str | None) -> Path | None:
    """A file, written as its path or as `${file:PATH}`."""
    if text is None:
        return None
    (part,) = references.parse(text)
    return Path(part.name if isinstance(part, Reference) else part)


def _unusable(why: str) -> Failed:
    return Failed("upstream_unavailable", why, retry="never")
