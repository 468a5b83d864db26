"""What the project promises, by id: where the promise comes from and what it says.

A test names the promises it holds with `@pytest.mark.holds("id", …)`; `test_requirements.py` fails when a promise has
no test, or a test names a promise that is not here. Read top to bottom, this is the assurance case.
"""

from typing import NamedTuple


class Requirement(NamedTuple):
    """`source` is an invariant, a contract section, an RFC or a specification."""

    source: str
    behaviour: str


REQUIREMENTS: dict[str, Requirement] = {
    # --- model and kit ------------------------------------------------------------------------------------------
    "wire:strict-json": Requirement("RFC 7493; bar: wire", "Duplicate keys, non-finite or oversized numbers, lone surrogates, bad UTF-8 and depth over 64 are refused before any value is seen."),
    "manifest:yaml-positions": Requirement("contract 2", "Every complaint about a YAML file names file, line and column; aliases cannot exhaust memory."),
    "audit:chain-format": Requirement("contract 6", "Genesis, leaf and sealed line are exactly as specified; the time is strictly increasing."),
    "decision:has-rule-and-reason": Requirement("I7", "A decision without rule, reason or policy version cannot be constructed."),
}
