"""The `python` connector of a manifest: a function that takes the arguments by keyword."""

import keyword

from mcp_guard.manifest.arguments import Arguments
from mcp_guard.manifest.document import Python
from mcp_guard.manifest.report import Report
from mcp_guard.model.tool import PythonSpec


def compile_python(entry: Python, arguments: Arguments, report: Report) -> tuple[PythonSpec, frozenset[str]]:
    """The function of a tool; it uses every argument. Nothing is imported here: importing runs code."""
    names = entry.function.replace(":", ".").split(".")
    if any(keyword.iskeyword(name) for name in names):
        report.at("function").error("value", "a part of the import path is a word of the language", "correct the path")
    for name in sorted(arguments.types):
        if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name):
            report.at("function").error(
                "argument_name",
                "an argument of this tool cannot be a Python keyword argument",
                "rename it in inputSchema",
            )
    return PythonSpec("python", entry.function), frozenset(arguments.types)
