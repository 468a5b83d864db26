"""Texts of a manifest that look like a secret written out, for a warning."""

import re

_NAME = re.compile(r"authorization|cookie|api[-_]?key|token|secret|password|credential", re.IGNORECASE)
_TEXT = re.compile(r"(?:\b(?:sk|pk|rk|ghp|gho|ghs|glpat|xox[abp])[-_]|\bAKIA|\beyJ)[A-Za-z0-9_.-]{12,}")


def names_a_secret(name: str) -> bool:
    """Whether a header or variable of this name usually holds a secret."""
    return _NAME.search(name) is not None


def looks_secret(text: str) -> bool:
    """Whether a text holds something of the form of a well-known credential."""
    return _TEXT.search(text) is not None
