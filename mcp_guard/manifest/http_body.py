"""The body of a manifest's request: JSON, a form, text or files, and where arguments may stand in it."""

import os
import re

from mcp_guard.kit import references, template, units
from mcp_guard.manifest.arguments import Arguments, placed
from mcp_guard.manifest.document import Http
from mcp_guard.manifest.files import Upload
from mcp_guard.manifest.home import directory
from mcp_guard.manifest.process import Place
from mcp_guard.manifest.report import Report
from mcp_guard.manifest.values import keys, strings
from mcp_guard.manifest.written_secrets import looks_secret
from mcp_guard.model.tool import FileSpec

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PLAIN = "text/plain; charset=utf-8"


def has_json(entry: Http) -> bool:
    """Whether there is a JSON body; `json: null` is one."""
    return "body" in entry.model_fields_set


def content_type(entry: Http) -> str:
    """What the text body is; empty where there is none."""
    return (entry.content_type or _PLAIN) if entry.text is not None else ""


def check_body(entry: Http, arguments: Arguments, report: Report) -> frozenset[str]:
    """Report what is wrong with the body; the arguments it uses."""
    said = {"json": has_json(entry), "form": entry.form is not None, "body": entry.text is not None}
    said |= {"file": entry.file is not None, "multipart": entry.multipart is not None}
    given = [key for key, there in said.items() if there]
    if entry.content_type is not None and entry.text is None:
        report.at("content_type").error("body", "content_type says what body: is", "remove it")
    if not given:
        return frozenset()
    if entry.method in ("GET", "HEAD"):
        report.at(given[0]).error("body", f"a {entry.method} request has no body", "use query:, or another method")
    if len(given) > 1:
        report.at(given[1]).error("body", "a request has one body", f"keep one of {', '.join(given)}")
    if given != ["json"]:
        _check_type_is_said_once(entry, report)
    used = _json(entry, arguments, report) | _form(entry, arguments, report) | _text(entry, arguments, report)
    return used | check_files(entry, arguments, report)


def placed_value(text: str, arguments: Arguments, report: Report) -> frozenset[str]:
    """`placed`, with a warning of secrets that are written out."""
    if looks_secret(text):
        hint = "send it in a header, as ${secret:NAME}"
        report.warning("literal_secret", "this looks like a secret written out", hint)
    return placed(text, arguments, report)


def check_files(entry: Http, arguments: Arguments, report: Report) -> frozenset[str]:
    """Report what is wrong with files and parts; the arguments they use."""
    used = frozenset() if entry.file is None else _file(entry.file, arguments, report.at("file"))
    for name, part in (entry.multipart or {}).items():
        place = report.at("multipart", name)
        _check_key(name, place)
        if not name or CONTROL.search(name):
            place.error("multipart", "the name of a part is one line of text", "remove control characters")
        if isinstance(part, str):
            used |= placed_value(part, arguments, place)
        else:
            used |= _file(part, arguments, place)
    return used


def _file(upload: Upload, arguments: Arguments, report: Report) -> frozenset[str]:
    if os.open not in os.supports_dir_fd:
        report.error("unsupported", "files cannot be sent on this system", "remove it")
    used = placed(upload.path, arguments, report.at("path"), always=False)
    for name in sorted(used):
        arguments.check_scalar(name, report.at("path"))
    return used


def file_of(upload: Upload, place: Place, report: Report) -> FileSpec | None:
    """A file as the connector sends it; problems with its directory go to the report."""
    within = directory(upload.within, place.home, place.reserved, report.at("within"))
    if within is None:
        return None
    return FileSpec(upload.path, str(within), upload.content_type, units.size(upload.max_size))


def parts_of(entry: Http, place: Place, report: Report) -> tuple[tuple[str, str | FileSpec], ...]:
    """The parts of a multipart body, in their order."""
    found: list[tuple[str, str | FileSpec]] = []
    for name, part in (entry.multipart or {}).items():
        made = part if isinstance(part, str) else file_of(part, place, report.at("multipart", name))
        if made is not None:
            found.append((name, made))
    return tuple(found)


def _check_type_is_said_once(entry: Http, report: Report) -> None:
    """The checks below are for the type that is sent: a header must not make another one of it."""
    for name in entry.headers:
        if name.lower() == "content-type":
            report.at("headers", name).error("header", "the body says its type itself", "use content_type: with body:")


def _json(entry: Http, arguments: Arguments, report: Report) -> frozenset[str]:
    used: frozenset[str] = frozenset()
    for tokens, text in strings(entry.body):
        used |= placed_value(text, arguments, report.at("json", *tokens))
    for tokens, key in keys(entry.body):
        _check_key(key, report.at("json", *tokens))
    return used


def _form(entry: Http, arguments: Arguments, report: Report) -> frozenset[str]:
    used: frozenset[str] = frozenset()
    for name, text in (entry.form or {}).items():
        _check_key(name, report.at("form", name))
        used |= placed_value(text, arguments, report.at("form", name))
    return used


def _text(entry: Http, arguments: Arguments, report: Report) -> frozenset[str]:
    if entry.text is None:
        return frozenset()
    place = report.at("body")
    used = placed_value(entry.text, arguments, place)
    kind, _, parameters = content_type(entry).partition(";")
    if "charset=" in parameters and "charset=utf-8" not in parameters.lower():
        report.at("content_type").error("body", "a body is sent in UTF-8", "say charset=utf-8, or nothing")
    for name in sorted(used):
        arguments.check_scalar(name, place)
    if used and kind != "text/plain" and not _is_alone(entry.text):
        # How to keep an argument in its place is known for plain lines only; elsewhere a comma or a < could end it.
        message = f"within a text of type {kind} an argument could mean more than itself"
        place.error("template", message, 'use json: or form:, or let "{x}" be the whole body')
    return used


def _is_alone(text: str) -> bool:
    try:
        return len(template.parse(text)) == 1
    except ValueError:
        return True  # is reported as what it is


def _check_key(key: str, report: Report) -> None:
    if references.OPENING in key or _is_template(key):
        report.error("template", "keys are fixed text", "arguments stand in values only")


def _is_template(key: str) -> bool:
    try:
        return bool(template.names(key))
    except ValueError:
        return False
