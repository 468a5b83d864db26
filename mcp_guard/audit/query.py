"""Asking the log: records by who, what and when, newest first, narrowed to the rows a reader may see.

Whoever may not read all records is told of them as `audit.told` says, and finds them by what they are told.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

import orjson

from mcp_guard.audit.anchors import all_kept
from mcp_guard.audit.commitment import committed
from mcp_guard.audit.epochs import SIGNING, stated
from mcp_guard.audit.follow import Follower, News
from mcp_guard.audit.journal import STANDING
from mcp_guard.audit.pseudonyms import names_in, pseudonyms_in, pseudonyms_of
from mcp_guard.audit.told import DECIDED, as_told
from mcp_guard.model.chain import leaf_hash
from mcp_guard.model.decision import Rows
from mcp_guard.model.disclosure import Disclosure
from mcp_guard.model.errors import LogBroken, UsageError
from mcp_guard.model.principal import Principal
from mcp_guard.store.facets import HIDDEN, facet, hidden_name
from mcp_guard.store.finder import END, Finder, Record, number_of, parse_record
from mcp_guard.store.search import Search, Word
from mcp_guard.store.side import unpack
from mcp_guard.store.store import Store
from mcp_guard.store.values import ID_KINDS
from mcp_guard.store.words import has_word, words

MAX_VALUE: Final = 512
"""Characters of a filter's value, at most."""
MAX_WORDS: Final = 8
STRETCH: Final = 2048
"""Records of the log that are looked through at a time."""
_NUMBER: Final = re.compile("[0-9]{1,15}")
"""Record numbers are shorter than this; call ids are 32 hex digits."""

_FACETS: Final = {
    "actor": "sub",
    "client": "via",
    "tenant": "tenant",
    "tool": "tool",
    "effect": "effect",
    "rule": "rule",
    "would": "would",
    "kind": "kind",
    "status": "status",
    "code": "code",
}
TEXT_FILTERS: Final = (*_FACETS, *ID_KINDS, "text")
"""The filters whose values are text."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What is asked for; everything given must hold.

    An outcome also counts as of its intent's actor, client, tenant, tool and decision. `after` and `before` are record
    numbers, both exclusive; `since` and `until` unix microseconds, from `since` on and before `until`. `text` is
    words, each of which begins a word of the tool's name or of the reason; case and accents do not matter.
    """

    actor: str | None = None
    client: str | None = None
    tenant: str | None = None
    tool: str | None = None
    effect: str | None = None
    rule: str | None = None
    would: str | None = None
    kind: str | None = None
    status: str | None = None
    code: str | None = None
    call: str | None = None
    task: str | None = None
    trace: str | None = None
    text: str | None = None
    after: int | None = None
    before: int | None = None
    since: int | None = None
    until: int | None = None
    limit: int = 50

    def spans(self, n: object) -> bool:
        """Whether a record number lies between `after` and `before`."""
        assert isinstance(n, int)
        return (self.after is None or n > self.after) and (self.before is None or n < self.before)


@dataclass(frozen=True, slots=True)
class Page:
    """Records newest first; `next` is the `before` of the following page, where there is one.

    A record is what its line says and, where it names somebody by a pseudonym, `names`.
    """

    records: list[Record]
    next: int | None = None

    def as_dict(self) -> dict[str, object]:
        found: dict[str, object] = {"records": self.records}
        if self.next is not None:
            found["next"] = self.next
        return found


class Query:
    """Questions to the log of one store. Every method raises `StoreUnavailable` where it cannot be read."""

    def __init__(self, store: Store, told: Disclosure = "why") -> None:
        """`told` is how much of decisions readers of less than all rows are told, and so can search by."""
        self._store = store
        self._told = told
        self._finder = Finder(store.reader)

    async def page(self, filters: Filters, *, rows: Rows = "all", principal: Principal | None = None) -> Page:
        """One page. `rows` other than `all` need the principal whose own or whose tenant's records are meant.

        Raises `UsageError` for a filter that cannot be looked for.
        """
        search = await self.search(filters, rows, principal)
        low, high = await self._range(filters)
        found = await self._finder.find(search, low, high, filters.limit + 1)
        records = found[: filters.limit]
        following = number_of(records[-1]) if len(found) > filters.limit else None
        return Page(await self._named(self._as_told(records, rows)), following)

    async def follow(self, filters: Filters) -> Follower:
        """What is appended from now on and is asked for, for somebody who reads everything. Raises `UsageError`."""
        search = partial(self.search, filters, "all", None)
        await search()  # a filter that cannot be looked for is refused now
        return Follower(await News.of(self._store), search, self._named)

    async def news(self) -> News:
        """What is appended from now on, for whoever sees to it who may know."""
        return await News.of(self._store)

    async def oldest_first(self, filters: Filters) -> AsyncIterator[list[int]]:
        """The numbers of all records that are asked for, oldest first, a stretch of the log at a time: memory does not
        grow with the log. `limit` does not count. For somebody who reads everything. Raises `UsageError`."""
        search = await self.search(filters, "all", None)
        low, high = await self._range(filters)
        high = min(high, await self._finder.end())
        while low < high:
            stop = min(low + STRETCH, high)
            yield [number_of(record) for record in reversed(await self._finder.find(search, low, stop, STRETCH))]
            low = stop

    async def call(self, call: str, *, rows: Rows = "all", principal: Principal | None = None) -> list[Record]:
        """Every record of a call, oldest first. `values` holds what is kept beside it, nothing sensitive; `erased`,
        where it is there, names the commitments whose values are gone."""
        found = await self._finder.find(await self.search(Filters(call=call), rows, principal), 0, END, END)
        records = [record | await self._beside(record) for record in reversed(found)]
        return await self._named(self._as_told(records, rows))

    async def find(self, which: str) -> tuple[str | None, list[Record]]:
        """A call by its id, or by the number of one of its records: its id and records, as `call` gives them.

        A record that belongs to no call stands alone; nothing is found where there is none.
        """
        if not _NUMBER.fullmatch(which):
            return which, await self.call(which)
        number = int(which)
        page = await self.page(Filters(after=number - 1, before=number + 1, limit=1))
        call = page.records[0].get("call") if page.records else None
        return (call, await self.call(call)) if isinstance(call, str) else (None, page.records)

    async def status(self) -> dict[str, object]:
        """The state of the log: its name, length, head and how many intents wait for their outcome."""
        row = await self._store.reader.one("log_status")
        assert row is not None
        waiting, last, line = row
        found: dict[str, object] = {"origin": self._store.origin, "records": 0, "open_intents": waiting}
        if isinstance(last, int):
            found |= {"records": last + 1, "head": leaf_hash(str(line).encode()), "time": parse_record(str(line))["_t"]}
        return found | await self._signed() | await self._anchored() | await self._standing()

    async def _signed(self) -> dict[str, object]:
        """How many records the newest stored checkpoint covers, and the public key in force, where there is one."""
        newest = await self._store.reader.one("checkpoint_last")
        row = await self._store.reader.one("meta_get", {"key": SIGNING})
        found: dict[str, object] = {"signed": 0 if newest is None else newest[0]}
        return found if row is None else found | {"key": stated(row).get("key", "unknown")}

    async def _anchored(self) -> dict[str, object]:
        """How many records others acknowledged, how long ago that was, and the state of every anchor."""
        kept, now = await all_kept(self._store), self._store.clock.now_us() // 1_000_000
        found: dict[str, object] = {"anchored": "never"}
        if counting := [each for each in kept if each.counts]:
            newest = max(each.time for each in counting)
            found = {"anchored": max(each.size for each in counting), "anchored_age_s": max(0, now - newest)}
        return found | ({"anchors": [each.as_status(now) for each in kept]} if kept else {})

    async def _standing(self) -> dict[str, object]:
        """What the last process that served said is in force: `policy`, `tools`, `reload`, `problems`?."""
        row = await self._store.reader.one("meta_get", {"key": STANDING})
        return {} if row is None else {"in_force": stated(row)}

    async def search(self, filters: Filters, rows: Rows, principal: Principal | None) -> Search:
        """What to look for, on behalf of a reader of these rows. Raises `UsageError`."""
        asked = {filters.actor, principal.subject if rows == "own" and principal else None} - {None}
        known_as = {subject: await pseudonyms_of(self._store, subject) for subject in asked if subject is not None}
        return search_of(filters, rows, principal, known_as, how=self._how(rows))

    async def _named(self, records: list[Record]) -> list[Record]:
        """The records, those with pseudonyms with `names`: who is meant by them, while that is known."""
        names = await names_in(self._store, records)
        return [record | _names_of(record, names) for record in records] if names else records

    def _how(self, rows: Rows) -> Disclosure:
        return "why" if rows == "all" else self._told

    def _as_told(self, records: list[Record], rows: Rows) -> list[Record]:
        return records if rows == "all" else [as_told(record, self._told) for record in records]

    async def _range(self, filters: Filters) -> tuple[int, int]:
        low = 0 if filters.after is None else filters.after + 1
        high = END if filters.before is None else filters.before
        if filters.since is not None:
            low = max(low, await self._finder.first_since(filters.since))
        if filters.until is not None:
            high = min(high, await self._finder.first_since(filters.until))
        return low, high

    async def sides(self, n: int) -> bytes:
        """What stands beside a record, packed as `store.side` does; empty for nothing."""
        row = await self._store.reader.one("sides_of", {"n": n})
        return row[0] if row is not None and isinstance(row[0], bytes) else b""

    async def _beside(self, record: Record) -> Record:
        try:
            sides = unpack(await self.sides(number_of(record)))
            values = {side.field: orjson.loads(side.value) for side in sides if side.value is not None}
        except ValueError:
            raise LogBroken(f"what stands beside record {number_of(record)} cannot be read") from None
        kept = {side.field for side in sides}
        erased = [name for name in committed(record) if name not in kept]
        return {"values": values, "erased": erased} if erased else {"values": values}


def search_of(
    filters: Filters,
    rows: Rows,
    principal: Principal | None,
    known_as: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    *,
    how: Disclosure = "why",
) -> Search:
    """What is searched for on behalf of a reader of these rows, who is told `how` much of decisions. `known_as` are
    pseudonyms of subjects: who asks for somebody means them by any name. Raises `UsageError`."""
    for name in TEXT_FILTERS:
        _check(name, getattr(filters, name))
    everything = rows == "all"
    named = ((kind, getattr(filters, name)) for name, kind in _FACETS.items())
    terms = [
        _who(value, known_as) if kind == "sub" else _term(kind, value, how, everything=everything)
        for kind, value in named
        if value is not None
    ]
    ids = tuple((kind, value) for kind in ID_KINDS if (value := getattr(filters, kind)) is not None)
    starts = () if filters.text is None else _starts(filters.text)
    sought = tuple(_word(start, how, everything=everything) for start in starts)
    return Search((*terms, *_scope(rows, principal, known_as)), ids, sought)


def _check(name: str, value: str | None) -> None:
    if value is None:
        return
    if len(value) > MAX_VALUE:
        raise UsageError(f"The filter {name} is longer than {MAX_VALUE} characters.", hint="nothing recorded is")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(f"The filter {name} is not text.", hint="it holds bytes that are not UTF-8") from None


def _starts(text: str) -> tuple[str, ...]:
    starts = tuple(dict.fromkeys(words(text)))
    if not starts or len(starts) > MAX_WORDS:
        raise UsageError(f"The filter text needs 1 to {MAX_WORDS} words.", hint="words are letters and digits")
    return starts


def _term(kind: str, value: str, how: Disclosure, *, everything: bool) -> tuple[str, ...]:
    """The facets of which one must hold: those of the truth for readers of everything, else of what is told. Where
    nobody is told a rule, nothing is found by one."""
    if kind == "rule" and how == "code" and not everything:
        return ()
    own = facet(kind, value)
    if kind not in DECIDED:
        return (own,)
    if everything:
        return own, facet(hidden_name(kind), value)
    return (own, HIDDEN) if DECIDED[kind] == value else (own,)


def _word(start: str, how: Disclosure, *, everything: bool) -> Word:
    if everything:
        return Word(start, ("tool", "reason", hidden_name("reason")))
    return Word(start, ("tool", "reason") if how == "why" else ("tool",), has_word(DECIDED["reason"], start))


def _who(subject: str, known_as: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(facet("sub", name) for name in (subject, *known_as.get(subject, ())))


def _names_of(record: Record, names: Mapping[str, str]) -> Record:
    here = pseudonyms_in(record)
    found = {name: subject for name, subject in names.items() if name in here}
    return {"names": found} if found else {}


def _scope(
    rows: Rows, principal: Principal | None, known_as: Mapping[str, tuple[str, ...]]
) -> tuple[tuple[str, ...], ...]:
    if rows == "all":
        return ()
    if principal is None:
        raise ValueError("rows of whom?")
    tenant = (facet("tenant", principal.tenant),)
    return (tenant,) if rows == "tenant" else (tenant, _who(principal.subject, known_as))
