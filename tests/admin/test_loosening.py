"""What counts as letting more through."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from mcp_guard.admin.loosening import Rulebook, loosenings
from mcp_guard.identity.directory import Directory, Profile
from mcp_guard.manifest.catalog import Catalog
from mcp_guard.model.sshsig import SshKey
from mcp_guard.policy.load import restore
from mcp_guard.policy.model_file import MODEL
from mcp_guard.store.transaction import Row
from tests.policy.conftest import TOOLS, row
from tests.simulators.ssh_key import SshKeyPair

ROWS = (
    row(id="small", who="role:support", when="r.ctx.args.amount <= 100"),
    row(id="large", who="role:support", when="r.ctx.args.amount > 100", eft="deny"),
    "g, user:alice, role:support, acme",
)
SEEING = (*ROWS, row(id="after", when='"untrusted" in r.ctx.seen', eft="deny"))
KEY, OTHER_KEY = (SshKey.parse(SshKeyPair().wire) for _ in range(2))
ALICE = Profile("acme", frozenset({"a"}), {"level": 1}, (KEY,))
PEOPLE = {"user:alice": ALICE}


def rulebook(
    *rows: str, people: Mapping[str, Profile] = PEOPLE, scopes: Mapping[str, frozenset[str]] | None = None
) -> Rulebook:
    policy = restore((MODEL, "\n".join(rows or ROWS) + "\n"), TOOLS, "policy")
    made = Rulebook.of(policy, Directory(people), Catalog([]))
    return replace(
        made,
        scopes=scopes or {"orders_get": frozenset({"orders:read", "orders:list"})},
        labels={"orders_get": frozenset({"pii", "untrusted"})},
        fingerprints={"orders_get": "e" * 64},
    )


LOOSER = {
    "a higher limit": rulebook(ROWS[0].replace("100", "200"), ROWS[1].replace("100", "200"), ROWS[2]),
    "a row that denies is gone": rulebook(ROWS[0].replace("<= 100", "<= 10000"), ROWS[2]),
    "somebody gets a role": rulebook(*ROWS, "g, user:mallory, role:support, acme"),
    "a scope for somebody known": rulebook(people={"user:alice": replace(ALICE, scopes=frozenset({"a", "b"}))}),
    "a scope for somebody new": rulebook(people={**PEOPLE, "user:eve": Profile(None, frozenset({"a"}))}),
    "another attribute": rulebook(people={"user:alice": replace(ALICE, attributes={"level": 2})}),
    "another tenant": rulebook(people={"user:alice": replace(ALICE, tenant="globex")}),
    "a key for somebody known": rulebook(people={"user:alice": replace(ALICE, keys=(KEY, OTHER_KEY))}),
    "another key": rulebook(people={"user:alice": replace(ALICE, keys=(OTHER_KEY,))}),
    "attributes that are gone": rulebook(people={}),
    "a tool that does something else": replace(rulebook(), fingerprints={"orders_get": "f" * 64}),
    "a tool that is only observed": replace(rulebook(), observed=frozenset({"orders_get"})),
    "a label that is taken away": replace(rulebook(*SEEING), labels={"orders_get": frozenset({"pii"})}),
    "another label": replace(rulebook(*SEEING), labels={"orders_get": frozenset({"pii", "untrusted", "secret"})}),
    "a tool that needs less": rulebook(scopes={"orders_get": frozenset({"orders:read"})}),
}
TIGHTER = {
    "the same": rulebook(),
    "a lower limit": rulebook(ROWS[0].replace("100", "50"), ROWS[1].replace("100", "50"), ROWS[2]),
    "a role that is taken away": rulebook(*ROWS[:2], row(id="other", who="role:other", eft="deny")),
    "a scope that is taken away": rulebook(people={"user:alice": replace(ALICE, scopes=frozenset())}),
    "a key that is taken away": rulebook(people={"user:alice": replace(ALICE, keys=())}),
    "a tool that needs more": rulebook(scopes={"orders_get": frozenset({"orders:read", "orders:list", "more"})}),
    "labels nobody asks for": replace(rulebook(), labels={"orders_get": frozenset()}),
    "a tool that is gone": rulebook(scopes={"other": frozenset()}),
}


@pytest.mark.holds("change:loosening")
@pytest.mark.parametrize("case", LOOSER)
def test_what_lets_more_through_is_found_and_named(case: str) -> None:
    assert loosenings(rulebook(), LOOSER[case], ())


@pytest.mark.holds("change:loosening")
@pytest.mark.parametrize("case", TIGHTER)
def test_what_only_tightens_is_nothing(case: str) -> None:
    assert loosenings(rulebook(), TIGHTER[case], ()) == []


@pytest.mark.holds("change:loosening")
def test_what_cannot_all_be_asked_counts_as_looser(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [row(id=f"r{n}", who=f"user:u{n}", eft="deny", when=f"r.ctx.args.amount > {n}") for n in range(2, 200)]
    assert any("not known" in line for line in loosenings(rulebook(), rulebook(*ROWS, *many), ()))


@pytest.mark.holds("change:loosening")
def test_a_rulebook_is_the_same_after_it_was_kept_and_has_another_name_when_anything_differs() -> None:
    kept = rulebook()
    columns = kept.as_row()
    order = ("model", "rules", "tags", "people", "scopes", "labels", "observed", "fingerprints")
    restored = Rulebook.restored(tuple(columns[name] for name in order))
    assert restored.change == kept.change
    assert loosenings(kept, restored, ()) == []
    assert "level" not in columns["people"], "of attributes only a digest is kept"
    names = {book.change for book in (*LOOSER.values(), *TIGHTER.values())}
    assert len(names) == len(LOOSER) + len(TIGHTER)
    assert TIGHTER["the same"].change == kept.change


def test_rows_are_what_the_store_gives_back() -> None:
    values: Row = tuple(rulebook().as_row().values())
    assert all(isinstance(value, str) for value in values)
