"""The pipeline's pen: intents before acts, outcomes before answers (API published first; implementation follows)."""

# from mcp_guard.audit.facts import CallFacts, Ending
# from mcp_guard.store.values import Stored          (n, leaf, t)
#
# class Journal:
#     def __init__(self, store: Store, *, redact: Callable[[object], object] | None = None) -> None
#     origin: str
#     boot_id: str
#     health: Health            # .ok .since_us .reason .queued
#     async def intent(self, facts: CallFacts) -> Stored          # durable on return; raises StoreUnavailable: do not act
#     async def outcome(self, facts: CallFacts, ending: Ending, intent: Stored | None = None) -> Stored
#                                                                  # raises StoreUnavailable: withhold the answer (kept, written later)
#     async def read(self, principal: Principal, state: Mapping[str, object]) -> Stored
#     async def fault(self, code: str, where: str, **more: str|int) -> None   # never raises; collapses repeats within 60 s
#     async def config(self, state: Mapping[str, object], principal: Principal | None = None) -> Stored
#     async def boot(self, state: Mapping[str, object]) -> Stored
#     async def shutdown(self, state: Mapping[str, object]) -> Stored
#     async def recover(self) -> int                               # orphans closed as unknown; serving processes only
#     async def aclose(self) -> None                               # flushes counted faults and kept outcomes; not the store
#
# Store.open(path, name, *, clock, boot=None) -> Store (sync) ; Store.open_readonly(path) -> Store
# store.origin, store.boot, store.writer, store.reader ; await store.aclose()
# await store.writer.submit(Unit(entries=(…), work=lambda tx: tx.run("token_insert", {...}))) ; store.writer.submit_sync(unit)
# store.reader.peek("token_by_id", {"id": …}) -> tuple | None ; await store.reader.all("name", {...}) -> list[tuple]
