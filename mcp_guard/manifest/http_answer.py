"""What a manifest takes from the answer of a request: selected parts, several pages."""

from mcp_guard.kit import pointer
from mcp_guard.manifest.document import Http
from mcp_guard.manifest.report import Report
from mcp_guard.model.tool import Effects, HttpSpec, Pages


def select_of(entry: Http, report: Report) -> str | tuple[tuple[str, str], ...]:
    """What of the answer is the result; problems go to the report."""
    if entry.select is None:
        return ()
    if isinstance(entry.select, str):
        if not entry.select:
            report.at("select").error("pointer", "the whole answer is the result without it", "remove it")
        _check_pointer(entry.select, report.at("select"))
        return entry.select
    for name, where in entry.select.items():
        _check_pointer(where, report.at("select", name))
    return tuple(sorted(entry.select.items()))


def pages_of(entry: Http, report: Report) -> Pages | None:
    """How further pages are found; problems go to the report."""
    pages = entry.pages
    if pages is None:
        return None
    place = report.at("pages")
    if entry.method != "GET":
        place.error("pages", "only GET is asked for several pages", "use another method without pages:")
    if pages.next == "link":
        if pages.parameter is not None:
            place.at("as").error("pages", "a link is an address, not a cursor", "remove as:")
    else:
        if not pages.next:
            place.at("next").error("pointer", "the whole answer leads to no page", "for example /meta/next_cursor")
        _check_pointer(pages.next, place.at("next"))
    _check_pointer(pages.items, place.at("items"))
    return Pages(pages.next, pages.parameter or "", pages.items, pages.most)


def media_of(entry: Http, report: Report) -> tuple[str, ...]:
    """The types of an answer that becomes a content block; problems go to the report."""
    if entry.media is None:
        return ()
    if entry.select is not None or entry.pages is not None:
        report.at("media").error("media", "nothing can be selected from a picture", "keep it, or select: and pages:")
    return tuple(sorted(set(entry.media)))


def check_pages(spec: HttpSpec, effects: Effects, report: Report) -> None:
    """A page is a request of its own, and may be asked for again."""
    if spec.pages is not None and effects != "none":
        report.at("http", "pages").error("pages", "only a tool without effects has pages", "say effects: none if it is")


def _check_pointer(text: str, report: Report) -> None:
    try:
        pointer.parse(text)
    except ValueError as error:
        report.error("pointer", str(error), "for example /data/items")
