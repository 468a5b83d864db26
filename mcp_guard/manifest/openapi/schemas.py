"""The schemas of an operation: each with all it refers to, in the dialect the guard enforces."""

from collections.abc import Iterator, Mapping
from re import sub

from mcp_guard.manifest import foreign
from mcp_guard.manifest.openapi.document import Api, Unusable, target
from mcp_guard.manifest.schema_walk import REF_PREFIX, Schema, branches, definition, reference

SCALARS = frozenset({"string", "number", "boolean"})
_COMPONENTS = "/components/schemas/"


class Closure:
    """Takes schemas out of a document; what they refer to comes along as `defs`.

    In what is `sent` nothing is read-only, in what is received nothing that is write-only is required (OpenAPI 3.0.3,
    schema object).
    """

    def __init__(self, api: Api, *, sent: bool) -> None:
        self._api = api
        self._sent = sent
        self._names: dict[str, str] = {}
        self._leads: dict[str, list[str]] = {}
        self.defs: dict[str, Schema] = {}

    def take(self, node: object) -> Schema:
        """A schema of the document. Raises `Unusable`."""
        found, waiting = _adapted(self._api, node, self._sent)
        waiting = list(waiting)
        while waiting:
            where = waiting.pop()
            name = _name(where)
            if self._names.setdefault(name, where) != where:
                raise Unusable("two schemas it refers to have the same name")
            if name not in self.defs:
                self.defs[name], more = self._definition(where)
                self._leads[name] = [_name(one) for one in more]
                waiting += more
        return found

    def whole(self, schema: Schema) -> Schema:
        """A schema with those of `defs` it leads to."""
        used, waiting = set[str](), list(_references(schema))
        while waiting:
            name = waiting.pop()
            if name not in used and name in self.defs:
                used.add(name)
                waiting += self._leads[name]
        return schema | ({"$defs": {name: self.defs[name] for name in sorted(used)}} if used else {})

    def _definition(self, where: str) -> tuple[Schema, list[str]]:
        """Adapted once for all operations that refer to it."""
        known = self._api.adapted.get((where, self._sent))
        if known is None:
            known = _adapted(self._api, self._api.within(where), self._sent)
            self._api.adapted[where, self._sent] = known
        return known


def _adapted(api: Api, node: object, sent: bool) -> tuple[Schema, list[str]]:
    """A schema as it is enforced here, and the places it refers to."""
    rewriting = _Rewriting(api, sent=sent)
    return foreign.part(rewriting.schema(_mapping(node))), rewriting.targets


class _Rewriting:
    """Turns references into the document into references to `$defs`."""

    def __init__(self, api: Api, *, sent: bool) -> None:
        self._api = api
        self._sent = sent
        self.targets: list[str] = []

    def schema(self, schema: Mapping[str, object]) -> Schema:
        found: Schema = dict(schema)
        found.pop("$defs", None)  # referred to from the root of the document, and taken along from there
        found.pop("definitions", None)
        if "$ref" in found:
            self.targets.append(target(found["$ref"]))
            named: Schema = {"$ref": REF_PREFIX + _name(self.targets[-1])}
            found = named if self._api.old else found | named
        for keyword, value in found.items():
            if keyword in foreign.MAPS and isinstance(value, Mapping):
                found[keyword] = {name: self._below(child) for name, child in value.items()}
            elif keyword in foreign.LISTS and isinstance(value, list):
                found[keyword] = [self._below(child) for child in value]
            elif keyword in foreign.SINGLE:
                found[keyword] = self._below(value)
        return self._of_one_direction(schema, found)

    def _below(self, node: object) -> object:
        return self.schema(node) if isinstance(node, Mapping) else node

    def _of_one_direction(self, written: Mapping[str, object], found: Schema) -> Schema:
        properties, required = found.get("properties"), found.get("required")
        if not isinstance(properties, dict):
            return found
        flag = "readOnly" if self._sent else "writeOnly"
        own = written.get("properties")
        left = {name for name, child in own.items() if self._says(child, flag)} if isinstance(own, Mapping) else set()
        if left and isinstance(required, list):
            found["required"] = [name for name in required if name not in left]
        if left and self._sent:
            found["properties"] = {name: child for name, child in properties.items() if name not in left}
        return found

    def _says(self, node: object, flag: str) -> bool:
        if isinstance(node, Mapping) and "$ref" in node:
            beside = node.get(flag) is True and not self._api.old
            return beside or self._api.resolved(node).get(flag) is True
        return isinstance(node, Mapping) and node.get(flag) is True


def _name(where: str) -> str:
    own = where.removeprefix(_COMPONENTS)
    return sub(r"[^A-Za-z0-9._-]", "_", own if "/" not in own else where).strip("_") or "schema"


def kinds(schema: object, root: Mapping[str, object]) -> frozenset[str] | None:
    """The types of the values a schema lets pass, `integer` as `number`; `None` where it does not say."""
    return _kinds(schema, root, {})


def _kinds(
    schema: object, root: Mapping[str, object], known: dict[str, frozenset[str] | None]
) -> frozenset[str] | None:
    if not isinstance(schema, Mapping):
        return None
    found = [_named(schema)]
    name = reference(schema)
    if name is not None:
        if name not in known:
            known[name] = None  # while it is looked at: a circle says nothing
            known[name] = _kinds(definition(root, name), root, known)
        found.append(known[name])
    for keyword in ("anyOf", "oneOf", "allOf"):
        parts = schema.get(keyword)
        if isinstance(parts, list):
            below = [_kinds(part, root, known) for part in parts]
            found += below if keyword == "allOf" else [_either(below)]
    said = [one for one in found if one is not None]
    return frozenset.intersection(*said) if said else None


def _named(schema: Mapping[str, object]) -> frozenset[str] | None:
    kind, values = schema.get("type"), schema.get("enum", [schema["const"]] if "const" in schema else None)
    names = {kind} if isinstance(kind, str) else set(kind) if isinstance(kind, list) else None
    if names is None and isinstance(values, list):
        names = {_kind_of(value) for value in values}
    return None if names is None else frozenset("number" if name == "integer" else str(name) for name in names)


def _either(found: list[frozenset[str] | None]) -> frozenset[str] | None:
    said = [one for one in found if one is not None]
    return frozenset().union(*said) if said and len(said) == len(found) else None


def _kind_of(value: object) -> str:
    if value is None:
        return "null"
    names = ((bool, "boolean"), (str, "string"), (int | float, "number"), (list, "array"))
    return next((name for kind, name in names if isinstance(value, kind)), "object")


def lists_of_scalars(schema: Schema, root: Mapping[str, object]) -> bool:
    """Whether every list a schema lets pass holds single values only."""
    items = list(_items(schema, root, set()))
    return bool(items) and all((found := kinds(one, root)) is not None and found <= SCALARS for one in items)


def _items(schema: Mapping[str, object], root: Mapping[str, object], seen: set[str]) -> Iterator[object]:
    if "prefixItems" in schema:
        yield None
    if "items" in schema or schema.get("type") == "array":
        yield schema.get("items")
    for _, branch in branches(schema):
        yield from _items(branch, root, seen)
    name = reference(schema)
    below = definition(root, name) if name is not None and name not in seen else None
    if name is not None and below is not None:
        seen.add(name)
        yield from _items(below, root, seen)


def _mapping(node: object) -> Mapping[str, object]:
    if node is True:
        return {}
    if not isinstance(node, Mapping):
        raise Unusable("a schema of it is none")
    return node


def _references(node: object) -> Iterator[str]:
    """The definitions a schema names anywhere."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            name = reference(one)
            if name is not None:
                yield name
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
