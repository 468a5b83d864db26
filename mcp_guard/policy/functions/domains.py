"""`all_domains(values, domain, …)`: every address or host lies in one of the domains."""

import re
from collections.abc import Callable

MAX_VALUES = 10_000
MAX_TEXT = 1_000_000

# A plain address. `%` and `!` route mail elsewhere (RFC 5321 appendix C), quotes and comments can hide a second one.
_LOCAL = re.compile(r"[A-Za-z0-9_+&'=-][A-Za-z0-9_+&'=.-]{0,63}")
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAX_ADDRESS = 320
_SEPARATOR = re.compile("[,;]")


def all_domains(values: object, *domains: object) -> bool:
    """Whether every e-mail address or host name in `values` is one of `domains` or below one.

    `values` is a text (several are separated by `,` or `;`) or a list of texts. False where there is none, and for
    anything that is not a plain address or host name (display names, quoted or routed local parts, address literals,
    non-ASCII hosts, a trailing dot), because two readers could understand it differently. Case does not matter.
    """
    if not all(type(domain) is str for domain in domains):
        raise TypeError("all_domains wants texts")
    return bind_all_domains(*map(str, domains))(values)


def bind_all_domains(*domains: str) -> Callable[[object], bool]:
    """`all_domains` for fixed domains. Raises `ValueError` where one is not a host name."""
    for domain in domains:
        if len(domain) > 253 or not _HOST.fullmatch(domain):
            raise ValueError("a domain is a plain host name such as example.com: no `@`, `*` or leading dot")
    exact = frozenset(domain.lower() for domain in domains)
    below = tuple("." + domain for domain in exact)

    def inside(value: str) -> bool:
        host = _host(value.strip())
        return host is not None and (host in exact or host.endswith(below))

    def judge(values: object) -> bool:
        texts = _texts(values)
        return 0 < len(texts) <= MAX_VALUES and all(map(inside, texts))

    return judge


def _texts(values: object) -> list[str]:
    if type(values) is str:
        return _SEPARATOR.split(values) if len(values) <= MAX_TEXT else []
    if not isinstance(values, list | tuple) or not all(type(value) is str for value in values):
        raise TypeError("all_domains wants a text or a list of texts")
    return list(values)


def _host(text: str) -> str | None:
    """The host of an address, or the text itself where it is one, in lower case."""
    if len(text) > _MAX_ADDRESS:
        return None
    local, at, host = text.rpartition("@")
    if at and not (_LOCAL.fullmatch(local) and ".." not in local and local[-1] != "."):
        return None
    return host.lower() if len(host) <= 253 and _HOST.fullmatch(host) else None
