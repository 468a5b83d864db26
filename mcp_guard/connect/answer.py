"""What an HTTP answer means: a value, or a failure whose text is safe to pass on. Pure."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from mcp_guard.connect.failure import MAX_TEXT, Failed, Unauthorized
from mcp_guard.connect.message import Response
from mcp_guard.kit import strict_json
from mcp_guard.kit.text import strip_hidden, visible

MAX_RETRY_AFTER = 24 * 60 * 60
"""Seconds; a longer wish is cut to it."""

_CONTENT_TYPE = re.compile(r"\s*([a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+)\s*(?:;(.*))?", re.DOTALL)
_CHARSET = re.compile(r"(?:^|;)\s*charset\s*=\s*\"?([a-z0-9._-]+)\"?\s*(?:;|$)")
_CHARSETS = {"utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "ascii", "iso-8859-1": "latin-1"}
_SECONDS = re.compile(r"[0-9]{1,9}")
_HTML = ("text/html", "application/xhtml+xml")
_UNCUT_TAIL = 4096  # of a body that was cut off, so that no credential broken in two survives at its end


def value_of(response: Response) -> object:
    """The value of a successful answer. Raises `Failed` (`upstream_bad_response`) where it has none.

    No body is null; JSON is read strictly; other text is a string, except HTML, which is a page for people.
    """
    if response.status == 204 or not response.body:
        return None
    kind, charset = content_type(response.headers.get("content-type"))
    if kind is None or kind == "application/json" or kind.endswith("+json"):
        try:
            return strict_json.loads(response.body)
        except strict_json.JsonError as error:
            raise _bad(str(error)) from None
    if kind in _HTML:
        raise _bad("it is an HTML page")
    if not kind.startswith("text/"):
        raise _bad("it is neither JSON nor text")
    return _text(response.body, charset)


def failure_of(response: Response, redact: Callable[[str], str], now: datetime, longest: int) -> Failed:
    """The failure an unsuccessful answer stands for.

    4xx: the upstream refused, so nothing was executed. 5xx: unknown. `longest` is the length of the longest secret.
    """
    status = response.status
    excerpt = _excerpt(response, redact, longest)
    reason = f"the upstream answered {status}" + (f": {excerpt}" if excerpt else "")
    retry_after = retry_after_seconds(response.headers.get("retry-after"), now)
    if status == 429:
        return Failed("upstream_error", reason, transient="429", retry="same", retry_after_s=retry_after)
    if status >= 500:
        return Failed(
            "upstream_error", reason, transient="5xx", executed="unknown", retry="same", retry_after_s=retry_after
        )
    return Unauthorized("upstream_error", reason) if status == 401 else Failed("upstream_error", reason)


def retry_after_seconds(text: str | None, now: datetime) -> int | None:
    """Retry-After (RFC 9110, section 10.2.3): seconds or a date. Anything else, and the past, is ignored."""
    text = (text or "").strip()
    if _SECONDS.fullmatch(text) and text.isascii():
        return min(int(text), MAX_RETRY_AFTER)
    if not text.endswith("GMT") or len(text) > 40:
        return None
    try:
        wait = (parsedate_to_datetime(text).replace(tzinfo=UTC) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(int(wait) + 1, MAX_RETRY_AFTER) if wait > 0 else None


def content_type(text: str | None) -> tuple[str | None, str]:
    """Media type and charset. No header is taken for JSON; a header that cannot be read is no known type."""
    if text is None:
        return None, "utf-8"
    match = _CONTENT_TYPE.fullmatch(text.lower())
    if match is None:
        return "", ""
    charset = _CHARSET.search(match.group(2) or "")
    return match.group(1), charset.group(1) if charset else "utf-8"


def _text(body: bytes, charset: str) -> str:
    try:
        return body.decode(_CHARSETS[charset], "strict")
    except (KeyError, UnicodeDecodeError):
        raise _bad("its text is not in the character set it names, or not in one that is known") from None


def _excerpt(response: Response, redact: Callable[[str], str], longest: int) -> str:
    kind, _ = content_type(response.headers.get("content-type"))
    if kind in _HTML:
        return ""
    text = redact(response.body.decode("utf-8", "replace"))
    if response.cut:
        text = text[: -max(longest, _UNCUT_TAIL)]
    # Taking out characters can join the halves of a secret, so redaction has the last word before the cut.
    flat = redact(" ".join(strip_hidden(text)[0].split()))
    return bounded(visible(flat))


def bounded(text: str) -> str:
    """At most `MAX_TEXT` characters."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _bad(why: str) -> Failed:
    return Failed("upstream_bad_response", f"the answer could not be used: {why}", executed="unknown")
