"""A log's side of tlog-witness: show a witness how the log grew, and believe nothing it answers unchecked."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from mcp_guard.audit.anchors import MAX_SKEW, AnchorFailed, Confirmed, Growth, Kind, LogForked, Newest, Post, Reply
from mcp_guard.audit.submission import ADD_CHECKPOINT, ADD_KEY, SIZE_KIND, Submission
from mcp_guard.audit.verify import verify_signature
from mcp_guard.kit.clock import Clock
from mcp_guard.model.note import (
    Checkpoint,
    Note,
    NoteError,
    Signature,
    VerifierKey,
    decimal,
    open_note,
    parse_note,
)
from mcp_guard.store.values import Signed

ATTEMPTS: Final = 3
_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class HandOver:
    """A change of the log's keys: the last checkpoint of the key before, and the proof of the announcement under it."""

    last: Signed
    announced: bytes


HandOvers = Callable[[int], AsyncIterator[HandOver]]
"""The changes of keys at this size or later, in order."""


@dataclass(frozen=True, slots=True)
class WitnessAnchor:
    """A witness at an address, known by its key."""

    key: VerifierKey
    post: Post
    growth: Growth
    hand_overs: HandOvers
    clock: Clock
    kind: ClassVar[Kind] = "witness"

    @property
    def name(self) -> str:
        return self.key.name

    async def confirm(self, newest: Newest, known: int) -> Confirmed:
        signed = await newest()
        if known > signed.size:
            raise LogForked(f"{self.name} confirmed {known} records, and the log has only {signed.size}")
        told = known
        for _ in range(ATTEMPTS):
            reply = await self._submit(signed, told)
            if reply.status == 200:
                return self._checked(signed, reply.body)
            if reply.status == 403:
                told = await self._follow(told)
            elif reply.status == 409:
                told, signed = await self._judge(_size(reply), told, signed, newest)
            else:
                raise self._refused(reply, told)
        raise AnchorFailed(f"{self.name} was busy with other submissions of this log", hint="")

    async def _submit(self, signed: Signed, old: int) -> Reply:
        _, proof = await self.growth(old, Checkpoint.parse(parse_note(signed.note).text))
        return await self.post(ADD_CHECKPOINT, Submission(old, tuple(proof), signed.note).format(), _TEXT)

    async def _judge(self, size: int, told: int, signed: Signed, newest: Newest) -> tuple[int, Signed]:
        """What to try next with a witness that says it signed `size` last."""
        if size == told:
            raise LogForked(f"{self.name} signed {size} records that are not these")
        if size > signed.size:  # another process of ours may have been quicker
            signed = await newest()
        if size > signed.size:
            raise LogForked(f"{self.name} signed {size} records, and the log has only {signed.size}")
        return size, signed

    async def _follow(self, known: int) -> int:
        """Show the witness how the log came to its present key; the size it signed last then."""
        followed = False
        async for change in self.hand_overs(known):
            reply = await self._submit(change.last, known)
            if reply.status == 409 and known < _size(reply) <= change.last.size:
                known = _size(reply)
                reply = await self._submit(change.last, known)
            if reply.status != 200:
                continue  # by a key that it knows no more, or not yet
            self._checked(change.last, reply.body)
            known = change.last.size
            followed |= (await self.post(ADD_KEY, change.announced, _TEXT)).status == 200
        if not followed:
            hint = "start the witness with --log and the key that `mcp-guard audit status` shows"
            raise AnchorFailed(f"{self.name} does not know the log's key", hint=hint)
        return known

    def _refused(self, reply: Reply, told: int) -> AnchorFailed:
        if reply.status == 422:
            return LogForked(f"the first {told} records are not those that {self.name} signed")
        if reply.status == 404:
            hint = "start the witness with --log and the key that `mcp-guard audit status` shows"
            return AnchorFailed(f"{self.name} does not know the log", hint=hint)
        return AnchorFailed(f"{self.name} answered {reply.status}")

    def _checked(self, signed: Signed, body: bytes) -> Confirmed:
        """What the witness signed, if it did. Raises `AnchorFailed`."""
        note = parse_note(signed.note)
        try:
            lines = body.decode().removesuffix("\n").split("\n")
            cosigned = Note(note.text, tuple(map(Signature.parse, lines)))
            ((_, signature),) = open_note(cosigned, (self.key,), verify_signature)
        except (NoteError, UnicodeDecodeError):
            raise AnchorFailed(f"what {self.name} answered is not its signature of this log") from None
        if abs(signature.time - self.clock.now_us() // 1_000_000) > MAX_SKEW:
            raise AnchorFailed(f"{self.name} signed with another time than now", hint="compare the two clocks")
        return Confirmed(signed.size, signature.time, note.signed(signature).format())


def _size(reply: Reply) -> int:
    """The size a witness says it signed last. Raises `AnchorFailed`."""
    try:
        if reply.kind.partition(";")[0].strip().lower() != SIZE_KIND:
            raise NoteError
        return decimal(reply.body.decode("ascii").removesuffix("\n"))
    except (NoteError, UnicodeDecodeError):
        raise AnchorFailed("the witness answered 409 without the size it signed") from None
