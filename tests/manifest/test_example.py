"""The home at the root of the repository: without a problem, without a warning, and what its story needs."""

from pathlib import Path

import pytest

from mcp_guard.config.home import Home
from mcp_guard.config.load import load as load_home
from mcp_guard.manifest.catalog import Catalog
from mcp_guard.manifest.load import lint

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def example() -> Home:
    return load_home(ROOT, environ={})


@pytest.fixture(scope="module")
def catalog(example: Home) -> Catalog:
    found, problems = lint(ROOT, example.settings.tools, reserved=example.reserved)
    assert found is not None, "\n".join(map(str, problems))
    assert problems == [], "\n".join(map(str, problems))
    return found


def _onboarding(**names: tuple[str, ...]) -> dict[str, object]:
    tags, scopes = ("risk:medium", "toolset:onboarding"), ["customers:onboard"]
    return {name: (effects, tags, scopes) for effects, group in names.items() for name in group}


@pytest.mark.holds("manifest:example-home")
def test_the_tools_of_the_support_desk(catalog: Catalog) -> None:
    found = {name: (entry.tool.effects, entry.tool.tags, sorted(entry.tool.scopes)) for name, entry in catalog.items()}
    assert found == {
        **_onboarding(
            once=("customers_onboard", "customers_add", "accounts_open"),
            idempotent=("customers_activate", "customers_remove", "accounts_activate", "accounts_close"),
            none=("customers_get", "customers_entered"),
        ),
        "customers_delete": ("once", ("risk:high", "toolset:customers"), ["customers:delete"]),
        "mail_send": ("once", ("risk:medium", "toolset:mail"), ["mail:send"]),
        "orders_get": ("none", ("risk:low", "toolset:orders"), ["orders:read"]),
        "orders_notes": ("none", ("risk:low", "toolset:orders"), ["orders:read"]),
        "orders_search": ("none", ("risk:low", "toolset:orders"), ["orders:read"]),
        "payments_refund": ("once", ("risk:high", "toolset:payments"), ["payments:refund"]),
    }
    assert {name: entry.tool.labels for name, entry in catalog.items() if entry.tool.labels} == {
        "orders_notes": ("untrusted",)
    }


@pytest.mark.holds("manifest:example-home")
@pytest.mark.parametrize(
    ("name", "arguments", "accepted"),
    [
        ("orders_get", {"order_id": "ORD-1001"}, True),
        ("orders_get", {"order_id": "1001"}, False),
        ("orders_search", {}, True),
        ("orders_search", {"customer": "CUS-1", "status": "shipped", "limit": 5}, True),
        ("orders_search", {"limit": "5"}, False),
        ("orders_search", {"limit": 0}, False),
        ("payments_refund", {"order_id": "ORD-1001", "amount": 12.5, "reason": "late", "justification": "j"}, True),
        ("payments_refund", {"order_id": "ORD-1001", "amount": 0}, False),
        ("payments_refund", {"order_id": "ORD-1001", "amount": 1, "requested_by": "user:mallory"}, False),
        ("mail_send", {"to": ["a@b.example"], "subject": "s", "body": "b", "justification": "j"}, True),
        ("mail_send", {"to": ["a@b.example"], "subject": "s", "body": "b"}, False),
        ("mail_send", {"to": "a@b.example", "subject": "s", "body": "b", "justification": "j"}, False),
        ("mail_send", {"to": ["nobody"], "subject": "s", "body": "b", "justification": "j"}, False),
        ("mail_send", {"to": ["a@b.example"], "subject": "s\nBcc: x", "body": "b", "justification": "j"}, False),
        ("customers_delete", {"customer_id": "CUS-7"}, True),
        ("customers_delete", {"customer_id": "' OR 1=1"}, False),
    ],
)
def test_what_they_accept(catalog: Catalog, name: str, arguments: dict[str, object], accepted: bool) -> None:
    assert (catalog[name].check_arguments(arguments) == []) == accepted


def test_their_statements_run_on_the_orders_database(catalog: Catalog) -> None:
    """The statements as they are, on the schema the demo seeds, give what the output schemas promise."""
    import sqlite3
    from contextlib import closing

    from mcp_guard.model.tool import SqlSpec

    with closing(sqlite3.connect(":memory:")) as database:
        database.row_factory = sqlite3.Row
        database.executescript(
            """
            CREATE TABLE customers(id TEXT PRIMARY KEY, name TEXT, email TEXT);
            CREATE TABLE orders(id TEXT PRIMARY KEY, customer_id TEXT REFERENCES customers(id), item TEXT, total REAL,
                                status TEXT, placed_on TEXT);
            CREATE TABLE notes(id INTEGER PRIMARY KEY, order_id TEXT, written_on TEXT, text TEXT);
            INSERT INTO notes VALUES (1, 'ORD-1001', '2026-01-04', 'It is broken.');
            INSERT INTO customers VALUES ('CUS-1', 'Ada', 'ada@b.example');
            INSERT INTO orders VALUES ('ORD-1001', 'CUS-1', 'Lamp', 40.0, 'shipped', '2026-01-02'),
                                      ('ORD-1002', 'CUS-1', 'Desk', 400.0, 'placed', '2026-01-03');
            """
        )

        def run(name: str, **parameters: object) -> list[dict[str, object]]:
            spec = catalog[name].tool.connector
            assert isinstance(spec, SqlSpec)
            return [dict(row) for row in database.execute(spec.statement, parameters).fetchall()]

        nothing = {"customer": None, "status": None, "limit": None}
        everything = run("orders_search", **nothing)
        assert [row["id"] for row in everything] == ["ORD-1002", "ORD-1001"]
        assert len(run("orders_search", **{**nothing, "customer": "ada@b.example", "limit": 1})) == 1
        assert [row["id"] for row in run("orders_search", **{**nothing, "status": "shipped"})] == ["ORD-1001"]
        assert catalog["orders_search"].check_result({"rows": everything, "truncated": False}) == []
        one = run("orders_get", order_id="ORD-1001")
        assert catalog["orders_get"].check_result({"rows": one, "truncated": False}) == []
        notes = run("orders_notes", order_id="ORD-1001")
        assert len(notes) == 1
        assert catalog["orders_notes"].check_result({"rows": notes, "truncated": False}) == []
        assert run("customers_delete", customer_id="CUS-1") == []
        assert len(run("orders_get", order_id="ORD-1001")) == 1
