"""Writes the stand-alone verifier: the pure modules `audit verify` runs on, one behind the other, in one file.

Nothing is written twice: the file is made of the very lines this program verifies with. They import nothing but the
standard library and each other, and no two of them give the same name to different things; both are checked here.
"""

import ast
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import TypeGuard

from mcp_guard import __version__

MODULES = (
    "model/chain",
    "model/merkle",
    "model/tree_range",
    "model/note",
    "model/ed25519",
    "model/p256",
    "model/sshsig",
    "model/signed_decision",
    "kit/nesting",
    "kit/units",
    "audit/chain_check",
    "audit/decision_check",
    "audit/record_form",
    "audit/span",
    "audit/line_file",
    "audit/sweep",
    "audit/key_epochs",
    "audit/cut",
    "audit/statements",
    "audit/examine",
    "audit/evidence",
    "audit/progress",
    "audit/standalone",
)
"""In an order in which each needs only those before it."""

_HEADER = '''#!/usr/bin/env python3
"""Verifies audit logs of mcp-guard without mcp-guard: Python 3.11 or newer and nothing else.

    python -I -S verify.py export.jsonl --key VKEY --checkpoint FILE

`--help` shows the rest, docs/audit.md what a good verdict proves and what not. Made by `mcp-guard audit verifier` of
version {version}, from the sources named below. Licence: Apache-2.0.
"""
'''
_FOOTER = """

if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def bundle() -> str:
    """The source of the stand-alone verifier. Raises `ValueError` where modules cannot stand in one file."""
    sources = {name: (files("mcp_guard") / f"{name}.py").read_text(encoding="utf-8") for name in MODULES}
    trees = {name: ast.parse(source) for name, source in sources.items()}
    _check_names(trees)
    parts = [_HEADER.format(version=__version__), *_imports(trees.values()), ""]
    for name, source in sources.items():
        parts.append(f"\n# ---- mcp_guard/{name}.py " + "-" * (90 - len(name)) + "\n")
        parts.append(_body(source, trees[name]))
    return "\n".join(parts) + _FOOTER


def _imports(trees: Iterable[ast.Module]) -> list[str]:
    plain: set[str] = set()
    named: dict[str, set[str]] = {}
    for tree in trees:
        for node in _outside(tree):
            names = {ast.unparse(alias) for alias in node.names}
            if isinstance(node, ast.Import):
                plain |= names
            else:
                named.setdefault(node.module or "", set()).update(names)
    return [
        *(f"import {name}" for name in sorted(plain)),
        *(f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(named.items())),
    ]


def _body(source: str, tree: ast.Module) -> str:
    """A module without its imports, its docstring as a comment."""
    lines = source.splitlines()
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    kept = lines[max((node.end_lineno or 0 for node in imports), default=_end_of_docstring(tree)) :]
    said = (ast.get_docstring(tree) or "").splitlines()
    return "\n".join([*(f"# {line}".rstrip() for line in said), "", *_stripped(kept)])


def _end_of_docstring(tree: ast.Module) -> int:
    return tree.body[0].end_lineno or 0


def _stripped(lines: list[str]) -> list[str]:
    return "\n".join(lines).strip("\n").split("\n")


def _outside(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of the standard library."""
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom) and not _is_ours(node):
            yield node


def _is_ours(node: ast.stmt) -> TypeGuard[ast.ImportFrom]:
    return isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "mcp_guard"


def _check_names(trees: dict[str, ast.Module]) -> None:
    taken: dict[str, str] = {}
    for tree in trees.values():
        for node in _outside(tree):
            taken |= {alias.asname or alias.name: "" for alias in node.names}
    for name, tree in trees.items():
        for defined in _defined(tree.body):
            if defined in taken:
                raise ValueError(f"{name} and {taken[defined] or 'an import'} both say {defined}")
            taken[defined] = name
    for name, tree in trees.items():
        for ours in filter(_is_ours, tree.body):
            if any(alias.asname for alias in ours.names):
                raise ValueError(f"{name} imports something of ours under another name")


def _defined(body: Iterable[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))
