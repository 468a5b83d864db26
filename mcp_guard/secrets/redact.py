"""Redaction: no value that was resolved as a secret, and nothing shaped like a credential, leaves in clear (I8)."""

import re

import orjson

from mcp_guard.secrets.forms import forms

REDACTED = "[redacted]"
MIN_LENGTH = 6
"""Values shorter than this are not learned: replacing them would tear up ordinary text. `Resolver` refuses them."""

# Each pattern starts at a token boundary or at a fixed word, so that scanning stays linear on hostile text.
_SHAPES = re.compile(
    r"""(?<![A-Za-z0-9])mcpg_[A-Za-z0-9_-]{8,}                                  # our own tokens
    |(?i:\b(?:bearer|basic)[ \t]{1,8}[A-Za-z0-9._~+/-]{20,}=*)                  # RFC 6750, RFC 7617
    |(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])                   # AWS access key ids
    |(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})  # GitHub tokens
    |(?<![A-Za-z0-9])glpat-[A-Za-z0-9_.-]{20,}                                  # GitLab tokens
    |(?<![A-Za-z0-9])xox[abeoprs]-[0-9][A-Za-z0-9-]{9,}                         # Slack tokens
    |(?<![A-Za-z0-9])[sr]k_(?:live|test)_[A-Za-z0-9]{16,}                       # Stripe keys
    |(?<![A-Za-z0-9])sk-(?:(?:ant|proj|or|svcacct)-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{32,})  # keys of model providers
    |(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}                                      # Google API keys
    |(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*  # JWT (RFC 7519)
    |-----BEGIN\ [A-Z0-9 ]{0,40}PRIVATE\ KEY-----.*?(?:-----END\ [A-Z0-9 ]{0,40}PRIVATE\ KEY-----|\Z)  # RFC 7468
    """,
    re.VERBOSE | re.DOTALL,
)
# Every shape holds one of these words; looking for them in lower case is far cheaper than the pattern.
_MARKS = (
    "mcpg_",
    "bearer",
    "basic",
    "akia",
    "asia",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xox",
    "k_live_",
    "k_test_",
    "sk-",
    "aiza",
    "eyj",
    "private key",
)


class Redactor:
    """Knows the secret values of this process. Values are not forgotten unless somebody says so: a rotated secret may
    still be valid."""

    def __init__(self) -> None:
        self._known: dict[str, frozenset[str]] = {}
        self._forms: tuple[str, ...] = ()
        self._escaped: tuple[str, ...] = ()
        self._pattern: re.Pattern[str] | None = None

    @property
    def longest(self) -> int:
        """Characters of the longest form known; what is cut may end in a part of a secret that long."""
        return max(map(len, self._forms), default=0)

    def learn(self, value: str) -> bool:
        """Redact `value`, in all its forms, from now on; whether that is new. Short values are ignored; see
        `MIN_LENGTH`."""
        if value in self._known or len(value) < MIN_LENGTH:
            return False
        self._known[value] = forms(value)
        self._know({*self._forms, *self._known[value]})
        return True

    def forget(self, value: str) -> None:
        """Redact `value` no more; for what is valid for a short while, of which there is always more."""
        if self._known.pop(value, None) is not None:
            self._know({form for found in self._known.values() for form in found})

    def text(self, text: str) -> str:
        """`text` with every known form and every credential shape replaced."""
        if any(map(text.__contains__, self._forms)):
            text = self._forms_pattern().sub(REDACTED, text)
        return _SHAPES.sub(REDACTED, text) if any(map(text.lower().__contains__, _MARKS)) else text

    def value(self, value: object) -> object:
        """A JSON value with `text` applied to every string, key and number; the same object where nothing is hit."""
        try:
            text = orjson.dumps(value).decode()
        except TypeError:  # not plain JSON; the walk below takes what it understands
            return self._walk(value)
        # Both are loops in C: this runs over every result, and nearly always finds nothing.
        if any(map(text.__contains__, self._escaped)) or any(map(text.lower().__contains__, _MARKS)):
            return self._walk(value)
        return value

    def _forms_pattern(self) -> re.Pattern[str]:
        """Compiled at the first hit after something was learned: it takes far longer than all the searching."""
        if self._pattern is None:
            self._pattern = re.compile("|".join(map(re.escape, self._forms)))
        return self._pattern

    def _know(self, found: set[str]) -> None:
        # A form that holds another must be tried first, or its rest would stay behind.
        self._forms = tuple(sorted(found, key=lambda form: (-len(form), form)))
        self._escaped = tuple(_in_json(form) for form in self._forms)
        self._pattern = None

    def _walk(self, value: object) -> object:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, list | tuple):
            return [self._walk(item) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return REDACTED if self.text(repr(value)) != repr(value) else value
        return value

    def _object(self, value: dict[object, object]) -> dict[object, object]:
        found: dict[object, object] = {}
        for key, item in value.items():
            name = clean = self.text(key) if isinstance(key, str) else key
            count = 1
            while name in found:  # two secrets as keys must not become one member
                count += 1
                name = f"{clean} {count}"
            found[name] = self._walk(item)
        return found


def _in_json(form: str) -> str:
    """A form as it stands inside the JSON text of a value."""
    try:
        return orjson.dumps(form)[1:-1].decode()
    except TypeError:  # half a surrogate pair; such a value is walked anyway
        return form
