"""From descriptions to definitions: what is understood, and what is refused with a reason."""

import json
from typing import Any

import pytest

from mcp_guard.manifest.imports import described
from mcp_guard.manifest.openapi.document import Source
from mcp_guard.model.errors import Invalid
from tests.manifest.openapi.texts import Doc, answers, api, json_body, large, one, operation, parameter, read

PET: Doc = {
    "type": "object",
    "required": ["id", "name"],
    "properties": {
        "id": {"type": "integer", "readOnly": True},
        "name": {"type": "string"},
        "secret": {"type": "string", "writeOnly": True},
        "parent": {"$ref": "#/components/schemas/Pet"},
    },
}
PETS: Doc = {"components": {"schemas": {"Pet": PET}}}
REF: Doc = {"$ref": "#/components/schemas/Pet"}


def _why(*parameters: Doc, **more: Any) -> str:
    return str(one(*parameters, **more).get("unusable", ""))


@pytest.mark.holds("import:operations")
def test_arguments_stand_where_the_description_has_them() -> None:
    found = one(
        parameter("pet-id", "path", {"type": "integer"}),
        parameter("tags[]", schema={"type": "array", "items": {"type": "string"}}),
        parameter("X-Request-ID", "header"),
        parameter("Accept", "header"),
        path="/pets/{pet-id}",
    )
    assert found["path"] == "/pets/{pet_id}"
    assert found["query"] == {"tags[]": "{tags__}"}
    assert found["headers"] == {"X-Request-ID": "{X_Request_ID}"}
    assert found["inputSchema"]["required"] == ["pet_id"]
    assert found["inputSchema"]["additionalProperties"] is False


@pytest.mark.holds("import:operations")
def test_the_same_name_in_two_places_is_two_arguments() -> None:
    found = one(parameter("id", "path"), parameter("id"), parameter("id", "header"), path="/x/{id}")
    assert set(found["inputSchema"]["properties"]) == {"id", "query_id", "header_id"}
    assert (found["path"], found["query"], found["headers"]) == ("/x/{id}", {"id": "{query_id}"}, {"id": "{header_id}"})


@pytest.mark.holds("import:operations")
def test_parameters_of_the_path_hold_for_its_operations_and_can_be_said_anew() -> None:
    shared = {"parameters": [parameter("id", "path"), parameter("page", schema={"type": "string"})]}
    item = {**shared, "get": operation(parameter("page", schema={"type": "integer"}))}
    (found,) = read(api({"/x/{id}": item})).values()
    assert found["inputSchema"]["properties"] == {"id": {"type": "string"}, "page": {"type": "integer"}}


def test_what_has_no_type_can_only_be_a_single_value() -> None:
    found = one(parameter("q", schema={"maxLength": 3}))
    assert found["inputSchema"]["properties"]["q"]["type"] == ["boolean", "number", "string"]


@pytest.mark.holds("import:operations")
def test_operations_without_an_id_are_called_by_method_and_path() -> None:
    bare = operation(parameter("id", "path"))
    del bare["operationId"]
    assert list(read(api({"/a/{id}/b-c": {"get": bare}, "/": {"get": {"responses": {}}}}))) == ["get_a_id_b_c", "get"]


@pytest.mark.holds("import:operations")
def test_members_of_a_plain_body_are_arguments_and_read_only_ones_are_none() -> None:
    found = one(method="post", requestBody=json_body(REF), whole=PETS)
    assert found["json"] == {"name": "{name}", "secret": "{secret}", "parent": "{parent}"}
    assert found["inputSchema"]["required"] == ["name"]
    assert found["inputSchema"]["$defs"]["Pet"]["required"] == ["name"]


@pytest.mark.holds("import:operations")
@pytest.mark.parametrize(
    ("body", "parameters"),
    [
        (json_body({"type": "array", "items": REF}), []),
        (json_body({"allOf": [REF]}), []),
        (json_body({"type": "object", "additionalProperties": {"type": "string"}}), []),
        (json_body({"type": "object", "properties": {"a": {}}, "minProperties": 1}), []),
        (json_body(REF) | {"required": False}, []),
        (json_body(REF), [parameter("name")]),
        (json_body({"oneOf": [REF, {"type": "null"}]}), []),
    ],
)
def test_any_other_body_is_one_argument(body: Doc, parameters: list[Doc]) -> None:
    found = one(*parameters, method="put", requestBody=body, whole=PETS)
    assert found["json"] == "{body}"
    assert "body" in found["inputSchema"]["properties"]
    assert ("body" in found["inputSchema"]["required"]) is body["required"]


@pytest.mark.holds("import:operations")
@pytest.mark.parametrize(
    ("responses", "properties"),
    [
        (answers(REF), None),
        (answers({"type": "array", "items": REF}), {"result": {"type": "array", "items": {"$ref": "#/$defs/Pet"}}}),
        (answers({"type": "string"}, "2XX"), {"result": {"type": "string"}}),
    ],
)
def test_the_result_where_the_description_says_it(responses: Doc, properties: Doc | None) -> None:
    found = one(responses=responses, whole=PETS)["outputSchema"]
    assert found.get("properties") == properties
    assert found["type"] == "object"


@pytest.mark.parametrize(
    "responses",
    [
        {"204": {"description": ""}},
        {**answers(REF), "204": {"description": ""}},
        {"default": answers(REF)["200"]},
        answers({}),
        answers({"oneOf": [{"type": "object"}, {"type": "array"}]}),
        answers({"$ref": "https://evil.example/schema.json"}),
        answers({"$ref": "#/components/schemas/Missing"}),
        {"200": {"content": {"text/csv": {"schema": REF}}}},
    ],
)
def test_no_result_is_promised_where_it_does_not(responses: Doc) -> None:
    found = one(responses=responses, whole=PETS)
    assert "outputSchema" not in found
    assert "unusable" not in found


@pytest.mark.holds("import:operations")
@pytest.mark.parametrize(
    ("written", "here"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        (
            {"type": "string", "enum": ["a"], "nullable": True},
            {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
        ),
        ({"type": "number", "maximum": 3, "exclusiveMaximum": True}, {"type": "number", "exclusiveMaximum": 3}),
        ({"type": "number", "maximum": 3, "exclusiveMaximum": False}, {"type": "number", "maximum": 3}),
        ({"type": "integer", "format": "int32", "example": 3, "x-unit": "m"}, {"type": "integer"}),
        ({"type": "object", "discriminator": {"propertyName": "a"}, "xml": {}}, {"type": "object"}),
        ({"type": "string", "pattern": "(?=a)b"}, {"type": "string"}),
    ],
)
def test_schemas_of_3_0_are_those_of_2020_12(written: Doc, here: Doc) -> None:
    body = json_body({"type": "object", "properties": {"a": written}})
    assert one(method="post", requestBody=body)["inputSchema"]["properties"]["a"] == here


def test_beside_a_reference_nothing_counts_in_3_0_and_everything_in_3_1() -> None:
    body = json_body({"type": "object", "properties": {"a": {**REF, "minProperties": 1}}})
    old = one(method="post", requestBody=body, whole=PETS)["inputSchema"]["properties"]["a"]
    new = one(method="post", requestBody=body, whole={**PETS, "version": "3.1.0"})["inputSchema"]["properties"]["a"]
    assert (old, new) == ({"$ref": "#/$defs/Pet"}, {"$ref": "#/$defs/Pet", "minProperties": 1})


def test_lists_of_types_of_3_1() -> None:
    found = one(parameter("a", schema={"type": ["integer", "null"]}), whole={"version": "3.1.0"})
    assert found["inputSchema"]["properties"]["a"] == {"type": ["integer", "null"]}


@pytest.mark.holds("import:never-wrong")
@pytest.mark.parametrize(
    ("parameters", "more", "why"),
    [
        ([parameter("a", "cookie")], {}, "cookie"),
        ([parameter("a", "querystring")], {}, "where none can"),
        ([parameter("a", schema={"type": "object"})], {}, "list or an object"),
        ([parameter("a", schema=REF)], {"whole": PETS}, "list or an object"),
        ([parameter("a", schema={"anyOf": [{"type": "string"}, {"type": "object"}]})], {}, "list or an object"),
        ([parameter("a", "header", {"type": "array", "items": {"type": "string"}})], {}, "list or an object"),
        ([parameter("a", "path", {"type": "array"})], {"path": "/{a}"}, "list or an object"),
        (
            [parameter("a", schema={"type": "array", "items": {"type": "string"}}, explode=False)],
            {},
            "not written as one",
        ),
        ([parameter("a", schema={"type": "array", "items": {"type": "object"}})], {}, "not written as one"),
        ([parameter("a", schema={"type": "array"})], {}, "not written as one"),
        ([parameter("a", schema={"type": "array", "items": {"type": ["string", "null"]}})], {}, "not written as one"),
        ([parameter("a", style="deepObject")], {}, "style"),
        ([parameter("a", style="pipeDelimited")], {}, "style"),
        ([parameter("a", "path", style="matrix")], {"path": "/{a}"}, "style"),
        ([parameter("a", allowReserved=True)], {}, "style"),
        ([{"name": "a", "in": "query", "content": {"application/json": {}}}], {}, "media type"),
        ([{"name": "a", "in": "path", "schema": {"type": "string"}}], {"path": "/{a}"}, "not required"),
        ([parameter("a", "path")], {}, "not the same"),
        ([], {"path": "/{a}"}, "not the same"),
        ([parameter("a", "path")], {"path": "/{a}?x=1"}, "more than a path"),
        ([parameter("a"), parameter("a")], {}, "same name and place"),
        ([parameter("a-b"), parameter("a.b"), parameter("a_b")], {}, "would be the argument"),
        ([parameter("a" * 500)], {}, "too long"),
        ([{"$ref": "file:///etc/passwd"}], {}, "leaves the document"),
        ([{"$ref": "https://evil.example/x.json#/a"}], {}, "leaves the document"),
        ([{"$ref": "../other.yaml#/a"}], {}, "leaves the document"),
        ([{"$ref": "#/components/parameters/none"}], {}, "leads nowhere"),
        ([parameter("a", schema={"$ref": "file:///etc/passwd"})], {}, "leaves the document"),
        ([{"$ref": "#/paths/~1x/get/parameters/0"}], {}, "not what OpenAPI has there"),
        ([], {"method": "get", "requestBody": json_body({})}, "no body"),
        ([], {"method": "post", "requestBody": {"content": {"multipart/form-data": {}}}}, "does not say its fields"),
        ([], {"method": "post", "requestBody": json_body({"$ref": "http://evil.example/"})}, "leaves the document"),
        (
            [],
            {
                "method": "post",
                "requestBody": json_body({"type": "object", "properties": {"a": {}}, "required": ["b"]}),
            },
            "does not describe",
        ),
        ([], {"method": "trace"}, "method"),
        ([], {"operationId": "x" * 500}, "too long"),
    ],
)
def test_what_cannot_be_sent_as_described_is_refused_with_the_reason(
    parameters: list[Doc], more: dict[str, Any], why: str
) -> None:
    assert why in _why(*parameters, **more)


@pytest.mark.holds("import:never-wrong")
def test_operations_that_would_be_the_same_tool_are_none() -> None:
    def named(name: str) -> Doc:
        return {"get": operation(operationId=name)}

    found = read(api({"/a": named("x"), "/b": named("x"), "/c": named("a.b"), "/d": named("A_b"), "/e": named("e")}))
    assert {name for name, one in found.items() if "unusable" in one} == {"x", "a.b", "A_b"}


@pytest.mark.holds("import:hostile")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "OpenAPI"),
        ("[]", "OpenAPI"),
        ('{"swagger": "2.0"}', "OpenAPI"),
        ('{"openapi": "3.2.0"}', "OpenAPI"),
        ('{"openapi": "3.0.0", "openapi": "3.0.0"}', "twice"),
        ('{"openapi": ', "not JSON"),
        ("openapi: 3.0.0\nopenapi: 3.0.0\n", "twice"),
        ("openapi: 3.0.0\ninfo: {title: a\u202eb}\n", "hidden"),
        ("openapi: 3.0.0\nx: !!python/object/apply:os.system ['true']\npaths: {}\nopenapi: 1\n", ""),
        (
            "a: &a ["
            + "x," * 9
            + "]\n"
            + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(6)),
            "too many values",
        ),
        ('{"openapi": "3.0.0", "x": ' + "[" * 100 + "]" * 100 + "}", "nested"),
    ],
    ids=range(11),
)
def test_documents_that_are_none(text: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        described(Source("api", text.encode()))
    assert message in str(caught.value.problems[0])


def test_yaml_as_others_write_it() -> None:
    text = """
openapi: 3.0.3
info: {title: t, version: 1.0}
paths:
  /a:
    get:
      operationId: a
      parameters: [{name: day, in: query, schema: {type: string, format: date, default: 2020-02-03}}]
      responses:
        200: {description: fine, content: {application/json: {schema: {type: object}}}}
"""
    (found,) = described(Source("api.yaml", text.encode())).values()
    assert found["outputSchema"] == {"type": "object"}
    assert found["inputSchema"]["properties"]["day"]["default"] == "2020-02-03"  # type: ignore[index]


@pytest.mark.holds("import:hostile")
def test_schemas_that_lead_to_each_other_in_every_way_are_read_in_time() -> None:
    schemas: Doc = {f"S{n}": {"allOf": [{"$ref": f"#/components/schemas/S{n + 1}"}] * 2} for n in range(60)}
    schemas["S60"] = {"type": "string"}
    whole = {"components": {"schemas": schemas}}
    found = one(parameter("a", schema={"$ref": "#/components/schemas/S0"}), whole=whole)
    assert len(found["inputSchema"]["$defs"]) == 61


@pytest.mark.holds("import:operations")
def test_a_large_description_is_read_as_a_whole() -> None:
    found = read(large())
    assert len(found) == 300
    assert [name for name, one in found.items() if "unusable" in one] == []
    update = found["resource7s/update"]
    assert update["path"] == "/orgs/{org}/resource7s/{resource_id}"
    assert "id" not in update["inputSchema"]["properties"]
    assert set(update["inputSchema"]["required"]) == {"org", "resource_id", "name"}
    assert len(update["inputSchema"]["$defs"]) == 60
    assert json.loads(json.dumps(update)) == update


UPLOAD: Doc = {
    "type": "object",
    "required": ["title"],
    "properties": {
        "title": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "photo": {"type": "string", "format": "binary", "description": "A picture."},
    },
}


def _form(kind: str, schema: Doc, **more: Any) -> Doc:
    return {"requestBody": {"content": {kind: {"schema": schema, **more}}}}


@pytest.mark.holds("import:forms")
def test_the_fields_of_a_form_are_arguments() -> None:
    plain = {**UPLOAD, "properties": {name: UPLOAD["properties"][name] for name in ("title", "tags")}}
    found = one(parameter("title"), method="post", **_form("application/x-www-form-urlencoded; charset=utf-8", plain))
    assert found["form"] == {"title": "{body_title}", "tags": "{tags}"}
    assert found["query"] == {"title": "{title}"}
    assert found["inputSchema"]["required"] == ["body_title"]
    assert "files" not in found


@pytest.mark.holds("import:forms")
def test_bytes_of_a_multipart_form_are_files() -> None:
    said = {"photo": {"contentType": "image/png"}}
    found = one(method="post", **_form("multipart/form-data", UPLOAD, encoding=said))
    assert found["multipart"] == {"title": "{title}", "tags": "{tags}", "photo": "{photo}"}
    assert found["files"] == {"photo": "image/png"}
    photo = found["inputSchema"]["properties"]["photo"]
    assert (photo["type"], photo["description"]) == ("string", "A file, by its path. A picture.")


@pytest.mark.holds("import:forms")
@pytest.mark.parametrize(
    ("kind", "schema", "more", "why"),
    [
        ("multipart/form-data", {}, {}, "does not say its fields"),
        ("multipart/form-data", {"type": "object", "additionalProperties": True}, {}, "does not say its fields"),
        ("multipart/form-data", {"type": "object", "properties": {"x": {"type": "object"}}}, {}, "neither a single"),
        ("multipart/form-data", UPLOAD, {"encoding": {"photo": {"headers": {}}}}, "a way of its own"),
        ("multipart/form-data", UPLOAD, {"encoding": {"tags": {"explode": False}}}, "a way of its own"),
        ("application/xml", UPLOAD, {}, "neither application/json nor a form"),
    ],
)
def test_what_no_form_can_be_sent_as_is_refused(kind: str, schema: Doc, more: Doc, why: str) -> None:
    assert why in _why(method="post", **_form(kind, schema, **more))
