"""JSON from strangers: everything a lenient reader would quietly repair is an error here.

Refused before any value is seen: bad UTF-8, a byte order mark, depth over `MAX_DEPTH`, too many elements, duplicate
keys, NaN and infinities (also as 1e999), integers outside 64 bits, lone surrogates. What is accepted is I-JSON
(RFC 7493) with 64-bit integers, so orjson writes it back without loss.
"""

import json
import math
from hashlib import sha256
from typing import NoReturn

import orjson

from mcp_guard.kit.nesting import is_deeper

MAX_DEPTH = 64
MAX_ELEMENTS = 100_000
_MIN_INT, _MAX_INT = -(2**63), 2**64 - 1
_MAX_DIGITS = 20  # of 2**64; longer literals are refused before Python builds the number


class JsonError(ValueError):
    """The text is not acceptable JSON. `code` is stable; the message never quotes the input."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def loads(data: bytes, elements: int = MAX_ELEMENTS) -> object:
    """Parse one JSON text of at most so many elements. Raises `JsonError` and nothing else."""
    if is_deeper(data, MAX_DEPTH):
        raise JsonError("too_deep", f"nested deeper than {MAX_DEPTH}")
    if data.count(b",") > elements:
        raise JsonError("too_many_elements", f"more than {elements} elements")
    try:
        text = data.decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise JsonError("bad_utf8", "the text is not valid UTF-8") from None
    if not text.strip(" \t\r\n"):
        raise JsonError("empty", "the text is empty")
    try:
        value: object = _DECODER.decode(text)
    except JsonError:
        raise
    except json.JSONDecodeError as error:
        raise JsonError("not_json", f"not JSON at line {error.lineno} column {error.colno}") from None
    except (ValueError, RecursionError):
        raise JsonError("not_json", "not JSON") from None
    if "\\u" in text:
        _check_surrogates(value)
    return value


def dumps(value: object) -> bytes:
    """Canonical bytes: sorted keys, no white space. Equal to RFC 8785 for ASCII keys without floats."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest(value: object) -> str:
    """The sha256 (hex) of the canonical bytes."""
    return sha256(dumps(value)).hexdigest()


def pretty(value: object) -> str:
    """The same value for people to read and for diffs: sorted keys, a line for each."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2).decode()


def _check_surrogates(value: object) -> None:
    try:
        orjson.dumps(value)
    except TypeError:
        raise JsonError("lone_surrogate", "a string holds half of a surrogate pair") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise JsonError("duplicate_key", "an object holds the same key twice")
    return found


def _integer(literal: str) -> int:
    if len(literal) <= _MAX_DIGITS + 1:
        value = int(literal)
        if _MIN_INT <= value <= _MAX_INT:
            return value
    raise JsonError("number_range", "an integer does not fit 64 bits")


def _float(literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        raise JsonError("number_range", "a number is not finite")
    return value


def _constant(_: str) -> NoReturn:
    raise JsonError("number_range", "NaN and Infinity are not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)
