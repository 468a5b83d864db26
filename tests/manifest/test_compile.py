"""What a tool is once its file, its defaults and its own words are put together."""

import pytest

from mcp_guard.model.tool import Retry
from tests.manifest.conftest import Compile, Lint
from tests.manifest.texts import HEAD, http, manifest, sql, tool


def test_the_example_of_the_contract_compiles(compile_tool: Compile) -> None:
    compiled = compile_tool(
        HEAD
        + """\
toolset: payments
defaults: {timeout: 10s}
tools:
  - name: payments_refund
    title: Refund an order
    description: Refund part or all of an order's payment.
    annotations: {destructiveHint: true, idempotentHint: true, openWorldHint: true}
    tags: [risk:high]
    effects: once
    scopes: [payments:refund]
    inputSchema:
      type: object
      properties: {order_id: {type: string, pattern: "^ORD-[0-9]{4,10}$"}, amount: {type: number, exclusiveMinimum: 0},
                   reason: {type: string, maxLength: 500}}
      required: [order_id, amount]
    bind: {requested_by: principal.subject}
    sensitive: [/reason]
    retry: {attempts: 3, retry_on: [timeout, connect, 429, 5xx], backoff: 200ms, max_backoff: 5s}
    idempotency: {header: Idempotency-Key}
    justification: optional
    http: {method: POST, url: "https://payments.example/v1/orders/{order_id}/refunds",
           headers: {Authorization: "Bearer ${secret:payments_key}"}, json: {amount: "{amount}", by: "{requested_by}"},
           egress: {networks: []}}
"""
    )
    assert compiled.tags == ("risk:high", "toolset:payments")
    assert compiled.timeout == 10.0
    assert compiled.retry == Retry(3, frozenset({"timeout", "connect", "429", "5xx"}), 0.2, 5.0)
    assert compiled.idempotency_header == "Idempotency-Key"
    assert list(compiled.input_schema["properties"]) == ["order_id", "amount", "reason", "justification"]  # type: ignore[call-overload]
    assert list(compiled.arguments_schema["properties"]) == ["order_id", "amount", "reason"]  # type: ignore[call-overload]
    assert compiled.input_schema["additionalProperties"] is False
    assert compiled.bind == {"requested_by": "principal.subject"}


def test_nothing_said_is_the_careful_choice(compile_tool: Compile) -> None:
    compiled = compile_tool(manifest(tool()))
    assert (compiled.effects, compiled.retry, compiled.timeout) == ("once", Retry(), 30.0)
    assert (compiled.justification, compiled.scopes, compiled.tags) == ("none", frozenset(), ())
    assert (compiled.annotations, compiled.output_schema, compiled.idempotency_header) == ({}, None, None)


def test_defaults_give_way_except_scopes_tags_and_labels_which_add_up(lint_texts: Lint) -> None:
    head = (
        "defaults: {timeout: 5s, effects: none, retry: {attempts: 2}, justification: required, "
        "scopes: [a:read], tags: [tag:a], labels: [untrusted]}\n"
    )
    own = (
        "timeout: 1s\neffects: idempotent\nretry: {attempts: 4}\njustification: none\nscopes: [b:read]\ntags: [tag:b]\n"
    )
    own += "labels: [pii, untrusted]"
    catalog, problems = lint_texts(manifest(tool(name="one"), tool(name="two", more=own), head=head))
    assert catalog is not None, problems
    one, two = catalog["one"].tool, catalog["two"].tool
    assert (one.timeout, one.effects, one.retry.attempts, one.justification) == (5.0, "none", 2, "required")
    assert (two.timeout, two.effects, two.retry.attempts, two.justification) == (1.0, "idempotent", 4, "none")
    assert (one.scopes, one.tags) == (frozenset({"a:read"}), ("tag:a",))
    assert (two.scopes, two.tags) == (frozenset({"a:read", "b:read"}), ("tag:a", "tag:b"))
    assert (one.labels, two.labels) == (("untrusted",), ("pii", "untrusted"))


@pytest.mark.holds("manifest:retry-needs-key")
@pytest.mark.parametrize(
    ("more", "connector", "fine"),
    [
        ("retry: {attempts: 2}", http(), False),
        ("retry: {attempts: 1}", http(), True),
        ("effects: idempotent\nretry: {attempts: 2}", http(), True),
        ("effects: none\nretry: {attempts: 2}", http(), True),
        ("idempotency: {header: Idempotency-Key}\nretry: {attempts: 2}", http(), True),
        ("retry: {attempts: 2}", 'python: {function: "a:b"}', False),
    ],
)
def test_a_tool_that_acts_once_is_retried_with_a_key_only(
    lint_texts: Lint, more: str, connector: str, fine: bool
) -> None:
    catalog, problems = lint_texts(manifest(tool(more=more, connector=connector)))
    assert (catalog is not None) == fine
    assert [problem.code for problem in problems] == ([] if fine else ["retry"])


@pytest.mark.holds("manifest:retry-needs-key")
def test_a_default_retry_does_not_slip_past(lint_texts: Lint) -> None:
    catalog, problems = lint_texts(manifest(tool(), head="defaults: {retry: {attempts: 2}}\n"))
    assert catalog is None
    assert [problem.code for problem in problems] == ["retry"]


@pytest.mark.holds("args:bound")
def test_a_bound_argument_disappears_from_what_is_advertised(compile_tool: Compile) -> None:
    compiled = compile_tool(
        manifest(
            tool(
                properties="{text: {type: string}, by: {type: string}}",
                required="[text, by]",
                more="bind: {by: principal.attributes.employee}",
                connector=sql("SELECT :text, :by"),
            )
        )
    )
    assert "by" not in str(compiled.input_schema)
    assert "by" not in str(compiled.arguments_schema)
    assert compiled.input_schema["required"] == ["text"]


@pytest.mark.parametrize("name", ["a-b", "class", "1a", "naïve", "a b"])
def test_a_function_takes_identifiers_only(lint_texts: Lint, name: str) -> None:
    catalog, problems = lint_texts(manifest(tool(properties=f'{{"{name}": {{type: string}}}}', required="[]")))
    assert catalog is None
    assert [problem.code for problem in problems] == ["argument_name"]


@pytest.mark.parametrize(
    "function", ["notes", "notes:", ":add", "notes:add:more", "notes.:add", "../notes:add", "no tes:a"]
)
def test_a_function_is_an_import_path(lint_texts: Lint, function: str) -> None:
    catalog, problems = lint_texts(manifest(tool(connector=f'python: {{function: "{function}"}}')))
    assert catalog is None
    assert [problem.code for problem in problems] == ["value"]


def test_nothing_is_imported_at_load(lint_texts: Lint) -> None:
    catalog, _ = lint_texts(manifest(tool(connector='python: {function: "no_such_module.anywhere:add"}')))
    assert catalog is not None


@pytest.mark.holds("manifest:sensitive-points")
@pytest.mark.parametrize(
    ("pointer", "fine"),
    [
        ("/text", True),
        ("", True),
        ("/address/city", True),
        ("/list/0", True),
        ("/list/0/name", True),
        ("/pair/1", True),
        ("/choice/b", True),
        ("/named/anything", True),
        ("/by", True),
        ("/ok", True),
        ("/rows/3/email", True),
        ("/justification", False),
        ("/txet", False),
        ("/text/more", False),
        ("/address/town", False),
        ("/list/name", False),
        ("/rows/3/phone", False),
        ("/rows/email", False),
        ("text", False),
    ],
)
def test_a_sensitive_pointer_names_something(lint_texts: Lint, pointer: str, fine: bool) -> None:
    properties = (
        "{text: {type: string}, address: {type: object, properties: {city: {type: string}}}, "
        "list: {type: array, items: {type: object, properties: {name: {type: string}}}}, "
        "pair: {type: array, prefixItems: [{type: string}, {type: string}]}, "
        "choice: {anyOf: [{type: object, properties: {a: {type: string}}}, {type: object, properties: {b: {}}}]}, "
        "named: {type: object, additionalProperties: {type: string}}}"
    )
    more = (
        "justification: optional\nbind: {by: principal.subject}\n"
        'outputSchema: {type: object, properties: {ok: {}, rows: {type: array, items: {$ref: "#/$defs/row"}}}, '
        "$defs: {row: {type: object, properties: {email: {type: string}}}}}\n"
        f'sensitive: ["{pointer}"]'
    )
    catalog, problems = lint_texts(manifest(tool(properties=properties, more=more)))
    assert (catalog is not None) == fine
    assert [problem.code for problem in problems] == ([] if fine else ["pointer"])


def test_an_object_only_its_author_can_close_is_a_warning(lint_texts: Lint) -> None:
    properties = "{a: {allOf: [{type: object, properties: {b: {type: object}}}]}}"
    catalog, problems = lint_texts(manifest(tool(properties=properties, required="[]")))
    assert catalog is not None
    assert [(problem.code, problem.severity) for problem in problems] == [("open_object", "warning")]


@pytest.mark.parametrize(
    ("default", "own", "mode"),
    [("", "", "enforce"), ("observe", "", "observe"), ("observe", "enforce", "enforce"), ("", "observe", "observe")],
)
def test_the_mode_of_a_file_gives_way_to_that_of_a_tool(default: str, own: str, mode: str, lint_texts: Lint) -> None:
    head = f"defaults: {{mode: {default}}}\n" if default else ""
    catalog, problems = lint_texts(manifest(tool(more=f"mode: {own}" if own else ""), head=head))
    assert catalog is not None, problems
    assert catalog["note_add"].tool.mode == mode
    assert catalog.observed == (("note_add",) if mode == "observe" else ())


@pytest.mark.holds("observe:never-high-risk")
@pytest.mark.parametrize(
    ("head", "more", "place"),
    [
        ("", "tags: [risk:high]\nmode: observe", (8, 5)),
        ("defaults: {mode: observe}\n", "tags: [risk:high]", (5, 5)),
        ("defaults: {mode: observe, tags: [risk:high]}\n", "", (5, 5)),
        ("defaults: {tags: [risk:high]}\n", "mode: observe", (8, 5)),
    ],
)
def test_high_risk_is_never_only_observed(head: str, more: str, place: tuple[int, int], lint_texts: Lint) -> None:
    catalog, problems = lint_texts(manifest(tool(more=more), head=head))
    assert catalog is None
    assert [(problem.code, (problem.line, problem.column)) for problem in problems] == [("observe_high_risk", place)]


def test_high_risk_that_is_obeyed_in_an_observed_file(lint_texts: Lint) -> None:
    catalog, problems = lint_texts(
        manifest(tool(more="tags: [risk:high]\nmode: enforce"), head="defaults: {mode: observe}\n")
    )
    assert catalog is not None, problems
