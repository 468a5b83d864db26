"""What a call is answered with: its result, a refusal, or whom or what is waited for, each with its receipt."""

from dataclasses import dataclass

from mcp_guard.audit.journal import Journal
from mcp_guard.connect.shape import Shaped
from mcp_guard.kit.clock import as_datetime
from mcp_guard.model.call import (
    PENDING_EXIT,
    About,
    Answer,
    DryRunView,
    PendingView,
    Receipt,
    RefusalView,
    WorkingView,
)
from mcp_guard.model.decision import RULE_SCOPE, Decision
from mcp_guard.model.disclosure import Disclosure, disclosed, disclosing
from mcp_guard.model.errors import Refused
from mcp_guard.model.oauth import NotConnected
from mcp_guard.parking import Parked
from mcp_guard.store.values import Stored
from mcp_guard.trail import Trail


@dataclass(frozen=True, slots=True)
class Answering:
    """Makes the answers of calls. `stored` is the outcome's record; without it there is no receipt."""

    journal: Journal
    refusals: Disclosure

    def result(self, trail: Trail, shaped: Shaped, stored: Stored | None) -> Answer:
        """What a call gave."""
        text, receipt = shaped.encoded.decode(), self._receipt(trail, stored)
        about = About(shaped.redacted, shaped.stripped, trail.provenance)
        shown, typed = shaped.content, shaped.typed
        return Answer(trail.call.id, shaped.structured, text, False, receipt, about=about, content=shown, typed=typed)

    def refusal(self, trail: Trail, refusal: Refused, stored: Stored | None) -> Answer:
        """Why it was not done, or went wrong."""
        view = self.view(trail, refusal)
        told, lacks_scope = {"guard": view.as_dict()}, refusal.rule == RULE_SCOPE
        about = About(provenance=trail.provenance)  # an error may quote the other side
        link, code = refusal.link if isinstance(refusal, NotConnected) else None, refusal.exit_code
        receipt = self._receipt(trail, stored)
        return Answer(trail.call.id, told, view.as_text(), True, receipt, code, lacks_scope, about=about, link=link)

    def view(self, trail: Trail, refusal: Refused) -> RefusalView:
        """What its caller is told of a refusal."""
        return RefusalView.of(disclosing(refusal, self.refusals), trail.call.id)

    def pending(self, trail: Trail, decision: Decision, parked: Parked, stored: Stored) -> Answer:
        """Whom it waits for."""
        because = disclosed(decision.as_record(), self.refusals)
        until = as_datetime(parked.expires_at)
        view = PendingView(trail.call.id, because, parked.task, parked.approval, parked.approvers, until)
        return self._of_task(trail, view, stored)

    def working(self, trail: Trail, stored: Stored) -> Answer:
        """That it was begun as a task."""
        assert trail.task is not None
        return self._of_task(trail, WorkingView(trail.call.id, trail.task), stored)

    def dry_run(self, trail: Trail, decision: Decision, stored: Stored) -> Answer:
        """What would be decided now, and nothing done."""
        limited = trail.reached.refusal(self.refusals) if trail.reached else None
        view = DryRunView(trail.call.id, decision, trail.would is not None, self.refusals, limited)
        told, receipt = {"guard": view.as_dict()}, self._receipt(trail, stored)
        return Answer(trail.call.id, told, view.as_text(), False, receipt)

    def _of_task(self, trail: Trail, view: PendingView | WorkingView, stored: Stored) -> Answer:
        told, receipt = {"guard": view.as_dict()}, self._receipt(trail, stored)
        return Answer(trail.call.id, told, view.as_text(), False, receipt, PENDING_EXIT, task=trail.task)

    def _receipt(self, trail: Trail, stored: Stored | None) -> Receipt | None:
        if stored is None:
            return None
        checkpoint = self.journal.checkpoint(stored)
        return Receipt(trail.call.id, self.journal.origin, stored.n, stored.leaf, checkpoint)
