"""What a workflow asks people: the question of a step, the values it is about, and what of them anybody may see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mcp_guard.approval.request import RULE_STEP, ApprovalRequest, binding_of_question, due
from mcp_guard.approval.summary import HIDDEN, masked, quoted
from mcp_guard.generation import InForce
from mcp_guard.kit import lookup
from mcp_guard.kit.clock import Clock
from mcp_guard.kit.pointer import MISSING
from mcp_guard.model.tool import ApproveStep, CallStep
from mcp_guard.parking import Parking, new_id
from mcp_guard.tasks import templates
from mcp_guard.tasks.task import Content, Step, Task, deadline_of
from mcp_guard.tasks.templates import Scope


@dataclass(frozen=True, slots=True)
class Asking:
    """A question of a workflow to people. `row` is its step as it is journaled, if it is."""

    task: Task
    content: Content
    step: ApproveStep
    row: Step | None
    scope: Scope


@dataclass(frozen=True, slots=True)
class Questions:
    """Makes the questions of workflows. Methods raise `Missing` where a look-up finds nothing."""

    parking: Parking
    in_force: InForce
    clock: Clock

    def asked(self, asking: Asking) -> tuple[ApprovalRequest, Mapping[str, object]]:
        """The question of a step, and the values it is about, whole and as anybody may see them. Raises `Missing`."""
        task, content, step, scope = asking.task, asking.content, asking.step, asking.scope
        who, now = content.principal, self.clock.now_us()
        expires_at = min(now + round(step.expires * 1_000_000), deadline_of(task, content) or now)
        escalate_to, escalates_at = due(step.escalate, now, expires_at)
        values = self.values(asking)
        shown = self._shown(task, content, scope)
        text = templates.sentence(step.summary, lambda part: _for_people(lookup.find(shown, part.path)))
        request = ApprovalRequest(
            id=new_id(),
            task=task.id,
            step=step.id,
            tool=task.tool,
            binds="",
            requester=who.subject,
            client=who.client,
            tenant=who.tenant,
            chain=who.chain,
            rule=RULE_STEP,
            reason=f"{task.tool} asks at its step {step.id}",
            approvers=step.approvers,
            not_requester=step.not_requester,
            quorum=step.quorum,
            created_at=now,
            expires_at=expires_at,
            summary=(f"{task.tool}: {step.id}", text),
            call=content.call,
            escalate_to=escalate_to,
            escalates_at=escalates_at,
            assurance=step.assurance,
        )
        seen = {name: _visible_part(lookup.find(shown, name.split("."))) for name in values}
        bound = self.parking.bound(request, self.about(asking, values))
        return replace(request, binds=bound), {"whole": values, "shown": seen}

    def values(self, asking: Asking) -> dict[str, object]:
        """The values a question is about, by look-up. Raises `Missing`."""
        return {found.name: templates.value(found, asking.scope) for found in lookup.lookups(asking.step.summary)}

    def about(self, asking: Asking, values: Mapping[str, object]) -> str:
        """What a question is for, and for nothing else."""
        content = asking.content
        return binding_of_question(asking.task.tool, content.fingerprint, content.principal, asking.step, values)

    def _shown(self, task: Task, content: Content, scope: Scope) -> Scope:
        """The scope without what its tools call sensitive."""
        results = scope["steps"]
        assert isinstance(results, Mapping)
        calls = (
            {step.id: step.tool for step in content.workflow.steps if isinstance(step, CallStep)}
            if content.workflow
            else {}
        )
        return {
            "input": masked(content.arguments, self._sensitive(task.tool)),
            "steps": {
                name: masked(result, self._sensitive(calls[name])) if name in calls else result
                for name, result in results.items()
            },
        }

    def _sensitive(self, tool: str) -> Sequence[str]:
        entry = self.in_force.current.catalog.get(tool)
        # Of a tool that is gone nobody can say any more what is sensitive: then all of it is.
        return entry.tool.sensitive if entry is not None else ("",)


def _for_people(value: object) -> str:
    """A value on one line, as an approver sees it."""
    return quoted(_visible_part(value))


def _visible_part(value: object) -> object:
    """A masked value; one that lies within something sensitive is not there to see."""
    return HIDDEN if value is MISSING else value
