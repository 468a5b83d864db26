"""The `http` connector of a manifest: where arguments may stand in a request."""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from mcp_guard.kit import references, units
from mcp_guard.manifest.arguments import Arguments, placed
from mcp_guard.manifest.document import Http
from mcp_guard.manifest.http_answer import media_of, pages_of, select_of
from mcp_guard.manifest.http_body import check_body, content_type, file_of, has_json, parts_of, placed_value
from mcp_guard.manifest.http_tls import tls_of
from mcp_guard.manifest.process import Place
from mcp_guard.manifest.report import Report
from mcp_guard.manifest.written_secrets import looks_secret, names_a_secret
from mcp_guard.model.tool import HttpSpec

_NONE = Arguments({}, frozenset())
MAX_OUTPUT = 64 * 1024 * 1024
_URL = re.compile(r"(https?)://([^/?#\\]*)((?:/[^?#]*)?)(.*)", re.DOTALL)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?")
_PATH = re.compile(r"(?:[A-Za-z0-9/._~!$&'()*+,;=:@{}-]|%[0-9A-Fa-f]{2})*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_HEADER_TEXT = re.compile(r"[\x20-\x7e\t]*")

# Set by the connector itself, or meant for the next hop only (RFC 9110 section 7.6.1).
_OWNED_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"}
    | {"accept-encoding", "proxy-connection", "proxy-authorization"}
)


def compile_http(entry: Http, arguments: Arguments, place: Place, report: Report) -> tuple[HttpSpec, frozenset[str]]:
    """The request of a tool and the arguments it uses; problems go to the report."""
    used = _check_url(entry.url, arguments, report.at("url"))
    used |= _check_headers(entry, arguments, report.at("headers"))
    for name, text in entry.query.items():
        used |= placed_value(text, arguments, report.at("query", name))
    used |= check_body(entry, arguments, report)
    reached = networks(entry.egress.networks, report.at("egress", "networks"))
    _check_reach(entry.url, reached, report.at("url"))
    return HttpSpec(
        kind="http",
        method=entry.method,
        url=entry.url,
        headers=tuple(sorted(entry.headers.items())),
        query=tuple(sorted(entry.query.items())),
        json=entry.body,
        has_json=has_json(entry),
        networks=reached,
        max_bytes=max_output(entry.max_output, report.at("max_output")),
        trace=entry.trace,
        form=tuple(sorted((entry.form or {}).items())),
        body=entry.text or "",
        content_type=content_type(entry),
        select=select_of(entry, report),
        pages=pages_of(entry, report),
        media=media_of(entry, report),
        tls=tls_of(entry, place, report),
        file=None if entry.file is None else file_of(entry.file, place, report.at("file")),
        multipart=parts_of(entry, place, report),
    ), used


def _check_url(url: str, arguments: Arguments, report: Report) -> frozenset[str]:
    match = _URL.fullmatch(url)
    if match is None:
        report.error("url", "expected an http or https address", "write https://HOST/PATH")
        return frozenset()
    scheme, authority, path, rest = match.groups()
    _check_authority(scheme, authority, report)
    if rest:
        report.error("url", "the address ends with its path", "put parameters under query:, and leave fragments out")
    if _PATH.fullmatch(path) is None and references.OPENING not in path:
        report.error("url", "the path holds a character that must be percent-encoded", "encode it as %XX")
    if any(segment.replace("%2e", ".").replace("%2E", ".") in (".", "..") for segment in path.split("/")):
        report.error("url", "the path holds a . or .. segment", "write the path it leads to")
    return placed(path, arguments, report, always=True)


def check_address(url: str, report: Report) -> None:
    """Report what is wrong with an address that takes no arguments."""
    if _check_url(url, _NONE, report):
        report.error("url", "arguments have no place here", "write the address out")


def check_fixed_headers(headers: Mapping[str, str], report: Report) -> None:
    """Report what is wrong with headers that take no arguments."""
    _check_headers(Http(url="https://host/", headers=dict(headers)), _NONE, report)


def _check_authority(scheme: str, authority: str, report: Report) -> None:
    if "{" in authority or "}" in authority:
        report.error("url", "arguments may stand in the path only, never in scheme, host or port", "write the host out")
        return
    match = _AUTHORITY.fullmatch(authority)
    if match is None or not _port_is_valid(authority):
        report.error("url", "expected HOST or HOST:PORT, without a user name", "credentials belong in headers:")
        return
    if scheme == "http" and not _is_loopback(match.group(1)):
        report.warning("plaintext", "the request and its credentials travel unencrypted", "use https://")


def _port_is_valid(authority: str) -> bool:
    try:
        return urlsplit(f"//{authority}").port != 0
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _check_reach(url: str, reached: tuple[str, ...], report: Report) -> None:
    """Warn of a private address that stands in no network the tool may reach: every call of it would be refused. Names
    are judged when they are resolved."""
    match = _URL.fullmatch(url)
    host = _AUTHORITY.fullmatch(match.group(2)) if match else None
    try:
        address = ipaddress.ip_address(host.group(1).strip("[]") if host else "")
    except ValueError:
        return
    if not address.is_global and not any(address in ipaddress.ip_network(network) for network in reached):
        hint = f'say egress: {{networks: ["{address}/{address.max_prefixlen}"]}} if it is meant'
        report.warning("unreachable", "this address is not public, and no network of the tool holds it", hint)


def _check_headers(entry: Http, arguments: Arguments, report: Report) -> frozenset[str]:
    used: frozenset[str] = frozenset()
    seen: set[str] = set()
    for name, value in entry.headers.items():
        place = report.at(name)
        if _HEADER_NAME.fullmatch(name) is None:
            place.error("header", "expected a header name", "letters, digits and -")
        elif name.lower() in _OWNED_HEADERS:
            place.error("header", "the connector sets this header itself", "remove it")
        elif name.lower() in seen:
            place.error("header", "the same header stands here twice", "header names ignore case; keep one")
        elif entry.trace and name.lower() == "traceparent":
            place.error("header", "trace: true sets this header too", "keep one of them")
        seen.add(name.lower())
        used |= _check_header_value(name, value, arguments, place)
    return used


def _check_header_value(name: str, value: str, arguments: Arguments, report: Report) -> frozenset[str]:
    try:
        parts = references.parse(value)
    except ValueError as error:
        report.error("reference", str(error), "secrets are named, never written out")
        return frozenset()
    if _HEADER_TEXT.fullmatch(value) is None:
        report.error("header", "a header value is one line of ASCII text", "remove other characters")
    literals = [part for part in parts if isinstance(part, str)]
    written = names_a_secret(name) or looks_secret(value)
    if len(literals) == len(parts) and written and "{" not in value:
        report.warning("literal_secret", "this looks like a secret written out", "write ${secret:NAME} instead")
    if len(parts) == 1 and literals:
        return placed(value, arguments, report)
    return frozenset().union(*(placed(literal, arguments, report, always=True) for literal in literals))


_NARROW = {4: 16, 6: 48}
"""The shortest prefix that is taken for one network of somebody's."""


def networks(texts: list[str], report: Report) -> tuple[str, ...]:
    """The private networks that may be reached, in their usual form; problems go to the report."""
    found = []
    for index, text in enumerate(texts):
        try:
            network = ipaddress.ip_network(text, strict=True)
        except ValueError:
            report.at(index).error("network", "expected a network such as 10.20.0.0/16 or fd00::/8", "no host bits set")
            continue
        if network.prefixlen == 0:
            report.at(index).error("network", "this is every address there is", "name the networks that are needed")
            continue
        if network.prefixlen < _NARROW[network.version] and not network.is_loopback:
            message = "this is a large network, and everything in it can be reached"
            report.at(index).warning("broad_network", message, "name the networks that are needed, or single addresses")
        found.append(str(network))
    return tuple(sorted(found))


def max_output(text: str, report: Report) -> int:
    """The bytes of a size that an answer may have; problems go to the report."""
    size = units.size(text)
    if not 0 < size <= MAX_OUTPUT:
        report.error("value", "expected a size between 1B and 64MiB", "larger answers are cut off, not streamed")
    return size
