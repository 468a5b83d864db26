"""What a change of policy, people or tools would let through that is not let through now."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from mcp_guard.identity.directory import Directory, Profile
from mcp_guard.kit import strict_json
from mcp_guard.manifest.catalog import Catalog
from mcp_guard.model.decision import AccessRequest
from mcp_guard.policy.diff import DecisionChange, diff
from mcp_guard.policy.load import restore
from mcp_guard.policy.snapshot import Snapshot
from mcp_guard.policy.tightening import unproven
from mcp_guard.store.transaction import Row

Person = tuple[str, frozenset[str]]
"""A digest of tenant and attributes, and what they hold: the scopes, and the keys they sign with."""
_KEY = "key "
"""What a key begins with, where no scope has a space."""


@dataclass(frozen=True, slots=True)
class Rulebook:
    """What decides beside a call itself: the policy, what is known of people, the scopes each tool needs, the labels it
    gives, which tools are in observe mode, and what each does (its fingerprint)."""

    policy: Snapshot
    people: Mapping[str, Person]
    scopes: Mapping[str, frozenset[str]]
    labels: Mapping[str, frozenset[str]] = field(default_factory=dict)
    observed: frozenset[str] = frozenset()
    fingerprints: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, policy: Snapshot, directory: Directory, catalog: Catalog) -> "Rulebook":
        people = {name: _person(profile) for name, profile in directory.profiles.items()}
        scopes = {name: entry.tool.scopes for name, entry in catalog.items()}
        labels = {name: frozenset(entry.tool.labels) for name, entry in catalog.items()}
        fingerprints = {name: entry.tool.fingerprint for name, entry in catalog.items()}
        return cls(policy, people, scopes, labels, frozenset(catalog.observed), fingerprints)

    @classmethod
    def restored(cls, row: Row) -> "Rulebook":
        """A rulebook from what `as_row` gave. Raises `Invalid` where this version cannot read its policy any more."""
        model, rules, tags, people, scopes, labels, observed, fingerprints = map(str, row)
        policy = restore((model, rules), json.loads(tags), "the policy in force")
        known = {name: (digest, frozenset(held)) for name, (digest, held) in json.loads(people).items()}
        seen_by = _sets(scopes), _sets(labels), frozenset(json.loads(observed))
        return cls(policy, known, *seen_by, json.loads(fingerprints))

    def as_row(self) -> dict[str, str]:
        """Texts to keep. Of attributes only a digest is kept."""
        model, rules = self.policy.rules.texts
        return {"model": model, "rules": rules, **{name: text.decode() for name, text in self._texts().items()}}

    @property
    def change(self) -> str:
        """What this rulebook is called while it waits: the sha256 (hex) of all of it."""
        return sha256(strict_json.dumps([self.policy.version, *map(bytes.decode, self._texts().values())])).hexdigest()

    def person(self, name: str) -> Person:
        """What is known of somebody."""
        return self.people.get(name, _person(Profile()))

    def _texts(self) -> dict[str, bytes]:
        return {
            "tags": strict_json.dumps({tool: sorted(tags) for tool, tags in self.policy.rules.tags.items()}),
            "people": strict_json.dumps({name: [digest, sorted(held)] for name, (digest, held) in self.people.items()}),
            "scopes": strict_json.dumps({tool: sorted(needed) for tool, needed in self.scopes.items()}),
            "labels": strict_json.dumps({tool: sorted(given) for tool, given in self.labels.items()}),
            "observed": strict_json.dumps(sorted(self.observed)),
            "fingerprints": strict_json.dumps(dict(self.fingerprints)),
        }


def _sets(text: str) -> dict[str, frozenset[str]]:
    return {tool: frozenset(found) for tool, found in json.loads(text).items()}


def _person(profile: Profile) -> Person:
    keys = {_KEY + key.fingerprint for key in profile.keys}
    return sha256(strict_json.dumps([profile.tenant, dict(profile.attributes)])).hexdigest(), profile.scopes | keys


def loosenings(old: Rulebook, new: Rulebook, questions: Iterable[AccessRequest]) -> list[str]:
    """One line for everything found that `new` lets through and `old` does not; empty where it only tightens.

    Decisions are compared over `questions` and generated ones (`policy.diff`). What cannot be judged counts as looser:
    what no question can settle (`policy.tightening`), another tenant or other attributes of a principal, other labels
    of a tool where conditions ask what was seen, a tool that is not what it was, and rules with more questions to them
    than can be asked.
    """
    found = diff(old.policy, new.policy, questions)
    lines = [_decided(change) for change in found.decisions if change.direction == "looser"]
    if not found.complete:
        lines.append("there is more to ask about the changed rules than can be asked, so what they allow is not known")
    lines += unproven(old.policy.rules, new.policy.rules, found)
    return [*lines, *_people(old.people, new.people), *_tools(old, new)]


def _decided(change: DecisionChange) -> str:
    asked = change.request
    who = f"{asked.principal.subject} via {asked.principal.client}"
    return f"{asked.act} {asked.tool}, for example by {who}: {change.ways}"


def _people(old: Mapping[str, Person], new: Mapping[str, Person]) -> Iterator[str]:
    nobody = _person(Profile())
    for name, (digest, scopes) in sorted(new.items()):
        before, held = old.get(name, nobody)
        if gained := sorted(scopes - held):
            yield f"{name} gains {', '.join(each if each.startswith(_KEY) else f'scope {each}' for each in gained)}"
        if digest != before:
            yield f"{name} has another tenant or other attributes"
    for name, (digest, _) in sorted(old.items()):
        if name not in new and digest != nobody[0]:
            yield f"{name} is not listed any more, and so has no tenant and no attributes"


def _tools(old: Rulebook, new: Rulebook) -> Iterator[str]:
    for tool, needed in sorted(new.scopes.items()):
        if dropped := sorted(old.scopes.get(tool, needed) - needed):
            yield f"{tool} no longer needs the scope {' '.join(dropped)}"
    for tool, given in sorted(new.labels.items()):
        if new.policy.uses_seen and old.labels.get(tool, given) != given:
            yield f"{tool} gives its results other labels"
    for tool, now in sorted(new.fingerprints.items()):
        if old.fingerprints.get(tool, now) != now:
            yield f"{tool} is not the tool it was: what it does, takes or shows is another"
    for tool in sorted(new.observed - old.observed):
        yield f"{tool} is only observed: policy is not obeyed there"
