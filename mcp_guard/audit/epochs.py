"""The keys of a log, one after the other: an old key vouches for its successor and is then destroyed.

A change of keys is two records. The first announces the next key. The key in force then signs a checkpoint that covers
that record, its last, and the second record carries this checkpoint; from there on the next key is in force. So a key
signs only sizes of its own epoch, and whoever steals a later key cannot sign an earlier size: that key is gone.

Everything here runs under the store's lock, and what is done on disk can be taken up from wherever it was cut off.
"""

from collections.abc import Mapping
from typing import Final

import orjson

from mcp_guard.audit import record
from mcp_guard.audit.key_files import CURRENT, NEXT, OLD, KeyFiles
from mcp_guard.audit.signer import SigningKey, checkpoint
from mcp_guard.kit.clock import Clock
from mcp_guard.kit.failpoint import failpoint
from mcp_guard.model.errors import GuardError, Invalid, LogBroken
from mcp_guard.model.note import VerifierKey
from mcp_guard.model.problem import Problem
from mcp_guard.store import head as heads
from mcp_guard.store.head import One
from mcp_guard.store.ledger import Turn
from mcp_guard.store.transaction import Row, Transaction
from mcp_guard.store.values import Entry, Signed, Unit

SIGNING: Final = "signing"
"""The row of `meta` that says which key the log is at; written together with the records that say so."""
ALIVE_US = 24 * 3600 * 1_000_000
"""A log in which nothing happens gets a record this often (µs), so that silence and a cut tail can be told apart."""


class SigningUnavailable(GuardError):
    """The log cannot be signed."""

    code = "signing_unavailable"
    exit_code = 8
    default_hint = "`mcp-guard audit status` says why; the records themselves are safe"


class Epochs:
    """Signs the log of one store with the key that is in force, and changes keys.

    `epoch_us` is how long (µs) a key stays in force.
    """

    def __init__(self, files: KeyFiles, boot: str, clock: Clock, *, every: float, epoch_us: int) -> None:
        self._files = files
        self._boot = boot
        self._clock = clock
        self._every = every
        self._epoch_us = epoch_us
        self._key: SigningKey | None = None
        self._failure: GuardError | None = None

    # --- what the store asks (`store.head.Signing`) ------------------------------------------------------------------

    def refresh(self, one: One) -> None:
        """Take the key the log is at now, if another process changed it."""
        try:
            self._settle(_state(one))
            self._failure = None
        except GuardError as error:
            self._key, self._failure = None, error

    def sign(self, size: int, root: bytes) -> bytes:
        """A checkpoint. Raises `GuardError`."""
        if self._key is None:
            raise self._failure or SigningUnavailable()
        return checkpoint(self._key, size, root)

    # --- what is done with the log alone -----------------------------------------------------------------------------

    def begin(self, turn: Turn) -> VerifierKey:
        """Find or make the key, finish a change of keys that was cut off, and sign from now on.

        Raises `Invalid` for a key that must not be used, is missing, or is not the one the log names.
        """
        state = _state(turn.one)
        self._tidy(state)
        if self._key is None:
            self._files.destroy(NEXT)
            self._key = self._files.load(CURRENT) or self._files.make(CURRENT)
            self._files.publish(self._key.public)
            failpoint("audit.first-key-made")
        self._files.publish(self._key.public)
        turn.sign_with(self, self._every)
        if "key" not in state:
            self._write(turn, {"what": "first", "vkey": str(self._key.public)}, {"key": str(self._key.public)})
        else:
            self._finish(turn, state)
        return self._key.public

    def rotate(self, turn: Turn) -> VerifierKey:
        """Change keys; the one in force now. Raises `GuardError` where that cannot be; the old one stays then."""
        turn.sign_with(self, self._every)
        state = _state(turn.one)
        self._tidy(state)
        if self._key is None:
            raise self._failure or SigningUnavailable()
        if (finished := self._finish(turn, state)) is not None:
            return finished
        following = self._files.make(NEXT)
        failpoint("audit.next-key-made")
        self._write(turn, {"what": "next", "vkey": str(following.public)}, {**state, "next": str(following.public)})
        failpoint("audit.next-key-announced")
        return self._hand_over(turn, following)

    def newest(self, turn: Turn) -> Signed:
        """The log as it is, signed. Raises `GuardError`."""
        head = turn.sign_with(self, self._every)
        signed = head.sign()
        if signed is None:
            raise head.failure or SigningUnavailable()
        return signed

    def tend(self, turn: Turn) -> None:
        """What time asks for: another key, or a sign of life. Raises `GuardError`."""
        turn.sign_with(self, self._every)
        state = _state(turn.one)
        since, now = state.get("since"), self._clock.now_us()
        self._tidy(state)
        if self._finish(turn, state) is not None:
            return
        if isinstance(since, int) and now - since >= self._epoch_us:
            self.rotate(turn)
        elif self._key is not None and now - _newest(turn.one) >= ALIVE_US:
            self._write(turn, {"what": "alive", "key": self._key.public.key_id.hex()}, state)

    def _finish(self, turn: Turn, state: Mapping[str, object]) -> VerifierKey | None:
        """Take up a change that was cut off, if there is one; a key that was made and never announced is nobody's."""
        following = self._files.load(NEXT)
        if following is not None and state.get("next") == str(following.public):
            return self._hand_over(turn, following)
        self._files.destroy(NEXT)
        return None

    def _hand_over(self, turn: Turn, following: SigningKey) -> VerifierKey:
        """The last signature of the key in force, the record that carries it, and then the next key."""
        last = self.newest(turn)
        failpoint("audit.hand-over-signed")
        leaving, self._key = self._key, following  # what is committed now is signed by the next key
        said = {"what": "changed", "key": following.public.key_id.hex(), "checkpoint": last.note.decode()}
        try:
            self._write(turn, said, {"key": str(following.public)}, keep=last)
        except BaseException:
            self._key = leaving
            raise
        failpoint("audit.key-changed")
        self._files.publish(following.public)
        self._files.promote()
        return following.public

    # --- small parts -------------------------------------------------------------------------------------------------

    def _tidy(self, state: Mapping[str, object]) -> None:
        """Hold the key that the log names, and see that none before it is left."""
        self._settle(state)
        self._files.destroy(OLD)

    def _settle(self, state: Mapping[str, object]) -> None:
        """Hold the key that the log names. Raises `Invalid` where it is not there."""
        named = state.get("key")
        if named is None or (self._key is not None and str(self._key.public) == named):
            return
        self._key = self._files.load(CURRENT)
        if self._key is None or str(self._key.public) != named:
            self._key = self._files.load(NEXT)
            if self._key is None or str(self._key.public) != named:
                self._key = None
                raise _lost()
            self._files.promote()

    def _write(
        self, turn: Turn, said: Mapping[str, object], state: Mapping[str, object], keep: Signed | None = None
    ) -> None:
        """A `key` record and the state it says, in one commit. `keep` is a checkpoint that must not be pruned."""
        since = {"since": self._clock.now_us()} if state.get("key") and "since" not in state else {}
        text = orjson.dumps({**state, **since}).decode()

        def work(transaction: Transaction) -> None:
            transaction.run("meta_put", {"key": SIGNING, "value": text})
            if keep is not None:
                heads.put(transaction, keep, for_good=True)

        (result,) = turn.write([Unit((Entry(record.state(self._boot, "key", said)),), work)])
        if isinstance(result, Exception):
            raise result


def _state(one: One) -> dict[str, object]:
    row = one("meta_get", {"key": SIGNING})
    return stated(row) if row else {}


def stated(row: Row) -> dict[str, object]:
    """What a row of `meta` says as JSON. Raises `LogBroken`."""
    try:
        found = orjson.loads(str(row[0]))
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise LogBroken("what the store keeps beside the log cannot be read", hint="restore it from a backup")
    return found


def _newest(one: One) -> int:
    """The time of the newest record, in µs."""
    row = one("log_last", {})
    time = orjson.loads(str(row[1]))["_t"] if row else 0
    assert isinstance(time, int)
    return time


def _lost() -> Invalid:
    hint = "put the key directory back as it was; if it is gone for good, keep this store and begin a new one"
    return Invalid([Problem("key", "the signing key that the log names is not there", CURRENT, hint=hint)])
