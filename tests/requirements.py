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
    # --- manifest and config --------------------------------------------------------------------------------------
    "manifest:refused-with-place": Requirement("I10; contract 2", "An empty, binary, truncated, misspelt or not yet enforceable manifest is refused with a code, file, line and column."),
    "manifest:all-or-nothing": Requirement("I10", "Every problem of every file is named at once, and one broken file keeps all tools from loading."),
    "manifest:names-unique": Requirement("contract 2", "A tool name is taken once over all files, whatever its case."),
    "manifest:no-values-in-errors": Requirement("I8", "A complaint about a file never quotes a value from it."),
    "manifest:placeholders": Requirement("contract 2; bar: templates", "Arguments stand in path, query, headers and body only, each declared; secret references in header values only."),
    "manifest:sql-fixed": Requirement("contract 2; bar: templates", "A tool's SQL is one reading or writing statement with named parameters; ATTACH, PRAGMA, VACUUM and second statements are refused."),
    "manifest:cannot-reach-home": Requirement("contract 1", "A tool whose database is the store, a key, a secret, the policy, a manifest or the configuration is a load error, also by link or letter case."),
    "manifest:retry-needs-key": Requirement("contract 2", "Retrying a tool that acts once and sends no idempotency key is a load error."),
    "manifest:sensitive-points": Requirement("contract 2; I8", "A `sensitive` pointer that names nothing in the schemas is a load error."),
    "manifest:closed-objects": Requirement("contract 2", "Unknown fields are refused on objects that do not say otherwise, without changing what a composed schema means."),
    "manifest:fingerprint": Requirement("contract 2", "The fingerprint is blind to key order and format and changes with everything that decides what executes and how it is shown."),
    "manifest:example-home": Requirement("contract 7", "The home at the root of the repository loads without a problem or warning."),
    "args:strict": Requirement("design 1; bar: arguments", "Arguments are never coerced, dropped or filled in: wrong types, missing and unknown ones are refused, in bounded words."),
    "args:no-values": Requirement("contract 4", "`args_invalid` names paths and expectations, never values."),
    "args:bound": Requirement("contract 2", "An argument the guard fills in is not advertised and cannot be sent."),
    "args:justification": Requirement("contract 2", "A justification is advertised and checked as its mode says, and never part of what the connector gets."),
    "config:refused-with-place": Requirement("I10; contract 1", "A broken or not yet enforceable configuration is refused with a code, file, line and column."),
    "config:precedence": Requirement("contract 1", "Defaults, file, environment, flags: later ones win, and the origin of every value is known."),
    "config:environment": Requirement("contract 1", "A variable of the guard that is no setting, or has the wrong form, is refused by name and never quoted."),
    "config:home": Requirement("contract 1", "A home is found by flag, by variable, then upwards; where there is none, the way to make one is named."),
    "config:schemas-current": Requirement("contract 7", "The checked-in JSON Schemas are those of the code."),
    # --- policy -------------------------------------------------------------------------------------------------
    "policy:refused-at-load": Requirement("I10; contract 3", "A policy or model that stock Casbin would drop, ignore or misread, or that is empty, binary or cut off, is refused with code, line, column and hint."),
    "policy:unsupported-refused": Requirement("contract 2", "An obligation or field this version does not enforce is a load error."),
    "policy:casbin-agrees": Requirement("design 6", "Stock Casbin holds the rows we read and gives the same answers where no approval row and no failing condition is involved."),
    "policy:conditions-closed": Requirement("contract 3; traps: pycasbin", "A condition is one expression over an allow-list of nodes, fields and functions; whatever else it holds is refused."),
    "policy:conditions-typed": Requirement("design 6", "Values of different kinds, missing values and NaN make a condition fail; they are never an answer."),
    "policy:functions-total": Requirement("contract 3", "`within`, `all_domains`, `matches`, `hours` refuse every disguise and come back for every input."),
    "policy:four-effects": Requirement("design 6", "deny > require_approval > allow > default deny, independent of row order; the first row of the deciding effect is named."),
    "policy:errors-deny": Requirement("design 6", "A condition that fails denies in a deny or approval row and does not apply in an allow row; no value reaches the reason."),
    "policy:strictest-hop": Requirement("design 6", "Every hop of a delegation is decided and the strictest result holds."),
    "policy:claimed-roles": Requirement("contract 3", "Roles claimed by a credential count for its subject, in its tenant, for that request; a claim or name can never stand for a role or another person otherwise."),
    "policy:version": Requirement("design 6", "Every decision carries the sha256 of model, rules and tags; the same files have the same version."),
    "policy:cases": Requirement("contract 3", "Policy tests in YAML pass, fail with the difference, or are refused with their place."),
    "policy:example": Requirement("contract 7", "The example policy has no warning, and its tests cover every rule."),
}
