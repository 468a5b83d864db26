"""Tenants (I12): whatever one tenant's rows, roles, calls and records are, another cannot tell."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_guard.admin.tokens import Wish
from mcp_guard.build import Guard, open_guard, open_tokens
from mcp_guard.build.definition import load_directory
from mcp_guard.config.load import load
from mcp_guard.demo.home import example_home
from mcp_guard.identity.claims import ClaimMap, principal_of
from mcp_guard.identity.directory import Directory, Profile
from mcp_guard.identity.refusal import TokenRefused
from mcp_guard.model.call import ToolCall
from mcp_guard.model.errors import UnknownTool
from mcp_guard.model.principal import Principal
from mcp_guard.server.resources import Resources, UnknownResource
from tests.policy.conftest import row

TENANTS = ("acme", "globex", "initech")
TOOLS = ("orders_get", "payments_refund", "mail_send")
SUBJECTS = ("user:alice", "user:bob", "user:carol")
FILTERS = {"tool": "orders_get", "effect": "deny", "kind": "read", "status": "ok", "text": "alice"}
CLIENTS = ("agent:one", "agent:two")
ROLES = ("role:a", "role:b")

CONFIG = """\
apiVersion: mcp-guard/v1
name: shared
tools: [tools.yaml]
policy: {model: model.conf, rules: policy.csv, principals: principals.yaml}
identity: {local: {allow: true, subject: "user:alice", tenant: acme}}
"""
MANIFEST = """\
apiVersion: mcp-guard/v1
kind: Tools
tools:
  - name: orders_get
    description: Look.
    tags: [risk:low]
    effects: none
    inputSchema: {type: object, properties: {}}
    python: {function: "shared_tools:look"}
  - name: payments_refund
    description: Act.
    tags: [risk:high]
    inputSchema: {type: object, properties: {}}
    python: {function: "shared_tools:act"}
  - name: mail_send
    description: Act.
    tags: [risk:high]
    scopes: [mail:send]
    inputSchema: {type: object, properties: {}}
    python: {function: "shared_tools:act"}
"""
FUNCTIONS = """\
def look() -> str:
    return "seen"

def act() -> str:
    return "done"
"""
# Carol belongs to one tenant; Alice and Bob are names that every tenant may have.
PRINCIPALS = """\
apiVersion: mcp-guard/v1
kind: Principals
principals:
  "user:alice": {scopes: [mail:send]}
  "user:carol": {tenant: globex, scopes: [mail:send], attributes: {team: a}}
"""
ALWAYS = row(id="who-am-i", act="*", tool="guard:*", why="everybody may know who they are")

_rows = st.fixed_dictionaries(
    {
        "who": st.sampled_from(["*", *ROLES, *ROLES, "user:alice", "agent:hop"]),
        "via": st.sampled_from(["*", "*", "*", "agent:one", "role:a"]),
        "tenant": st.sampled_from(["*", "*", *TENANTS]),
        "act": st.sampled_from(["*", "*", "list", "call", "audit"]),
        "tool": st.sampled_from(["*", "*", "*", *TOOLS, "risk:high"]),
        "when": st.sampled_from(
            ["True", "True", "True", 'r.ctx.subject.tenant == "acme"', '"role:a" in r.ctx.subject.roles']
        ),
        "eft": st.sampled_from(["allow", "allow", "allow", "deny"]),
        "rows": st.sampled_from(["own", "tenant", "tenant", "all"]),
    }
)
_links = st.builds(
    lambda member, role, tenant: f"g, {member}, {role}, {tenant}",
    st.sampled_from([*SUBJECTS, *SUBJECTS, *CLIENTS, "agent:hop"]),
    st.sampled_from(ROLES),
    st.sampled_from(TENANTS),
)


def _row(number: int, rows: str, **columns: str) -> str:
    reading = columns["act"] == "audit" and columns["eft"] == "allow"
    return row(id=f"r{number}", then=f"rows={rows}" if reading else "-", **columns)


policies = st.builds(
    lambda rules, links: [*(_row(number, **rule) for number, rule in enumerate(rules)), *links],
    st.lists(_rows, min_size=3, max_size=8),
    st.lists(_links, min_size=2, max_size=8, unique=True),
)


@dataclass(frozen=True)
class Person:
    """Somebody with a credential: a token of the guard's own, or the claims of an issuer's."""

    subject: str
    client: str
    tenant: str
    claimed: frozenset[str] | None = None
    hop: str | None = None

    async def arrive(self, guard: Guard, tokens: Mapping["Person", str]) -> Principal:
        if self.claimed is None:
            return await guard.authenticate(tokens[self])
        claims: dict[str, object] = {
            "sub": self.subject.removeprefix("user:"),
            "client_id": self.client.removeprefix("agent:"),
            "org": self.tenant,
            "roles": sorted(self.claimed),
            "scope": "mail:send",
        }
        if self.hop:
            claims["act"] = {"sub": self.hop}
        return principal_of(claims, ClaimMap(), guard.definition.directory)


def _everybody() -> st.SearchStrategy[Person]:
    def person(subject: str, client: str, tenant: str, claimed: frozenset[str] | None, hop: str | None) -> Person:
        tenant = "globex" if subject == "user:carol" else tenant
        return Person(subject, client, tenant, claimed, None if claimed is None else hop)

    return st.builds(
        person,
        st.sampled_from(SUBJECTS),
        st.sampled_from(CLIENTS),
        st.sampled_from(TENANTS),
        st.none() | st.frozensets(st.sampled_from(["a", "b"]), max_size=2),
        st.sampled_from([None, None, "hop"]),
    )


persons = _everybody()

Deed = tuple[Person, str]
_deeds: st.SearchStrategy[list[Deed]] = st.lists(
    st.tuples(persons, st.sampled_from([*TOOLS, "no_such_tool", "list", "read"])), min_size=3, max_size=10
)


@asynccontextmanager
async def opened(
    home: Path, rules: Sequence[str], people: set[Person]
) -> AsyncIterator[tuple[Guard, dict[Person, Principal]]]:
    """A real home with a store of its own, and everybody arrived."""
    home.mkdir()
    files = {
        "mcp-guard.yaml": CONFIG,
        "tools.yaml": MANIFEST,
        "shared_tools.py": FUNCTIONS,
        "principals.yaml": PRINCIPALS,
    }
    files["model.conf"] = (example_home() / "policy" / "model.conf").read_text(encoding="utf-8")
    files["policy.csv"] = "".join(f"{line}\n" for line in [ALWAYS, *rules])
    for name, text in files.items():
        (home / name).write_text(text, encoding="utf-8")
    settings = load(home)
    tokens: dict[Person, str] = {}
    async with open_tokens(settings, load_directory(settings)) as admin:
        for person in sorted((each for each in people if each.claimed is None), key=str):
            tokens[person], _ = await admin.create(Wish(person.subject, person.client, person.tenant, None, "1h"))
    async with open_guard(settings, serving=False, verbosity=-1) as guard:
        yield guard, {person: await person.arrive(guard, tokens) for person in people}


async def read(guard: Guard, who: Principal, uri: str) -> Any:
    """A resource as the wire would show it; `None` where it is not there for this reader."""
    try:
        return json.loads(await Resources(guard).read(who, uri))
    except UnknownResource:
        return None


async def do(guard: Guard, who: Principal, deed: str) -> tuple[str, object]:
    """One deed; its call id, and what came of it without what differs from run to run."""
    if deed == "list":
        return "", [tool.name for tool in await guard.list_tools(who)]
    if deed == "read":
        return "", (await read(guard, who, "audit://records")) is None
    call = ToolCall(guard.new_call_id(), deed, {})
    try:
        answer = await guard.call(who, call)
    except UnknownTool:
        return call.id, "unknown"
    return call.id, json.loads(json.dumps(answer.structured).replace(call.id, "ID"))


def likeness(record: Mapping[str, Any]) -> object:
    """A record without positions, times, hashes and ids."""
    decision = record.get("decision") or {}
    kept = {name: record.get(name) for name in ("kind", "actor", "tool", "status", "code", "executed")}
    state = {name: value for name, value in (record.get("state") or {}).items() if name != "call"}
    return kept | {"decision": [decision.get(name) for name in ("effect", "rule", "reason")], "state": state}


async def view(guard: Guard, who: Principal) -> dict[str, object]:
    """Everything a principal can see of the guard."""
    permissions = await read(guard, who, "guard://permissions")
    page = await read(guard, who, "audit://records?limit=500")
    return {
        "tools": [tool.name for tool in guard.visible_tools(who)],
        "permissions": None if permissions is None else permissions["tools"],
        "whoami": await read(guard, who, "guard://whoami"),
        "listed": [resource.uri for resource in Resources(guard).listed(who)],
        "records": None if page is None else [likeness(record) for record in page["records"]],
    }


def reads_all(guard: Guard, who: Principal) -> bool:
    return guard.records.decide(who, "audit", "audit:records").then.rows == "all"


def about(tenant: str, line: str) -> bool:
    """Whether a row or link says anything of a tenant."""
    columns = line.split(", ")
    return columns[4 if columns[0] == "p" else 3] in ("*", tenant)


_fresh = count()


@pytest.mark.holds("tenants:separate")
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules=policies, deeds=_deeds, tenant=st.sampled_from(TENANTS))
async def test_nothing_changes_for_a_tenant_when_the_others_are_taken_away(
    rules: list[str], deeds: list[Deed], tenant: str, tmp_path: Path
) -> None:
    """The same home twice, once with every tenant's rows, roles and calls, once with one tenant's alone."""
    seen: list[object] = []
    for told in (lambda _: True, lambda line: about(tenant, line)):
        alone = bool(seen)
        chosen = [(person, deed) for person, deed in deeds if not alone or person.tenant == tenant]
        home = tmp_path / f"home-{next(_fresh)}"
        async with opened(home, list(filter(told, rules)), {person for person, _ in chosen}) as (guard, people):
            outcomes = [(person, await do(guard, people[person], deed)) for person, deed in chosen]
            ours = {person: who for person, who in people.items() if person.tenant == tenant}
            views = {person: await view(guard, ours[person]) for person, _ in chosen if person in ours}
            if any(reads_all(guard, who) for who in ours.values()):
                for seen_by in views.values():
                    del seen_by["records"]
        seen.append(([outcome for person, (_, outcome) in outcomes if person in ours], views))
    assert seen[0] == seen[1]


@pytest.mark.holds("tenants:separate")
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules=policies, deeds=_deeds)
async def test_no_way_of_asking_shows_another_tenant_s_records(
    rules: list[str], deeds: list[Deed], tmp_path: Path
) -> None:
    """By page, filter, cursor and call id: what is shown is of the reader's tenant, or a row grants all."""
    home = tmp_path / f"home-{next(_fresh)}"
    async with opened(home, rules, {person for person, _ in deeds}) as (guard, people):
        calls = {(await do(guard, people[person], deed))[0]: person.tenant for person, deed in deeds}
        for person, who in people.items():
            if reads_all(guard, who):
                assert any("rows=all" in line and about(person.tenant, line) for line in rules)
                continue
            asked = [f"audit://records?actor={subject}&limit=500" for subject in SUBJECTS]
            asked += [
                f"audit://records?{name}={value}"
                for name, value in (
                    ("tool", TOOLS[0]),
                    ("effect", "deny"),
                    ("kind", "read"),
                    ("status", "ok"),
                    ("text", "alice"),
                )
            ]
            asked += [f"audit://records?before={n}&limit=3" for n in (1, 5, 9, 99)] + ["audit://records?after=0"]
            asked += [f"audit://records?call={call}" for call in calls if call] + [
                f"audit://call/{call}" for call in calls if call
            ]
            for uri in asked:
                found = await read(guard, who, uri)
                for record in [] if found is None else found["records"]:
                    whose = record["actor"]["tenant"] if "actor" in record else calls[record["call"]]
                    assert whose == person.tenant, uri
            for call, tenant in calls.items():
                if call and tenant != person.tenant:
                    theirs, none = [await read(guard, who, f"audit://call/{name}") for name in (call, "f" * 32)]
                    assert theirs == (none and none | {"call": call}), "a call of others looks like none"


# --- the same by attack ---------------------------------------------------------------------------------------------

SHARED = (
    row(id="sees", who="role:a", act="*", why="members of a work with everything"),
    row(id="reads", who="role:a", act="audit", tool="audit:records", then="rows=tenant", why="members of a read along"),
    row(id="own", act="audit", tool="audit:records", then="rows=own", why="everybody reads their own"),
    row(id="all", who="role:auditor", tenant="acme", act="audit", tool="audit:records", then="rows=all", why="audit"),
    "g, user:alice, role:a, acme",
    "g, user:bob, role:a, globex",
    "g, role:b, role:auditor, acme",
)
ALICE_ACME = Person("user:alice", "agent:one", "acme")
ALICE_GLOBEX = Person("user:alice", "agent:one", "globex")
BOB = Person("user:bob", "agent:one", "globex")


@pytest.mark.holds("tenants:separate")
async def test_a_name_two_tenants_have_is_two_people(tmp_path: Path) -> None:
    async with opened(tmp_path / "home", SHARED, {ALICE_ACME, ALICE_GLOBEX, BOB}) as (guard, people):
        call, outcome = await do(guard, people[ALICE_ACME], "payments_refund")
        assert outcome == {"result": "done"}
        assert (await do(guard, people[ALICE_GLOBEX], "payments_refund"))[1] == "unknown", "a role of hers elsewhere"
        assert guard.visible_tools(people[ALICE_GLOBEX]) == []
        own = await read(guard, people[ALICE_GLOBEX], "audit://records?actor=user:alice")
        assert {record["actor"]["tenant"] for record in own["records"]} == {"globex"}
        for reader in (ALICE_GLOBEX, BOB):
            assert (await read(guard, people[reader], f"audit://call/{call}"))["records"] == []
            assert (await read(guard, people[reader], f"audit://records?call={call}"))["records"] == []


@pytest.mark.holds("tenants:separate")
async def test_a_cursor_of_another_tenant_is_only_a_number(tmp_path: Path) -> None:
    async with opened(tmp_path / "home", SHARED, {ALICE_ACME, BOB}) as (guard, people):
        for person in (ALICE_ACME, BOB) * 4:
            await do(guard, people[person], "orders_get")
        theirs = (await read(guard, people[BOB], "audit://records?limit=2"))["next"]
        page = await read(guard, people[ALICE_ACME], f"audit://records?before={theirs}")
        assert {record["actor"]["tenant"] for record in page["records"]} == {"acme"}


@pytest.mark.holds("tenants:separate")
async def test_only_a_row_about_the_tenant_lets_its_auditors_read_all(tmp_path: Path) -> None:
    """`rows=all` is the whole log: whoever writes it for one tenant's auditors lets no other tenant's in."""
    auditors = [Person("user:carl", "agent:one", tenant, frozenset({"b"})) for tenant in ("acme", "globex")]
    async with opened(tmp_path / "home", SHARED, {BOB, *auditors}) as (guard, people):
        await do(guard, people[BOB], "orders_get")
        pages = [await read(guard, people[auditor], "audit://records?tool=orders_get") for auditor in auditors]
    assert [len(page["records"]) for page in pages] == [1, 0], "the role has the role only where a link says so"


@pytest.mark.holds("tenants:separate", "identity:claims")
@pytest.mark.parametrize(
    "tenant",
    [
        "*",
        "",
        " ",
        "acme ",
        "acme\n",
        "a\u200bcme",
        "../acme",
        "acme/x",
        "tenant:acme",
        ["acme"],
        {"id": "acme"},
        1,
        True,
        "a" * 64,
    ],
)
async def test_a_crafted_tenant_is_no_tenant(tenant: object, tmp_path: Path) -> None:
    claims = {"sub": "mallory", "client_id": "one", "org": tenant, "roles": ["a", "auditor"]}
    with pytest.raises(TokenRefused):
        principal_of(claims, ClaimMap(tenant_default="acme"), Directory({}))


@pytest.mark.holds("tenants:separate", "identity:claims")
async def test_nobody_of_another_tenant_becomes_somebody_known(tmp_path: Path) -> None:
    known = Directory({"user:carol": Profile("globex", frozenset({"mail:send"}))})
    claims = {"sub": "carol", "client_id": "one", "org": "acme", "scope": "mail:send"}
    with pytest.raises(TokenRefused):
        principal_of(claims, ClaimMap(), known)
