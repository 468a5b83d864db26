"""Manifests as text, built from the part a test is about."""

from textwrap import indent

HEAD = "apiVersion: mcp-guard/v1\nkind: Tools\n"


def manifest(*tools: str, head: str = "") -> str:
    """A manifest file of these tools; each is a block mapping."""
    items = "".join("  - " + indent(tool.strip("\n"), "    ").lstrip() + "\n" for tool in tools)
    return f"{HEAD}{head}tools:\n{items}"


def tool(
    *,
    name: str = "note_add",
    properties: str = "{text: {type: string}}",
    required: str = "[text]",
    more: str = "",
    connector: str = 'python: {function: "notes:add"}',
) -> str:
    """One tool. `more` and `connector` are lines of its mapping."""
    lines = [
        f"name: {name}",
        "description: Add a note.",
        f"inputSchema: {{type: object, properties: {properties}, required: {required}}}",
        *([more] if more else []),
        connector,
    ]
    return "\n".join(lines)


def http(url: str = '"https://api.example/notes/{text}"', more: str = "method: POST") -> str:
    return f"http: {{url: {url}, {more}}}"


def sql(statement: str = "SELECT :text", more: str = "", database: str = "sqlite:var/notes.db") -> str:
    extra = f", {more}" if more else ""
    return f'sql: {{database: "{database}", statement: "{statement}"{extra}}}'
