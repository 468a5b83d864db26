"""The ways a secret value looks once other programs have quoted, escaped or encoded it. Pure."""

import html
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

_ESCAPED_OCTET = re.compile(r"%[0-9A-F]{2}")


def forms(value: str) -> frozenset[str]:
    """`value` as it stands, percent-encoded, JSON- and HTML-escaped, in hex, and inside base64 at any alignment."""
    data = value.encode("utf-8", "surrogatepass")
    quoted = {quote(data, safe=""), quote(data, safe="/"), quote_plus(data)}
    lowered = {_ESCAPED_OCTET.sub(lambda octet: octet.group().lower(), text) for text in quoted}
    escaped = {html.escape(value), value.replace("/", "\\/"), *_in_json(value)}
    twice = {form for once in _in_json(value) for form in _in_json(once)}  # a JSON text inside a JSON string
    return frozenset({value, data.hex(), data.hex().upper(), *quoted, *lowered, *escaped, *twice, *_base64(data)})


def _in_json(value: str) -> set[str]:
    return {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}


def _base64(data: bytes) -> Iterator[str]:
    """The part of a base64 text that `data` alone decides, for each of the three places it can start at.

    Behind `skip` foreign bytes the first `skip` + 1 characters depend on them too; at the end only whole groups of
    six bits are certain. `Authorization: Basic` is the usual carrier: base64 of `user:secret`.
    """
    for skip in range(3):
        certain = slice(skip + 1 if skip else 0, (skip + len(data)) * 8 // 6)
        text = b64encode(bytes(skip) + data).decode()[certain]
        yield text
        yield text.replace("+", "-").replace("/", "_")
