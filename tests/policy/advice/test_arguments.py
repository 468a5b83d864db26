"""Conditions against the schemas of the tools they are about."""

from collections.abc import Mapping

import pytest

from mcp_guard.policy.advice.schema import Schema
from tests.policy.conftest import Files, row

REFUND: Schema = {
    "type": "object",
    "properties": {
        "order_id": {"type": "string"},
        "amount": {"type": "number"},
        "reason": {"type": ["string", "null"]},
        "flags": {"type": "array", "items": {"type": "string"}},
        "urgent": {"type": "boolean"},
        "currency": {"enum": ["EUR", "USD"]},
        "to": {"$ref": "#/$defs/address"},
        "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "anything": {},
        "odd": {"allOf": [{"type": "string"}]},
    },
    "$defs": {
        "address": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "zip": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        }
    },
    "required": ["order_id", "amount", "flags", "to", "currency", "urgent", "limit", "anything", "odd"],
    "additionalProperties": False,
}
ORDERS: Schema = {"type": "object", "properties": {"order_id": {"type": "string"}}, "additionalProperties": False}
SCHEMAS: Mapping[str, Schema] = {"payments_refund": REFUND, "orders_get": ORDERS, "orders_search": {"type": "object"}}

Found = list[tuple[str, str, str]]


def advice(files: Files, *rows: str) -> Found:
    found = files.lint("\n".join(rows) + "\n", schemas=SCHEMAS)
    return [(problem.code, problem.severity, problem.hint) for problem in found]


@pytest.mark.holds("policy:lint-arguments")
@pytest.mark.parametrize(
    ("when", "codes"),
    [
        ("r.ctx.args.amount <= 100", []),
        ("r.ctx.args.amonut <= 100", ["argument_unknown"]),
        ("r.ctx.args.to.city == 'x'", []),
        ("r.ctx.args.to.town == 'x'", ["argument_unknown"]),
        ("r.ctx.args.to.zip == 'x'", ["argument_optional"]),
        ("'zip' in r.ctx.args and r.ctx.args.to.zip == 'x'", ["argument_unknown", "argument_optional"]),
        ("r.ctx.args.amount == 'x'", ["argument_type"]),
        ("r.ctx.args.order_id > 5", ["argument_type"]),
        ("r.ctx.args.order_id in (1, 2)", ["argument_type"]),
        ("r.ctx.args.currency in ('EUR', 'USD')", []),
        ("r.ctx.args.currency == 1", ["argument_type"]),
        ("r.ctx.args.limit > 5", []),
        ("r.ctx.args.limit == 'x'", ["argument_type"]),
        ("r.ctx.args.limit == None", []),
        ("'a' in r.ctx.args.flags", []),
        ("'a' in r.ctx.args.amount", ["argument_type"]),
        ("all_domains(r.ctx.args.flags, 'a.example')", []),
        ("all_domains(r.ctx.args.amount, 'a.example')", ["argument_type"]),
        ("matches(r.ctx.args.order_id, 'ORD-*')", []),
        ("matches(r.ctx.args.urgent, 'ORD-*')", ["argument_type"]),
        ("r.ctx.args.urgent", []),
        ("not r.ctx.args.amount", ["argument_type"]),
        ("r.ctx.args.amount > r.ctx.args.order_id", []),
        ("r.ctx.args.anything == 5 or r.ctx.args.anything == 'x'", []),
        ("r.ctx.args.anything.below == 5", []),
        ("r.ctx.args.odd == 5", []),
        ("r.ctx.args.reason == 'x'", ["argument_optional"]),
        ("'reason' in r.ctx.args and r.ctx.args.reason == 'x'", []),
        ("'raeson' in r.ctx.args", ["argument_unknown"]),
        ("r.ctx.subject.attributes.amonut == 1", []),
    ],
)
def test_one_tool(files: Files, when: str, codes: list[str]) -> None:
    found = advice(files, row(tool="payments_refund", when=when))
    assert [code for code, _, _ in found] == codes


def test_a_misspelt_argument_is_an_error_with_a_suggestion_and_a_place(files: Files) -> None:
    (problem,) = files.lint(row(tool="payments_refund", when="0 < r.ctx.args.amonut") + "\n", schemas=SCHEMAS)
    assert (problem.code, problem.severity, problem.hint) == ("argument_unknown", "error", "did you mean amount?")
    assert (problem.line, problem.column) == (1, 43)


def test_what_only_some_tools_have_is_a_warning(files: Files) -> None:
    text = row(tool="*", when="r.ctx.args.amount > 5", eft="deny") + "\n"
    found = files.lint(text, schemas={"payments_refund": REFUND, "orders_get": ORDERS})
    assert [(problem.code, problem.severity) for problem in found] == [("argument_unknown", "warning")]
    assert "orders_get" in found[0].message


def test_nothing_is_said_where_the_schema_is_open_or_unknown(files: Files) -> None:
    assert advice(files, row(tool="orders_search", when="r.ctx.args.q == 5"), row(id="m", tool="mail_send")) == []


@pytest.mark.parametrize("eft", ["allow", "deny"])
def test_an_optional_argument_is_said_with_its_consequence(files: Files, eft: str) -> None:
    (problem,) = files.lint(
        row(tool="payments_refund", when="r.ctx.args.reason == 'x'", eft=eft) + "\n", schemas=SCHEMAS
    )
    assert problem.severity == "warning"
    assert ("not allowed" if eft == "allow" else "denied") in problem.message
    assert '"reason" in r.ctx.args' in problem.hint
