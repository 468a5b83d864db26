"""What in the words about a tool speaks to the model instead of describing the tool ("tool poisoning").

Patterns find what people wrote without care and what attackers copy from one another; whoever knows them writes around
them. So this warns and forbids nothing: what is let in has to be read.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Finding(NamedTuple):
    """`code` is stable; `what` completes the sentence «this …» and quotes nothing."""

    code: str
    what: str


_GAP = r"[^.!?]{0,60}?"
_OVERRIDE = (
    rf"\b(?:ignore|disregard|forget|override|bypass)\b{_GAP}"
    rf"\b(?:previous|prior|above|earlier|preceding|other|all|any|your|system|safety)\b{_GAP}"
    r"\b(?:instructions?|prompts?|rules|messages|guidelines|guardrails|polic(?:y|ies))\b"
)
_SECRECY = (
    rf"\b(?:do not|don['’]t|never|must not|without)\b{_GAP}"
    rf"\b(?:tell|telling|inform\w*|mention\w*|reveal\w*|notify\w*|alert\w*|ask|asking|disclos\w+)\b{_GAP}"
    r"\b(?:user|human|person|people|operator|anyone)\b"
)
_MARKUP = (
    r"<\s*/?\s*(?:important|system|instructions?|secret|hidden|admin|assistant|critical)\b[^<>]{0,100}>|"
    r"<\|[a-z_]{2,30}\|>|\[/?(?:system|inst|important|instructions?)\]|<!--"
)
_STEERING = (
    rf"\b(?:before|whenever|every time)\b{_GAP}\b(?:us(?:e|ing)|call(?:ing)?|invok(?:e|ing)|run(?:ning)?)\b{_GAP}"
    rf"\b(?:any|other|another|this|every)\b{_GAP}\b(?:tools?|functions?)\b|"
    rf"\b(?:instead of|rather than)\b{_GAP}\b(?:other|any|another)\b{_GAP}\btools?\b|"
    r"\byou are now\b|\b(?:system prompt|chat history|conversation history|chain of thought)\b"
)
_CREDENTIALS = (
    r"\.ssh\b|\bid_(?:rsa|ed25519|ecdsa)\b|\.aws/|/etc/(?:passwd|shadow)\b|(?<![\w.])\.env\b|\.cursor/|\bmcp\.json\b|"
    r"\.netrc\b|\.kube/config\b"
)
_ENCODED = (
    r"(?<![A-Za-z0-9+/=_-])(?=[A-Za-z+/_-]{0,200}[0-9])(?=[0-9+/_-]{0,200}[A-Za-z])[A-Za-z0-9+/_-]{72,}|"
    r"(?:\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|%[0-9a-f]{2}|&#x?[0-9a-f]{2,6};){8,}"
)
_ADDRESS = (
    r"https?://[^\s\"'`)\]{<$%]{0,200}[^\s\"'`)\]]{0,40}?(?:\{[^{}\s]{0,60}\}|<[a-z_ ]{1,40}>|\$\{?\w|%s)|"
    r"!\[[^\]]{0,100}\]\(https?://"
)
_PATTERNS: tuple[tuple[Finding, re.Pattern[str]], ...] = tuple(
    (Finding(code, what), re.compile(pattern, re.IGNORECASE))
    for code, what, pattern in (
        ("instruction_override", "tells the model to disregard what it was told", _OVERRIDE),
        ("instruction_secrecy", "tells the model to keep something from people", _SECRECY),
        ("instruction_markup", "has markup that makes text look like an instruction", _MARKUP),
        ("instruction_steering", "tells the model what to do around other tools, or who it is", _STEERING),
        ("credential_path", "names files in which credentials are kept", _CREDENTIALS),
        ("encoded_text", "holds a long run of encoded characters, which nobody can read", _ENCODED),
        ("url_with_data", "has an address that data is to be put into", _ADDRESS),
    )
)
_SPACE = re.compile(r"\s+")


def findings(text: str) -> Iterator[Finding]:
    """What is found in one text, each code once. Time grows with the text."""
    flat = _SPACE.sub(" ", text)
    for finding, pattern in _PATTERNS:
        if pattern.search(flat) is not None:
            yield finding


def tools_named(text: str, names: Iterable[str]) -> list[str]:
    """The tools of `names` that a text speaks of. A name that is one plain word is also a word of any language."""
    words = set(re.findall(r"[A-Za-z0-9_-]+", text))
    return sorted(name for name in names if name in words and ("_" in name or "-" in name))
