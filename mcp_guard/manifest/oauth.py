"""Accounts of people at upstreams: `auth: oauth` of a manifest, for services of http tools and other MCP servers."""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from mcp_guard.kit.web import is_protected, origin_of
from mcp_guard.manifest import suggest
from mcp_guard.manifest.document import File, Http, OAuthRule, ServiceEntry, UpstreamEntry
from mcp_guard.manifest.http import networks
from mcp_guard.manifest.report import Report
from mcp_guard.model.oauth import OAuthSpec

_PROTECTED = "credentials travel there: it has to be https, or http on loopback"


Services = Mapping[str, OAuthSpec | None]
"""The services of a file by name; nothing of those that have errors."""


def services_of(file: File, report: Report) -> Services:
    """The services of a file; problems go to the report."""
    found: dict[str, OAuthSpec | None] = {}
    for index, entry in enumerate(file.services):
        place = report.at("services", index)
        if entry.name in found or entry.name in {other.name for other in file.upstreams}:
            place.at("name").error("duplicate_name", "the name is given to another one already", "rename one of them")
        found.setdefault(entry.name, _service(entry, place))
    return found


def _service(entry: ServiceEntry, report: Report) -> OAuthSpec | None:
    if entry.oauth.resource is None:
        report.at("oauth").error("missing_key", "the key resource is missing", "write resource: https://HOST/PATH")
        return None
    return _spec(entry.name, entry.oauth, entry.oauth.resource, report.at("oauth"))


def oauth_of_upstream(entry: UpstreamEntry, report: Report) -> OAuthSpec | None:
    """The accounts at another MCP server, where it has some; problems go to the report."""
    if entry.auth is None:
        if entry.oauth is not None:
            report.at("oauth").error("oauth", "oauth means nothing without auth: oauth", "say auth: oauth too")
        return None
    if entry.url is None:
        report.at("auth").error("oauth", "a program has no accounts", "remove auth, or name a url")
        return None
    _check_headers(entry.headers, report)
    rule = entry.oauth or OAuthRule()
    spec = _spec(entry.name, rule, rule.resource or entry.url, report.at("oauth"))
    _check_place(entry.url, spec, report.at("url"))
    own = networks(entry.egress.networks, Report(report.document, []))  # reported where they are the server's
    return replace(spec, networks=tuple(sorted({*spec.networks, *own})))


def oauth_of_request(entry: Http, services: Services, report: Report) -> OAuthSpec | None:
    """The service whose accounts a request uses; problems go to the report."""
    if entry.service is None:
        return None
    if entry.service not in services:
        hint = suggest.hint(entry.service, list(services)) if services else "declare it under services:, in this file"
        report.at("service").error("unknown_service", "there is no such service in this file", hint)
        return None
    spec = services[entry.service]
    _check_headers(entry.headers, report)
    if spec is not None:
        _check_place(entry.url, spec, report.at("url"))
    return spec


def _spec(name: str, rule: OAuthRule, resource: str, report: Report) -> OAuthSpec:
    place = report.at("resource")
    if not is_protected(resource) or "?" in resource:
        place.error("url", _PROTECTED, "write https://HOST/PATH, without a query")
    if rule.issuer is not None and (not is_protected(rule.issuer) or "?" in rule.issuer):
        report.at("issuer").error("url", _PROTECTED, "write it exactly as the issuer names itself")
    if rule.client_secret is not None and rule.client_id is None:
        report.at("client_secret").error("oauth", "a secret belongs to a client_id", "name the client_id too")
    if rule.client_secret is not None and rule.issuer is None:
        # Else whoever runs the upstream names an issuer of their own, and is sent the secret.
        report.at("client_secret").error("oauth", "a secret belongs to one issuer", "name the issuer too")
    return OAuthSpec(
        upstream=name,
        resource=resource,
        issuer=rule.issuer or "",
        scopes=tuple(dict.fromkeys(rule.scopes)),
        client_id=rule.client_id or "",
        client_secret=rule.client_secret,
        networks=networks(rule.egress.networks, report.at("egress", "networks")),
    )


def _check_headers(headers: Mapping[str, str], report: Report) -> None:
    for name in headers:
        if name.lower() == "authorization":
            place = report.at("headers", name)
            place.error("header", "the caller's own token takes this header", "remove it")


def _check_place(url: str, spec: OAuthSpec, report: Report) -> None:
    """A token is for one resource, and is sent to that one's origin only."""
    authority = "/".join(url.split("/")[:3])
    try:
        same = urlsplit(authority).hostname is not None and origin_of(authority) == origin_of(spec.resource)
    except ValueError:
        same = False
    if not is_protected(authority):
        report.error("url", _PROTECTED, "write https://")
    elif not same:
        report.error("url", "the token is made out for another origin", "name this one under resource:")
