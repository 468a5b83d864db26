"""A log that signs itself, and whoever confirms it from elsewhere: in this process, but with real keys and checks."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mcp_guard.admin.signing import SigningAdmin
from mcp_guard.audit.anchors import Post, Reply
from mcp_guard.audit.epochs import Epochs
from mcp_guard.audit.hand_overs import hand_overs
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.key_files import KeyFiles
from mcp_guard.audit.proofs import Proofs
from mcp_guard.audit.submission import ADD_CHECKPOINT
from mcp_guard.audit.witness import Witness
from mcp_guard.audit.witness_client import WitnessAnchor
from mcp_guard.model.note import VerifierKey
from mcp_guard.store.store import Store
from tests.simulators.clock import FakeClock

EPOCH_US = 30 * 24 * 3600 * 1_000_000


@dataclass
class Signing:
    """A store that is signed, and a pen for it."""

    store: Store
    journal: Journal
    admin: SigningAdmin
    key: VerifierKey

    @classmethod
    async def open(cls, home: Path, clock: FakeClock) -> "Signing":
        store = Store.open(home / "guard.db", "desk", clock=clock)
        epochs = Epochs(KeyFiles(home / "keys", store.origin), store.boot, clock, every=1.0, epoch_us=EPOCH_US)
        admin = SigningAdmin(store, epochs)
        return cls(store, Journal(store), admin, await admin.begin())

    async def grow(self, count: int = 1) -> None:
        for _ in range(count):
            await self.journal.config({"what": "reloaded"})

    async def aclose(self) -> None:
        await self.journal.aclose()
        await self.store.aclose()


@dataclass
class Witnessed:
    """A real witness behind a post that notes what it was asked."""

    witness: Witness
    asked: list[str] = field(default_factory=list)

    async def post(self, path: str, body: bytes, kind: str) -> Reply:
        self.asked.append(path)
        answer = self.witness.add_checkpoint(body) if path == ADD_CHECKPOINT else self.witness.add_key(body)
        return Reply(answer.status, answer.kind, answer.body)


def anchor(signing: Signing, key: VerifierKey, post: Post) -> WitnessAnchor:
    changes = partial(hand_overs, signing.store)
    return WitnessAnchor(key, post, Proofs(signing.store).growth, changes, signing.store.clock)
