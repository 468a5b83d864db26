"""Names in records that only this home can read: keyed pseudonyms, and the table that says who is meant.

A record is for ever; who somebody was need not be. Without the row of the table a pseudonym is nobody's, and only who
holds the key could still test guesses.
"""

import hmac
import os
import re
from base64 import b32encode
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Final

import orjson

from mcp_guard.kit.platform import is_private
from mcp_guard.kit.private_file import make_once
from mcp_guard.model.decision import Decision
from mcp_guard.model.errors import Invalid, StoreUnavailable
from mcp_guard.model.principal import Principal
from mcp_guard.model.problem import Problem
from mcp_guard.store.errors import SidesChanged
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Transaction
from mcp_guard.store.values import Unit

KEY_FILE: Final = "pseudonym.key"
KEY_BYTES: Final = 32
REMEMBERED_SECONDS: Final = 1.0
"""A look-up for every record gives the interpreter away to a busy writer, and costs a call as much as writing it."""
MOST_REMEMBERED: Final = 10_000
_PERSON = re.compile(r"user:[A-Za-z0-9][A-Za-z0-9._@+-]{0,126}")
_PSEUDONYM = re.compile(r"user:~[a-z2-7]{52}")
_MARK = b'"user:~'
_NOBODY = "-"


def load_or_make_key(directory: Path) -> bytes:
    """The home's key. Raises `Invalid` where the file is not one, or others can read it."""
    path = directory / KEY_FILE
    if not path.exists():
        make_once(path, os.urandom(KEY_BYTES))
    hint = "set its mode to 0600; deleting it makes a new one, under which people get other pseudonyms"
    if not is_private(path):
        raise Invalid([Problem("key", "the pseudonym key can be read or written by others", str(path), hint=hint)])
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise Invalid([Problem("key", f"the pseudonym key does not have {KEY_BYTES} bytes", str(path), hint=hint)])
    return key


def pseudonym(key: bytes, subject: str, generation: int = 0) -> str:
    """`user:~` and the base32 of HMAC-SHA256(key, subject), in lower case without padding (RFC 2104, RFC 4648).

    Somebody who comes back after they were erased gets another one: the HMAC of `subject NUL generation`.
    """
    text = f"{subject}\0{generation}" if generation else subject
    digest = b32encode(hmac.digest(key, text.encode(), "sha256")).decode().rstrip("=").lower()
    return f"user:~{digest}"


def is_pseudonym(text: str) -> bool:
    return _PSEUDONYM.fullmatch(text) is not None


class Pseudonyms:
    """Gives people their pseudonyms, and sees that the table says who is meant.

    People are subjects called `user:…`, wherever they stand; services and agents keep their names. Used on the event
    loop's thread.
    """

    def __init__(self, store: Store, key: bytes) -> None:
        self._store = store
        self._key = key
        self._last: dict[str, tuple[str, float]] = {}

    def of(self, subject: str) -> str:
        """The pseudonym of a person; it is readable once the next unit is stored. Anything else as it is.

        Remembered for `REMEMBERED_SECONDS`: what is written that soon after an erasure by another process is still
        under the pseudonym that is nobody's any more.
        """
        if _PERSON.fullmatch(subject) is None:
            return subject
        now = self._store.clock.monotonic()
        last, since = self._last.get(subject, ("", 0.0))
        if last and now - since < REMEMBERED_SECONDS:
            return last
        try:
            name, is_known = self._current(subject)
        except StoreUnavailable:  # what is to be recorded is kept until the store works again, and needs a name now
            return last or pseudonym(self._key, subject)
        if not is_known:
            self._introduce(name, subject)
        if len(self._last) >= MOST_REMEMBERED:
            self._last.clear()
        self._last[subject] = name, now
        return name

    def principal(self, principal: Principal) -> Principal:
        """Who acts, under pseudonyms; the delegation chain too."""
        subject, chain = self.of(principal.subject), tuple(map(self.of, principal.chain))
        same = subject == principal.subject and chain == principal.chain
        return principal if same else replace(principal, subject=subject, chain=chain)

    def decision(self, decision: Decision) -> Decision:
        """A decision whose obligations name the people who are asked, under pseudonyms."""
        then = decision.then
        approvers, escalate = tuple(map(self.of, then.approvers)), then.escalate
        if escalate is not None:
            escalate = replace(escalate, to=tuple(map(self.of, escalate.to)))
        if approvers == then.approvers and escalate == then.escalate:
            return decision
        return replace(decision, then=replace(then, approvers=approvers, escalate=escalate))

    def state(self, state: Mapping[str, object]) -> Mapping[str, object]:
        """What a record says happened, with every text that is somebody's name replaced."""
        return {name: self._hidden(value) for name, value in state.items()}

    def current(self, subject: str) -> str:
        """The pseudonym a person has or would get; anything else as it is. Raises `StoreUnavailable`."""
        return self._current(subject)[0] if _PERSON.fullmatch(subject) else subject

    def _hidden(self, value: object) -> object:
        if isinstance(value, str):
            return self.of(value)
        if isinstance(value, Mapping):
            return self.state(value)
        return [self._hidden(item) for item in value] if isinstance(value, list | tuple) else value

    def _current(self, subject: str) -> tuple[str, bool]:
        for generation in count():
            name = pseudonym(self._key, subject, generation)
            row = self._store.reader.peek("pseudonym_get", {"pseudonym": name})
            if row is None or row[0] == subject:
                return name, row is not None
        raise AssertionError("unreachable")

    def _introduce(self, name: str, subject: str) -> None:
        """Queue the row ahead of the record that will use the name. Where it is lost, the next record's does it."""

        def work(transaction: Transaction) -> None:
            transaction.run("pseudonym_put", {"pseudonym": name, "subject": subject})

        with suppress(StoreUnavailable):
            self._store.writer.submit(Unit((), work=work)).add_done_callback(lambda future: future.exception())


async def pseudonyms_of(store: Store, subject: str) -> tuple[str, ...]:
    """Every pseudonym by which a person can still be known, under whatever key."""
    if _PERSON.fullmatch(subject) is None or await store.reader.one("pseudonym_exists") is None:
        return ()  # a store that an earlier version made and only readers opened
    return tuple(str(row[0]) for row in await store.reader.all("pseudonyms_of", {"subject": subject}))


async def names_in(store: Store, records: Iterable[object]) -> dict[str, str]:
    """Who is meant by the pseudonyms that stand anywhere in some records, as far as that is still known."""
    records = list(records)
    if _MARK not in orjson.dumps(records):  # most logs have none, and looking at every value costs more than the search
        return {}
    found: set[str] = set()
    found = found.union(*map(pseudonyms_in, records))
    if not found or await store.reader.one("pseudonym_exists") is None:
        return {}
    rows = await store.reader.all("pseudonyms_named", {"pseudonyms": orjson.dumps(sorted(found)).decode()})
    return {str(name): str(subject) for name, subject in rows}


def pseudonyms_in(value: object) -> set[str]:
    """The pseudonyms that stand anywhere in a JSON value, other than as keys."""
    if isinstance(value, str):
        return {value} if is_pseudonym(value) else set()
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    found: set[str] = set()
    return found.union(*map(pseudonyms_in, parts))


def forgetting(subject: str, rows: int) -> Callable[[Transaction], None]:
    """The work of a unit: erase the rows of a person, each where it lies. Raises `SidesChanged` where it is not that
    many, so that the record of the same unit says what happened."""

    def work(transaction: Transaction) -> None:
        if transaction.run("pseudonym_erase", {"subject": subject, "blank": _NOBODY * len(subject)}) != rows:
            raise SidesChanged

    return work
