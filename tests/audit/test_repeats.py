"""What is sensitive stands in no file of the store, wherever a call says it again."""

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from mcp_guard.audit.commitment import matches
from mcp_guard.audit.facts import CallFacts, Ending
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.repeats import MOST, SHORTEST, sensitive_texts, without
from mcp_guard.audit.verify import verify
from mcp_guard.kit import strict_json
from mcp_guard.model.back_channel import Asked
from mcp_guard.model.kept import BEGINNING, KEPT, Whole
from mcp_guard.model.principal import Principal
from mcp_guard.results.beginning import beginning
from mcp_guard.secrets.redact import Redactor
from mcp_guard.store.side import unpack
from mcp_guard.store.store import Store
from tests.audit.helpers import ALLOW, person
from tests.store.helpers import rows
from tests.store.test_erasure import everywhere

CANARY = "canary-4111-person@example.org"
CARD = 4_111_111_111_111_111
SECRET = "s3cr3t-of-the-upstream"


def told(call: str, **changes: object) -> CallFacts:
    arguments = {
        "email": CANARY,
        "card": {"number": CARD},
        "note": f"send it to {CANARY}, please",
        "numbers": [CARD, 1, 2],
    }
    plain = CallFacts(call, person(), "mail_send", "cd" * 32, arguments, ("/email", "/card"), None, ALLOW)
    return replace(plain, **changes)  # type: ignore[arg-type]


def ended(result: object) -> Ending:
    return Ending("ok", "yes", 1, result=result, has_result=True)


@pytest.mark.holds("audit:sensitive-never-kept")
async def test_no_file_holds_it_whichever_way_it_comes(journal: Journal, store: Store, path: Path) -> None:
    shapes: list[object] = [
        {"email": CANARY, "sent": f"queued for {CANARY}"},
        [CANARY, {"deep": [f"<{CANARY}>"]}, CARD, str(CARD)],
        f"to {CANARY} with {CARD}",
        {"email": {"wrong": ["shape", CANARY]}},
    ]
    for number, result in enumerate(shapes):
        facts = told(f"c{number}", justification=f"{CANARY} asked for it")
        await journal.outcome(facts, ended(result), await journal.intent(facts))
    await journal.outcome(told("refused", fingerprint=None), Ending("refused", "no", 1, code="policy_denied"))
    await journal.outcome(told("raw", arguments={"email": [CANARY], "card": CARD}), ended(None))
    assert everywhere(path, CANARY.encode()) == 0
    assert everywhere(path, str(CARD).encode()) == 0
    assert verify(path, deep=True).ok


@pytest.mark.holds("audit:sensitive-never-kept", "kept:sensitive")
async def test_what_a_cut_goes_through_is_not_kept_either(journal: Journal, path: Path) -> None:
    """Of a result that is kept for its caller the beginning is recorded, which ends wherever there is no more room."""
    value: dict[str, object] = {"a": f"sent to {CANARY}, and more of it", "email": CANARY}
    for number in range(len(CANARY) + 1):
        room = len(f'{{"a":"sent to {CANARY}"}}') - number
        begins = beginning(value, room + len("…".encode()))
        whole = Whole("0" * 32, value, strict_json.dumps(value))
        ending = replace(ended({"guard": {"code": KEPT}, BEGINNING: begins}), whole=whole)
        await journal.outcome(told(f"c{number}", arguments={}, fingerprint=None), ending)
    assert everywhere(path, CANARY[:SHORTEST].encode()) == 0
    assert everywhere(path, b"sent to ") > 0
    assert without("a note…", [CANARY]) == "a note…"
    assert without(f"{CANARY[:9]}c{CANARY[:8]}…", [CANARY]) == f"{CANARY[:9]}c[redacted]…"


@pytest.mark.holds("audit:sensitive-never-kept")
@pytest.mark.parametrize("sensitive", [(), ("/email",)])
async def test_what_a_person_answered_is_not_kept_in_the_result_either(
    journal: Journal, path: Path, sensitive: tuple[str, ...]
) -> None:
    first = Asked("elicitation/create", "accept", ms=1, answer={"who": CANARY, "x": 1}, sensitive=("/who",))
    again = replace(first, answer={"note": f"I said {CANARY}"}, sensitive=())
    facts = told("c1", arguments={"text": "hello"}, sensitive=sensitive)
    ending = replace(ended({"result": f"hello {CANARY}"}), asked=(first, again))
    await journal.outcome(facts, ending, await journal.intent(facts))
    assert everywhere(path, CANARY.encode()) == 0
    assert everywhere(path, b"hello [redacted]") > 0
    assert verify(path, deep=True).ok


@pytest.mark.holds("audit:sensitive-never-kept")
async def test_the_part_itself_can_still_be_proved(journal: Journal, path: Path) -> None:
    await journal.intent(told("c1"))
    ((packed,),) = rows(path, "SELECT fields FROM side WHERE n = 0")
    assert isinstance(packed, bytes)
    kept = {side.field: side for side in unpack(packed)}
    shown = orjson.loads(kept["args"].value or b"")
    assert shown["note"] == "send it to [redacted], please"
    assert shown["numbers"] == ["[redacted]", 1, 2]
    assert matches(shown["email"]["sensitive"], kept["args/email"].salt, strict_json.dumps(CANARY))


@pytest.mark.holds("audit:sensitive-never-kept")
async def test_known_secrets_and_sensitive_parts_together(store: Store, path: Path) -> None:
    redactor = Redactor()
    redactor.learn(SECRET)
    journal = Journal(store, redact=redactor.value)
    who = Principal("user:alice", "agent:desktop", "acme", "bearer", "token", software=f"client {SECRET}")
    arguments = {"email": f"{CANARY} {SECRET}", "card": SECRET, SECRET: [SECRET], "other": f"{SECRET}{CANARY}"}
    facts = told("c1", principal=who, arguments=arguments, justification=f"{SECRET} and {CANARY}")
    await journal.outcome(facts, ended({"x": SECRET, SECRET: 1}), await journal.intent(facts))
    await journal.outcome(told("c2", tool=f"tool {SECRET}", fingerprint=None), ended(None))
    assert everywhere(path, SECRET.encode()) == 0
    assert verify(path, deep=True).ok


def test_short_words_are_left_alone() -> None:
    word = "damaged!"
    assert len(word) == SHORTEST
    assert sensitive_texts([({"reason": word}, ["/reason"])]) == (word,)
    assert sensitive_texts([({"reason": word[1:]}, ["/reason"])]) == ()


def test_members_keep_their_names_and_commitments_their_digits() -> None:
    assert without({"sensitive": "the sensitive thing"}, ["sensitive"]) == {"sensitive": "the [redacted] thing"}


def test_a_text_inside_another_leaves_no_rest() -> None:
    texts = sensitive_texts([({"a": "12345678", "b": "x12345678y"}, ["/a", "/b"])])
    assert without("12345678 x12345678y", texts) == "[redacted] [redacted]"


def test_what_is_looked_for_is_bounded() -> None:
    many = [f"text number {number}" for number in range(10_000)]
    assert len(sensitive_texts([({"all": many}, ["/all"])])) == MOST
