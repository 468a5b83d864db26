"""What the project promises, by id: where the promise comes from and what it says.

A test names the promises it holds with `@pytest.mark.holds("id", …)`; `test_requirements.py` fails when a promise has
no test, or a test names a promise that is not here. Read top to bottom, this is the assurance case.
"""

from typing import NamedTuple


class Requirement(NamedTuple):
    """`source` is an invariant, a contract section, an RFC or a specification."""

    source: str
    behaviour: str


REQUIREMENTS: dict[str, Requirement] = {
    # --- model and kit ------------------------------------------------------------------------------------------
    "wire:strict-json": Requirement(
        "RFC 7493; bar: wire",
        "Duplicate keys, non-finite or oversized numbers, lone surrogates, bad UTF-8 and depth over 64 are refused before any value is seen.",
    ),
    "wire:bounded-nesting": Requirement(
        "bar: wire", "How deep a text is nested is found in time and memory that grow with its length and no faster."
    ),
    "manifest:yaml-positions": Requirement(
        "contract 2", "Every complaint about a YAML file names file, line and column; aliases cannot exhaust memory."
    ),
    "audit:chain-format": Requirement(
        "contract 6", "Genesis, leaf and sealed line are exactly as specified; the time is strictly increasing."
    ),
    "decision:has-rule-and-reason": Requirement(
        "I7", "A decision without rule, reason or policy version cannot be constructed."
    ),
    "policy:explain": Requirement(
        "contract 5; design 6",
        "An explanation shows for every hop each row that fits, what became of it and what its condition saw, and agrees with the decision.",
    ),
    "policy:explain-hides": Requirement(
        "I8",
        "No value a tool calls sensitive is shown by an explanation, asked or recorded; nothing is executed or recorded.",
    ),
    "policy:explain-stock": Requirement(
        "design 6", "Stock Casbin's own answer is shown beside ours; where the two need not agree it is said why."
    ),
    "policy:explain-recorded": Requirement(
        "contract 5", "A call on record is explained with its own inputs, then and by the policy in force."
    ),
    "policy:replay": Requirement(
        "contract 5",
        "The policy that decided changes nothing when it is replayed; another one's differences are named with rule, direction, count and an example, and a looser one exits 4.",
    ),
    "policy:replay-honest": Requirement(
        "contract 5; I8",
        "What is erased, altered, made up, sensitive, redacted or about a tool that is gone is counted as not replayed, never guessed, and breaks nothing.",
    ),
    "policy:coverage": Requirement(
        "contract 5",
        "A row is covered where a decision is made of it; uncovered ones are listed with their line, and a coverage that is too small exits 4.",
    ),
    "policy:junit": Requirement(
        "contract 5; I8", "Test results as JUnit XML are well-formed for any name and hold no argument."
    ),
    # --- manifest and config --------------------------------------------------------------------------------------
    "manifest:refused-with-place": Requirement(
        "I10; contract 2",
        "An empty, binary, truncated, misspelt or not yet enforceable manifest is refused with a code, file, line and column.",
    ),
    "manifest:all-or-nothing": Requirement(
        "I10", "Every problem of every file is named at once, and one broken file keeps all tools from loading."
    ),
    "manifest:names-unique": Requirement("contract 2", "A tool name is taken once over all files, whatever its case."),
    "manifest:no-values-in-errors": Requirement("I8", "A complaint about a file never quotes a value from it."),
    "manifest:placeholders": Requirement(
        "contract 2; bar: templates",
        "Arguments stand in path, query, headers and body only, each declared; secret references in header values only.",
    ),
    "manifest:sql-fixed": Requirement(
        "contract 2; bar: templates",
        "A tool's SQL is one reading or writing statement with named parameters; ATTACH, PRAGMA, VACUUM and second statements are refused.",
    ),
    "manifest:cannot-reach-home": Requirement(
        "contract 1",
        "A tool whose database, program, directory or fixed path is the store, a key, a secret, the policy, a manifest or the configuration, or above one, is a load error, also by link or letter case.",
    ),
    "manifest:retry-needs-key": Requirement(
        "contract 2", "Retrying a tool that acts once and sends no idempotency key is a load error."
    ),
    "manifest:sensitive-points": Requirement(
        "contract 2; I8", "A `sensitive` pointer that names nothing in the schemas is a load error."
    ),
    "manifest:closed-objects": Requirement(
        "contract 2",
        "Unknown fields are refused on objects that do not say otherwise, without changing what a composed schema means.",
    ),
    "manifest:fingerprint": Requirement(
        "contract 2",
        "The fingerprint is blind to key order and format and changes with everything that decides what executes and how it is shown.",
    ),
    "manifest:example-home": Requirement(
        "contract 7", "The home at the root of the repository loads without a problem or warning."
    ),
    "args:strict": Requirement(
        "design 1; bar: arguments",
        "Arguments are never coerced, dropped or filled in: wrong types, missing and unknown ones are refused, in bounded words.",
    ),
    "args:no-values": Requirement("contract 4", "`args_invalid` names paths and expectations, never values."),
    "args:bound": Requirement("contract 2", "An argument the guard fills in is not advertised and cannot be sent."),
    "args:justification": Requirement(
        "contract 2",
        "A justification is advertised and checked as its mode says, and never part of what the connector gets.",
    ),
    "config:refused-with-place": Requirement(
        "I10; contract 1",
        "A broken or not yet enforceable configuration is refused with a code, file, line and column.",
    ),
    "config:precedence": Requirement(
        "contract 1", "Defaults, file, environment, flags: later ones win, and the origin of every value is known."
    ),
    "config:environment": Requirement(
        "contract 1",
        "A variable of the guard that is no setting, or has the wrong form, is refused by name and never quoted.",
    ),
    "config:home": Requirement(
        "contract 1",
        "A home is found by flag, by variable, then upwards; where there is none, the way to make one is named.",
    ),
    "config:schemas-current": Requirement("contract 7", "The checked-in JSON Schemas are those of the code."),
    # --- policy -------------------------------------------------------------------------------------------------
    "policy:refused-at-load": Requirement(
        "I10; contract 3",
        "A policy or model that stock Casbin would drop, ignore or misread, or that is empty, binary or cut off, is refused with code, line, column and hint.",
    ),
    "policy:unsupported-refused": Requirement(
        "contract 2", "An obligation or field this version does not enforce is a load error."
    ),
    "policy:casbin-agrees": Requirement(
        "design 6",
        "Stock Casbin holds the rows we read and gives the same answers where no approval row and no failing condition is involved.",
    ),
    "policy:conditions-closed": Requirement(
        "contract 3; traps: pycasbin",
        "A condition is one expression over an allow-list of nodes, fields and functions; whatever else it holds is refused.",
    ),
    "policy:conditions-typed": Requirement(
        "design 6", "Values of different kinds, missing values and NaN make a condition fail; they are never an answer."
    ),
    "policy:functions-total": Requirement(
        "contract 3", "`within`, `all_domains`, `matches`, `hours` refuse every disguise and come back for every input."
    ),
    "policy:four-effects": Requirement(
        "design 6",
        "deny > require_approval > allow > default deny, independent of row order; the first row of the deciding effect is named.",
    ),
    "policy:errors-deny": Requirement(
        "design 6",
        "A condition that fails denies in a deny or approval row and does not apply in an allow row; no value reaches the reason.",
    ),
    "policy:redact-written": Requirement(
        "contract 3",
        "Places to be redacted are JSON pointers at rows that let calls through; anything else is an error.",
    ),
    "policy:redact-union": Requirement(
        "contract 3", "Of several rows that decide, and of every hop, each place to be redacted counts."
    ),
    "policy:redact-lint": Requirement("contract 3", "Lint tells of a place to be redacted that no result has."),
    "policy:redact-diff": Requirement("contract 5", "To redact less is to let more through."),
    "redact:places": Requirement(
        "contract 3; RFC 6901",
        "What a pointer names is hidden, at every item or member where it says `*`, and nothing else.",
    ),
    "redact:wrong-shape": Requirement(
        "I8", "Where a pointer does not fit the shape of a result, what it leads into is hidden whole."
    ),
    "redact:bounded": Requirement(
        "I8", "Hiding takes time that grows with the parts that are named, however deep or long."
    ),
    "redact:enforced": Requirement(
        "I8; contract 3",
        "What policy hides of a result is in no answer, no text, no record and no file; if hiding fails, nothing is shown.",
    ),
    "redact:tasks": Requirement(
        "I8; design 7",
        "Results of tasks, of calls people approved and of workflows are hidden as policy asks when they are made.",
    ),
    "redact:schema": Requirement("contract 4", "A redacted result is one the advertised output schema allows."),
    "redact:cost": Requirement("design 8", "A reported cost is counted although policy hides it."),
    "redact:told": Requirement("contract 4", "A dry run tells what would be hidden."),
    "lint:poisoning": Requirement(
        "bar: manifests",
        "Lint finds words that speak to the model, in whatever an agent reads of a tool, and quotes none of them.",
    ),
    "upstream:poisoning-shown": Requirement(
        "bar: hostile upstream", "What in another server's words speaks to the model is said before a tool is let in."
    ),
    "lint:unlimited": Requirement(
        "bar: manifests",
        "Lint tells of a destructive tool that nothing bounds: no limit, no rule with one, no approval.",
    ),
    "lint:hints": Requirement("bar: manifests", "Lint tells of hints that contradict the method."),
    "lint:egress": Requirement("bar: egress", "Lint tells of networks too large to be one system."),
    "lint:secrets": Requirement("I8", "Lint tells of secrets in texts agents are shown, and repeats none."),
    "tools:show-effective": Requirement(
        "contract 5", "`tools show` prints all a tool was compiled to, and no secret that a manifest has written out."
    ),
    "result:stripped": Requirement(
        "bar: results", "How many hidden characters were taken out of a result is told with it and recorded."
    ),
    "result:provenance": Requirement(
        "bar: results",
        "A result of a tool with labels, or of another server, says where it came from, and so does its error.",
    ),
    "policy:strictest-hop": Requirement(
        "design 6", "Every hop of a delegation is decided and the strictest result holds."
    ),
    "policy:claimed-roles": Requirement(
        "contract 3",
        "Roles claimed by a credential count for its subject, in its tenant, for that request; a claim or name can never stand for a role or another person otherwise.",
    ),
    "policy:version": Requirement(
        "design 6", "Every decision carries the sha256 of model, rules and tags; the same files have the same version."
    ),
    "policy:cases": Requirement(
        "contract 3", "Policy tests in YAML pass, fail with the difference, or are refused with their place."
    ),
    "policy:example": Requirement("contract 7", "The example policy has no warning, and its tests cover every rule."),
    # --- reload --------------------------------------------------------------------------------------------------
    "reload:in-force": Requirement(
        "design 6",
        "A change of policy, tools or principals is in force for the next call, as a whole, with a record of both versions.",
    ),
    "reload:settled": Requirement(
        "I10", "A file that is still being written is not read; rewriting the same changes nothing."
    ),
    "reload:keeps-the-good-one": Requirement(
        "I10",
        "Whatever is broken, or fails the policy tests, never replaces what is in force, by reload or restart; stderr, status and log say so.",
    ),
    "reload:recorded-first": Requirement("I11", "A change that cannot be put on record is not made until it can."),
    "reload:call-keeps-its-own": Requirement(
        "design 6", "A call in flight keeps the policy, tool and connection it began with."
    ),
    "reload:under-load": Requirement(
        "design 6", "No call is decided by anything but one whole policy while policies are swapped a hundred times."
    ),
    "reload:needs-restart": Requirement("design 6", "What only a new start can give is refused and said."),
    "change:loosening": Requirement(
        "design 6",
        "What lets more through (rules, roles, scopes, attributes, what tools need) is found and named; what cannot be judged counts as looser.",
    ),
    "change:second-person": Requirement(
        "design 6; I10",
        "Under change control a looser change waits for two authenticated people the policy in force lets confirm exactly it; a restart, a swap or the change itself is no way around.",
    ),
    "change:tightening": Requirement("design 6", "A change that only tightens applies at once."),
    "reload:every-process": Requirement("design 6", "Every serving process of a home follows its files."),
    # --- approvals and tasks ----------------------------------------------------------------------------------------
    "approval:carried-out-once": Requirement(
        "I2; I4; design 7",
        "An approved call is carried out once, from what was journaled, and request, decision, intent and outcome are on record.",
    ),
    "approval:merged": Requirement("design 7", "The same call of the same requester waits once."),
    "approval:who": Requirement(
        "I4",
        "Only somebody the rule names, whom policy lets approve, who is authenticated and acts in person decides; never whoever asked, through whatever client.",
    ),
    "approval:decided-once": Requirement("I4", "Of many decisions at once exactly one counts."),
    "approval:denied": Requirement("I4", "A denied call never happens; asking anew is a new question."),
    "approval:unforgeable": Requirement(
        "design 7",
        "Whoever can write the store but has no key can neither approve nor change who may, or what is shown.",
    ),
    "approval:escalates": Requirement(
        "contract 6",
        "Where nobody decided in the time that was said, and before it expires, those it is escalated to may decide as well; whoever asked is told so, and it is on record.",
    ),
    "approval:escalates-once": Requirement(
        "I4; contract 6",
        "An escalation happens once, over processes, restarts and clocks that are set back.",
    ),
    "approval:escalated-who": Requirement(
        "I4; I12", "Whom a question is escalated to has to meet all that any approver has to, in the same tenant."
    ),
    "approval:escalation-unforgeable": Requirement(
        "design 7",
        "Whoever can write the store but has no key can escalate nothing sooner, or to somebody else.",
    ),
    "approval:watched": Requirement(
        "contract 5", "Whoever watches sees every event of every approval once, whichever process makes it happen."
    ),
    "webhooks:standard": Requirement(
        "Standard Webhooks 1.0", "Messages about approvals are formed and signed as the specification says."
    ),
    "webhooks:says-little": Requirement(
        "I8; design 7",
        "A message holds no value of a call unless the summary is wanted, never a sensitive one, and nothing in a summary leaves its place.",
    ),
    "webhooks:who": Requirement(
        "I12; design 7", "A receiver is told of the events and tenants it is named for, and only of what is true."
    ),
    "webhooks:none-lost": Requirement(
        "design 7; bar: faults",
        "What was recorded is told at least once, by one process at a time, also after a kill at any point and by another process; what was erased is not.",
    ),
    "webhooks:retried": Requirement(
        "Standard Webhooks 1.0",
        "What fails is sent again as the same message, with growing pauses over about a day; then it is given up, on record and listed.",
    ),
    "webhooks:gone": Requirement(
        "Standard Webhooks 1.0", "Who answers 410 is told nothing more until an operator says so, or it is elsewhere."
    ),
    "webhooks:apart": Requirement(
        "design 7",
        "A receiver that hangs, floods, redirects or breaks off affects no call, no decision and no other receiver.",
    ),
    "webhooks:guarded-egress": Requirement(
        "design 1; contract 2", "Messages reach private networks only where the configuration opts in."
    ),
    "webhooks:secret": Requirement("I8", "The secret of a webhook stands in no store, listing, log line or error."),
    "webhooks:kept-for-a-week": Requirement("design 4", "What became of messages is removed after a week."),
    "signed:sshsig": Requirement(
        "design 7",
        "A signature counts only over exactly its message, for its one purpose, in its one form, by Ed25519 or P-256; hostile bytes are refused and do nothing else.",
    ),
    "signed:touch": Requirement(
        "design 7",
        "A security key counts only where it was touched, and only under the application it was declared with.",
    ),
    "signed:openssh": Requirement("design 7", "Signatures are what stock ssh-keygen makes and verifies."),
    "signed:keys": Requirement(
        "design 7", "A declared key belongs to one person; a line that is no key is refused with its place."
    ),
    "signed:who": Requirement(
        "I4; design 7",
        "A signature by a declared key is all it takes to say who decides; everything else that says who may still holds.",
    ),
    "signed:unforgeable": Requirement(
        "design 7",
        "Whoever holds the store and the guard's own keys, and no approver's key, cannot have carried out what takes signed decisions.",
    ),
    "signed:revoked": Requirement(
        "design 7", "A decision signed with a key that is not declared any more does not count when it is to be used."
    ),
    "signed:assurance": Requirement(
        "design 7; contract 3",
        "Where a rule or step asks for an assurance, decisions of people known less surely are refused and never count, also where it asks since.",
    ),
    "signed:record": Requirement(
        "design 5; design 7",
        "The record alone shows that a decision was signed, gives no value away, and both verifiers say where it does not.",
    ),
    "approval:hash-gives-nothing-away": Requirement(
        "design 5",
        "The binding hash of an approval is keyed: records alone tell nobody who can guess what was asked for.",
    ),
    "erase:tasks": Requirement(
        "design 5",
        "Erasing a call or a subject takes along what ended tasks and their approvals keep of it; what still runs is counted as open.",
    ),
    "approval:bound": Requirement(
        "I4; design 7",
        "Where the tool, the rule, or what the requester may do changed while it waited, what was approved is not carried out.",
    ),
    "approval:rule-changed": Requirement(
        "I4; design 7",
        "Where a rule asks for more or other people, or for an answer sooner, than agreed while it waited, what was approved is not carried out.",
    ),
    "approval:values-sealed": Requirement(
        "I8; I12", "Who may see what waits is believed only of rows the guard wrote."
    ),
    "approval:token-revoked": Requirement(
        "I4; design 7", "What was asked for with a token is not carried out once that token is revoked."
    ),
    "tasks:polls-bounded": Requirement(
        "contract 4", "One person keeps only so many questions about tasks open, and that keeps nobody else's out."
    ),
    "erase:decisions": Requirement(
        "design 5", "Erasing who only ever decided leaves their name beside no decision and no grant."
    ),
    "approval:list-fair": Requirement(
        "design 7", "However much some people ask, what anybody else asked is listed for whoever decides."
    ),
    "ids:short": Requirement(
        "contract 5", "Tasks, approvals and grants are named by a beginning of their id where it names one of them."
    ),
    "approval:agreed-is-said": Requirement(
        "design 7", "Once people agreed a task says so, and waits for nobody any more."
    ),
    "approval:survives-restart": Requirement("design 7", "A call that waits outlives the process."),
    "approval:not-in-clear": Requirement(
        "I8; contract 6",
        "What waits is encrypted in the store; sensitive values are shown only to who may decide, on record.",
    ),
    "approval:crash": Requirement(
        "I1; I2; I5; bar: faults",
        "Killed at any named point between asking and having done it, an approved act with a key happens once; every intent ends in one outcome.",
    ),
    "tasks:in-doubt": Requirement(
        "I2",
        "A step that could act twice and was begun by a process that died waits until an operator says what became of it.",
    ),
    "tasks:long-running": Requirement(
        "contract 4; I2",
        "A call of a tool that says `task: {}` goes on whoever waits for it, is the same while it runs, and after a kill is done again only where that cannot act twice.",
    ),
    "tasks:progress": Requirement(
        "contract 4; MCP progress",
        "Whoever waits for a task and asked for progress is told every move that is seen, ever growing, with the number of steps, on both eras and transports.",
    ),
    "tasks:progress-asked": Requirement(
        "MCP progress",
        "Without a progress token nothing is sent and the answer is one document; nobody is told of a task that is not theirs to see.",
    ),
    "approval:quorum": Requirement("contract 3", "A quorum takes as many different people; one denial ends it."),
    "approval:expires": Requirement(
        "I4; bar: approvals",
        "After its time an approval is neither decided nor used, also with the clock set back afterwards.",
    ),
    "approval:hasty": Requirement(
        "bar: approvals", "A decision within two seconds of its request is marked, on record and where it is shown."
    ),
    "grant:bounded": Requirement(
        "bar: approvals",
        "Under a grant go ahead the very same calls, or of the same shape with smaller numbers, so many and no more; then people are asked again.",
    ),
    "grant:exact": Requirement(
        "I9; bar: approvals", "N uses admit exactly N, over parallel calls, processes and restarts."
    ),
    "grant:whose": Requirement(
        "I4",
        "Nobody else goes ahead under a grant, and nothing once the rule, the tool, the requester or the right of who gave it changed; a freeze wins.",
    ),
    "grant:expires": Requirement("I4", "After its time a grant is none, also with the clock set back."),
    "grant:revocable": Requirement(
        "bar: approvals", "Who gave a grant, or may approve its tool, takes it back, and nobody else."
    ),
    "grant:unforgeable": Requirement(
        "design 7",
        "Whoever can write the store but has no key can neither make nor widen a grant, nor win back uses or a revoked one without changing the log.",
    ),
    "grant:limits": Requirement(
        "I4",
        "A grant has a bound time and number of uses, one person's leave suffices for it, and it goes with a decision that counts.",
    ),
    "grant:steps": Requirement("design 7", "A step of a workflow goes ahead under a grant like any call."),
    "grant:on-record": Requirement(
        "contract 6", "Making, each use and revoking of a grant are on record; the agent is told nothing of it."
    ),
    "grant:shown": Requirement("bar: approvals", "All that a grant admits is said on one line before it is recorded."),
    "grant:cli": Requirement("contract 5", "Grants are made, listed and revoked from the command line."),
    "approval:caps": Requirement(
        "design 7", "One requester can have only so many tasks open, so that no more of theirs ever wait for people."
    ),
    "tasks:sealed": Requirement(
        "I4; design 7", "Who can write the store but has no key cannot say that a step was done or agreed to."
    ),
    "tasks:on-record": Requirement(
        "I2; I4", "A step that is done on record, or whose approval ended, is not carried out because rows say less."
    ),
    "tasks:room": Requirement(
        "design 7", "However many slow tasks somebody has, a process carries on one of everybody else's as well."
    ),
    "approval:parked-is-rows": Requirement("design 7", "A call that waits is no coroutine and no thread."),
    "approval:summary": Requirement(
        "design 7; bar: approvals",
        "What an approver is shown is one quoted line a value, with nothing hidden, nothing sensitive, and nothing that looks like another line.",
    ),
    "approval:cli": Requirement(
        "contract 5", "Approvals are listed, shown, approved, denied and carried out from the command line."
    ),
    "approval:demo-only": Requirement("contract 1", "A declared identity decides only in a demo home that says so."),
    "approval:plain-tools": Requirement(
        "contract 4", "A client without tasks or elicitation completes an approved call with plain tools, on both eras."
    ),
    "tasks:asks-requester": Requirement(
        "MCP",
        "What only its requester can confirm stands in the task (`inputRequests`), and `tasks/update` answers it.",
    ),
    "approval:confirm": Requirement(
        "contract 3, 4; design 7",
        "A yes of the person at the requesting client, in a form or in person elsewhere, carries the call out once, in the same request where it can, over restarts and kills, on record with channel and assurance.",
    ),
    "approval:confirm-only-a-yes": Requirement(
        "design 7",
        "Empty, first-choice, malformed, declined and cancelled forms confirm nothing and deny nothing; who said no is not asked on and on.",
    ),
    "approval:confirm-only-own": Requirement(
        "I4",
        "A form confirms a call of one's own through the same client, in person, and never stands in for an approver.",
    ),
    "approval:confirm-not-by-model": Requirement(
        "I4", "No tool call confirms a call: the model that asked does not answer itself."
    ),
    "approval:confirm-then-approvers": Requirement(
        "contract 3", "Where others are to approve as well, they are asked once the requester has confirmed."
    ),
    "approval:confirm-once": Requirement("I4", "A request state that comes again does nothing again."),
    "approval:confirm-bound": Requirement(
        "I4",
        "A request state is good for its own call, arguments, principal and client only, and nothing is confirmed without one.",
    ),
    "approval:confirm-bounded": Requirement(
        "design 7", "A client that cannot ask, or never answers, holds up nobody, and its call waits like any other."
    ),
    "approval:hidden-tools": Requirement(
        "I6; contract 4",
        "The deciding tools are there only for those who may decide; to others they are unknown tools.",
    ),
    "tasks:resource": Requirement(
        "contract 4; I12",
        "task://{id} shows a task with its steps to whose it is and whom policy gives it; unknown and not theirs look alike; every read is on record.",
    ),
    "tasks:told": Requirement(
        "contract 4", "Who subscribed to a task they may read is told when it moves, on both eras; nobody else is."
    ),
    "tasks:extension": Requirement(
        "contract 4; SEP-2663",
        "A client that declares the tasks extension is given a durable task for a call that waits, and asks, answers and cancels by its id.",
    ),
    "tasks:extension-owner": Requirement(
        "contract 4; I12; SEP-2663",
        "To everybody but its owner a task is one that is not there; a request whose Mcp-Name names another does nothing.",
    ),
    "tasks:extension-declared": Requirement(
        "contract 4; SEP-2663",
        "Who does not declare the extension in the very request gets nothing of it, in either era.",
    ),
    "tasks:extension-told": Requirement(
        "contract 4; SEP-2663", "notifications/tasks tells the task's own listener the whole task when it moves."
    ),
    "tasks:finished": Requirement(
        "design 7",
        "A caller's next result lists their own tasks that ended since, each once, over processes and restarts.",
    ),
    "tasks:moves": Requirement("design 7", "A state changes only as its table says."),
    "tasks:cli": Requirement("contract 5", "Tasks are listed, shown, cancelled and resumed from the command line."),
    "vault:sealed": Requirement("contract 6", "What waits opens only with the key and only in its own row."),
    "vault:key": Requirement(
        "contract 1", "The key of what waits is made once, private, and refused when others can read it."
    ),
    "tasks:own": Requirement("I12; contract 4", "A task that is not the caller's looks like one that does not exist."),
    "tasks:cancel": Requirement("contract 4", "Whoever asked can withdraw what waits."),
    "tasks:pages": Requirement(
        "contract 5", "Pages of tasks show every task once, in order, and say whether there are more."
    ),
    "tasks:watch": Requirement(
        "contract 5", "A task is shown again whenever it moves, until it ended or somebody says stop."
    ),
    "tasks:held": Requirement(
        "design 7", "What a living process works on no command takes from it; what a dead one worked on is taken over."
    ),
    "tasks:mismatch": Requirement(
        "I4", "A step whose approval was written over by hand fails on record; nothing waits for ever for it."
    ),
    # --- workflows --------------------------------------------------------------------------------------------------
    "workflow:checked-at-load": Requirement(
        "contract 2",
        "A workflow is refused with code and place where it, its templates or its arguments do not fit the tools it calls; it is bound to exactly those.",
    ),
    "workflow:interpreter": Requirement(
        "design 7",
        "What comes next is a function of plan, journal and time: in order, nothing done begun again, back in reverse, and every journal ends.",
    ),
    "workflow:templates": Requirement("contract 2", "A template is a dotted look-up; a lone one keeps its type."),
    "workflow:carried-out": Requirement(
        "contract 2; contract 4",
        "A workflow's steps are calls of whoever asked, each decided and on record; one that ends soon is answered with its output.",
    ),
    "workflow:ahead": Requirement(
        "I1", "A step may begin while the one before is being stored; nothing is done or passed on before it is."
    ),
    "workflow:retried": Requirement(
        "contract 2; I2", "A step that failed for now is tried again with its one key, as its manifest says."
    ),
    "workflow:compensated": Requirement(
        "contract 2; design 7",
        "A workflow that fails takes back what it did in reverse order, and names what it could not.",
    ),
    "workflow:approve-step": Requirement(
        "I4; contract 2",
        "A step asks people with bound values, nothing sensitive shown; who asked never decides; a denial takes the workflow back.",
    ),
    "workflow:step-policy": Requirement(
        "contract 2",
        "Every step is decided for the requester as they are when it runs, and waits where policy asks for people.",
    ),
    "workflow:snapshot": Requirement(
        "design 7", "A task keeps the plan it began with, and executes no tool that is another by then."
    ),
    "workflow:cancel": Requirement(
        "contract 4", "A workflow is cancelled while it waits and between steps, and takes back what it did."
    ),
    "workflow:deadline": Requirement("contract 2", "A workflow not done before its deadline is taken back."),
    "workflow:own": Requirement("I12", "A workflow that is not the caller's looks like one that does not exist."),
    "workflow:dry-run": Requirement(
        "contract 4", "A dry run of a workflow says what policy says of it and begins nothing."
    ),
    "workflow:gate": Requirement("contract 3", "A workflow policy wants approved begins when it is, and not before."),
    "workflow:missing-value": Requirement(
        "contract 2", "A look-up that finds nothing when a step runs fails the step, naming the look-up and no value."
    ),
    "workflow:woken": Requirement("design 7", "Who wakes a task just as it is put down is not overheard."),
    "workflow:example": Requirement(
        "contract 2", "The example home takes in a customer through failures and people, or leaves nothing behind."
    ),
    "workflow:crash": Requirement(
        "I1; I2; I5; bar: faults",
        "Killed at any named point a workflow ends as if it had not been, or waits for an operator; nothing happens twice.",
    ),
    # --- engines ----------------------------------------------------------------------------------------------------
    "engine:promises": Requirement(
        "design 7",
        "Every engine moves tasks and steps by compare-and-set, whole commits or none; one process works on a task, and who wakes it is heard.",
    ),
    "engine:oracle": Requirement(
        "design 7",
        "For any history of begins, moves, steps, claims, releases and dead processes the embedded engine answers and shows what the reference does.",
    ),
    # --- probes -----------------------------------------------------------------------------------------------------
    "probe:checked-at-load": Requirement(
        "contract 2",
        "A probe is refused with code and place where it could act, could never be needed, or does not fit the tool it asks; it is bound to exactly that.",
    ),
    "probe:decides": Requirement(
        "I2; design 7",
        "A step in doubt is done again only where its probe said no, is done only where it said yes, and is asked about only once it settled; nothing happens twice as long as the probe tells the truth.",
    ),
    "probe:crash": Requirement(
        "I1; I2; I5; bar: faults",
        "Killed before the act, after it, or while it is asked about, a step with a probe happens exactly once, and what was asked and concluded is on record.",
    ),
    "probe:person": Requirement(
        "I2",
        "Where the probe is refused, fails, or says neither, the step stays in doubt with the reason, and a person's word is taken first.",
    ),
    # --- connect and secrets --------------------------------------------------------------------------------------
    "egress:judged-addresses": Requirement(
        "design 2; bar: egress",
        "Every address a name resolves to is judged, one bad answer denies it, and connections go to judged addresses only, at every new connection again.",
    ),
    "egress:opt-in": Requirement(
        "contract 2",
        "A private network is reached only by tools that opt into it, never over another tool's open connection, and never through a tunnelled IPv4 address.",
    ),
    "egress:one-spelling": Requirement(
        "bar: egress",
        "Decimal, octal, hexadecimal, short and otherwise ambiguous hosts, user information and other schemes are denied.",
    ),
    "egress:no-redirects": Requirement("bar: egress", "A redirect is an error and nothing is sent where it points."),
    "egress:no-ambient": Requirement(
        "bar: egress", "No proxy or certificate from the environment, and no cookie, takes part in a request."
    ),
    "egress:bounded": Requirement(
        "bar: egress",
        "Endless, slow, oversized, compressed and misannounced answers end within the tool's time and size.",
    ),
    "egress:tls": Requirement(
        "bar: egress",
        "Expired, self-signed, foreign or misnamed certificates end the connection before anything is sent; verification cannot be turned off.",
    ),
    "http:media": Requirement(
        "contract 2; bar: egress",
        "An answer that is no text is passed on only as one of the types a tool names, if it begins as that type does and holds no secret in clear.",
    ),
    "http:client-certificates": Requirement(
        "bar: egress",
        "A tool's own authorities replace the usual ones and its certificate is shown by it alone; the server is verified always, files that are missing, broken, locked or open to others connect to nothing, and renewed ones are used at once.",
    ),
    "connect:path-segments": Requirement(
        "contract 2; bar: templates",
        "A path argument is exactly one segment, also after repeated decoding; what could leave it is refused before anything is connected.",
    ),
    "connect:header-lines": Requirement(
        "bar: templates", "A header value, from an argument or a secret, is one line; anything else is refused."
    ),
    "connect:json-unchanged": Requirement(
        "bar: arguments", "Arguments reach a JSON body with type and value unchanged and are never read as templates."
    ),
    "connect:form-fields": Requirement(
        "contract 2; bar: templates",
        "An argument in a form is one value of its field, whatever it holds; a list repeats the field.",
    ),
    "connect:text-bodies": Requirement(
        "contract 2; bar: templates",
        "An argument is a whole text body unchanged, or one line within plain text; within other types, two bodies and a second type are load errors.",
    ),
    "http:pages-stay": Requirement(
        "bar: egress",
        "What an upstream says of its next page chooses one query parameter or a path on the origin that was asked; anything else ends the call and nothing is sent elsewhere.",
    ),
    "http:pages-bounded": Requirement(
        "bar: egress",
        "Pages keep to a number, and together to the size and time of one answer; a circle ends the call.",
    ),
    "http:breaker": Requirement(
        "bar: egress",
        "An origin that fails so many times in a row is sent nothing for a while, by no tool, then one call at a time until it answers; no 4xx and no argument does that, and it never stays shut.",
    ),
    "connect:strict-answers": Requirement(
        "bar: egress",
        "HTML for JSON, broken, lenient or bottomless JSON and unknown types are `upstream_bad_response`.",
    ),
    "connect:retry-after": Requirement(
        "RFC 9110 10.2.3; bar: egress", "Retry-After is read as seconds or a date, bounded; odd values are ignored."
    ),
    "connect:retry-schedule": Requirement(
        "contract 2", "Waits have full jitter, double up to `max_backoff`, and are never shorter than a Retry-After."
    ),
    "connect:same-key-every-attempt": Requirement(
        "contract 2", "Every attempt of a call carries the same idempotency key and arguments."
    ),
    "connect:executed-is-true": Requirement(
        "I5; contract 4",
        "`executed` covers all attempts: one that may have acted leaves the call `unknown`, and a tool that acts once is then not to be repeated.",
    ),
    "secrets:no-traceback": Requirement(
        "I8", "Of an exception nobody expected the log has kind and place, never its text or a traceback."
    ),
    "secrets:redacted": Requirement(
        "I8",
        "A resolved secret, in any usual encoding, and anything shaped like a credential reach no value, key, error text or log line.",
    ),
    "secrets:resolved-at-use": Requirement(
        "contract 2", "A secret is resolved when it is used: a changed file or variable counts for the next call."
    ),
    "upstream:locked-only": Requirement(
        "contract 2",
        "Of another server's tools only those a manifest allows and somebody locked are there, as they were locked.",
    ),
    "upstream:offers": Requirement(
        "contract 2",
        "Another server's resources and prompts are decided, limited and recorded like its tools; hidden ones are unknown, and none is called as something else.",
    ),
    "upstream:templates": Requirement(
        "contract 2",
        "A server is sent the URI that the values policy decided about make, and no value or escape leads to another.",
    ),
    "upstream:quarantine": Requirement(
        "contract 2",
        "A tool that is not any more what was locked is not called, also where it changes while its session lives.",
    ),
    "upstream:calls": Requirement(
        "contract 2", "A call of another server's tool is one call there, and its result a JSON value."
    ),
    "upstream:progress": Requirement(
        "MCP progress",
        "What another server says of the progress of a call reaches the client of that very call, if it asked: screened, ever growing, at most ten times a second, never after the answer; nothing of it lengthens a timeout.",
    ),
    "upstream:asks": Requirement(
        "MCP elicitation",
        "What another server asks during a call is put to the person of that very call, where its entry allows it, policy is obeyed and they can be asked; else it is declined, and either is on record.",
    ),
    "upstream:asks-marked": Requirement(
        "MCP elicitation",
        "A question names the server it comes from in a line the server cannot imitate; its words are quoted, visible and bounded.",
    ),
    "upstream:asks-no-secrets": Requirement(
        "MCP elicitation",
        "Nobody is asked for passwords, keys, codes or card numbers in a form, however that is spelt.",
    ),
    "upstream:asks-flat": Requirement(
        "MCP elicitation", "A form has flat fields of simple types and nothing else, made anew from what was asked."
    ),
    "upstream:asks-answered": Requirement(
        "MCP elicitation",
        "Only a whole answer of the form's own fields, confirmed by the person, is sent; forms accepted unseen, secrets and anything else send nothing.",
    ),
    "upstream:asks-bounded": Requirement(
        "MCP elicitation",
        "A call asks so often, one question at a time and for so long; what a person takes is no time of the server's.",
    ),
    "upstream:asks-others-refused": Requirement(
        "MCP", "Sampling, roots and whatever else a server wants of a client are refused, and that is on record."
    ),
    "upstream:asks-resumed": Requirement(
        "SEP-2322",
        "A modern client's call that is sent again with an answer goes on with the call that waits, and never begins another one.",
    ),
    "upstream:content": Requirement(
        "contract 2",
        "Pictures, sounds and links of another server's answer are shown as such, from the value that is on record; what may be a program is not.",
    ),
    "upstream:session": Requirement(
        "contract 2",
        "A session is begun at the first call, kept for all, begun anew when it broke, and ended with the last tool that used it; one that cannot begin, or dies again and again, is not tried by every call.",
    ),
    "upstream:hostile": Requirement(
        "bar: faults",
        "A server that hangs, floods, dies, lies, asks, does not read or never ends its list costs a bounded time and memory, and the next call is fine.",
    ),
    "upstream:egress": Requirement(
        "bar: egress", "A server's address is judged like any tool's: a private one nobody allowed is not connected to."
    ),
    "upstream:least-environment": Requirement(
        "contract 2",
        "A server that is a program gets the variables its manifest names, and none of the guard's own secrets.",
    ),
    "import:operations": Requirement(
        "contract 2",
        "An operation of a description (OpenAPI 3.0, 3.1) is a typed tool: its parameters, its JSON body and its result as described.",
    ),
    "import:never-wrong": Requirement(
        "contract 2", "What could not be sent as it is described is refused with the reason, never sent otherwise."
    ),
    "import:as-by-hand": Requirement(
        "contract 2", "A tool from a description is compiled and carried out like an `http` tool written by hand."
    ),
    "import:as-described": Requirement(
        "contract 2", "A call reaches a live service as the request its description describes, and nothing else does."
    ),
    "import:credentials": Requirement(
        "I8; contract 2",
        "The credential of a security scheme is a reference in a header; no argument takes its place, and an operation without one is refused.",
    ),
    "import:hints-grant-nothing": Requirement(
        "contract 2", "What a tool of a description does is the operator's word; its method is a hint."
    ),
    "import:locked-only": Requirement(
        "contract 2", "Of a description only operations that a manifest includes and somebody locked are there."
    ),
    "import:quarantine": Requirement(
        "contract 2",
        "An operation that is not described as it was locked is not called until somebody looked, also while a server runs.",
    ),
    "import:hostile": Requirement(
        "bar: hostile input",
        "A hostile description reads no other file, fetches nothing, ends in time, sends no agent's headers, and writes nothing into a manifest.",
    ),
    "import:proposed": Requirement(
        "contract 5", "`tools import openapi` proposes a manifest that loads, and says why operations cannot be used."
    ),
    "import:documented": Requirement("contract 7", "The page about descriptions is run as it stands."),
    "secrets:programs": Requirement(
        "I8",
        "A program that hands a secret out gets no shell and no environment, is ended in time with what it began, and nothing it says but the value is kept.",
    ),
    "secrets:canary": Requirement(
        "I8",
        "Over the whole suite no file of a home holds the example home's secret, in any usual encoding, but its own.",
    ),
    "cli:secret-check": Requirement(
        "contract 5",
        "`secret check` names every secret the home refers to, who uses it, and whether it can be had, never its value.",
    ),
    "secrets:private-files": Requirement(
        "bar: files", "A secret file that others can read or write is refused, also when that changes later."
    ),
    "sql:parameters-only": Requirement(
        "contract 2; bar: templates",
        "Arguments reach a statement as bound parameters only, unchanged; lists, objects and oversized integers are refused by name.",
    ),
    "sql:least-privilege": Requirement(
        "contract 2",
        "A statement reads rows, or writes rows where the tool may; no ATTACH, PRAGMA, DDL, transaction or second statement.",
    ),
    "sql:all-or-nothing": Requirement(
        "contract 2", "A write that fails, is too large or runs out of time changed nothing."
    ),
    "sql:bounded": Requirement("contract 2", "Statements end within the tool's time, rows within its count and size."),
    "postgres:parameters-only": Requirement(
        "contract 2; bar: templates",
        "Arguments reach PostgreSQL as bound values of their types, unchanged; what does not fit is refused by name.",
    ),
    "postgres:least-privilege": Requirement(
        "contract 2",
        "A reading tool runs in a read-only transaction, a second statement is none, and the role's rights are the limit.",
    ),
    "postgres:all-or-nothing": Requirement("contract 2", "A write that fails, at the commit too, changed nothing."),
    "postgres:bounded": Requirement(
        "contract 2", "Statements end at the server within the tool's time, rows within its count and size."
    ),
    "postgres:executed": Requirement(
        "I2; I5", "Only what goes wrong once COMMIT was sent leaves it unknown whether a write happened."
    ),
    "postgres:no-password-shown": Requirement(
        "I8", "A password comes from a reference and stands in no log, error or answer; the environment has no say."
    ),
    "postgres:tls": Requirement(
        "bar: egress", "TLS is verified by certificate and name where it is wanted, and never given up for plain text."
    ),
    "command:argv-only": Requirement(
        "contract 2; bar: templates",
        "An argument of a command is one element or a part of one, whatever it holds; none becomes a part of a script.",
    ),
    "command:no-option-injection": Requirement(
        "bar: templates",
        "A value that begins with `-` is never the beginning of an element, unless behind `--` or where it is allowed.",
    ),
    "command:paths": Requirement(
        "bar: templates",
        "A value beside a slash stays one segment, a path of `within` stays below its directory, and none leads to the guard's files.",
    ),
    "command:nothing-inherited": Requirement(
        "design; contract 2",
        "A command sees the declared variables, a directory and no input, and nothing else of the server.",
    ),
    "command:pinned": Requirement(
        "contract 2", "The program is fixed at load and part of the fingerprint; a pinned one that changed is not run."
    ),
    "command:sandbox": Requirement(
        "design: least privilege",
        "In a sandbox a command sees the system read-only and its directories, and no network unless declared.",
    ),
    "process:bounded": Requirement(
        "bar: hostile input",
        "Programs are held to time, output, processor, memory, files and processes, and ended beyond.",
    ),
    "process:nothing-left": Requirement(
        "bar: faults",
        "When a call is over, given up, or its server killed, nothing it started runs on, also what left its group.",
    ),
    "tools:documented": Requirement(
        "models: 8", "Every tool of docs/tools.md loads, and every call is answered as it says."
    ),
    "python:json-only": Requirement(
        "contract 2", "What a function returns is plain JSON or refused; nothing is converted quietly."
    ),
    "python:worker": Requirement(
        "contract 2; bar: hostile input",
        "A function in a worker sees what is declared; its crash, exit or endlessness fails its call and nothing else.",
    ),
    "python:signature": Requirement(
        "contract 2; I10",
        "A schema read from a signature says what the annotations say; what they cannot say is refused with file and line, and nothing is imported.",
    ),
    "python:exceptions-stay-inside": Requirement(
        "I8",
        "An exception reaches the operator's log, redacted, and the agent only as a `ToolError`, bounded and redacted.",
    ),
    # --- store and audit ----------------------------------------------------------------------------------------
    "store:one-chain": Requirement(
        "design 4, 5",
        "Batches, restarts and several processes on one file continue one chain, sealed exactly as the rule says, with strictly increasing times.",
    ),
    "store:durable": Requirement(
        "I1; traps: SQLite", "The log is written through a write-ahead log with a sync for every commit, or not at all."
    ),
    "store:nothing-acknowledged-lost": Requirement(
        "I3; bar: faults, files",
        "What was acknowledged survives kills, full disks and lost rights; a file that lacks it is refused until the right one is back.",
    ),
    "store:recovers": Requirement(
        "bar: files",
        "A locked, full, deleted, replaced or failing database is a refusal with a reason, and writing resumes by itself when the fault is gone.",
    ),
    "store:ballast": Requirement(
        "bar: faults",
        "On a full disk outcomes of what was begun still fit and nothing is begun; it goes on by itself with space.",
    ),
    "store:in-doubt": Requirement(
        "traps: SQLite", "Where a failed commit cannot be looked up each unit is told so, and the file decides later."
    ),
    "store:all-or-nothing": Requirement(
        "design 4",
        "A unit's rows, records and values commit together; a unit that fails leaves nothing and harms no other.",
    ),
    "store:group-commit": Requirement(
        "design 4", "Whatever queues during a batch is the next batch, and each caller gets its own result."
    ),
    "store:bounded-queue": Requirement(
        "bar: hostile input", "A queue that is full, by count or bytes, refuses at once and recovers."
    ),
    "store:private-files": Requirement(
        "contract 7", "Database, log, index and lock files are readable by their owner alone."
    ),
    "store:refuses-foreign-files": Requirement(
        "bar: files", "Another program's database, a newer schema or garbage is refused and left byte for byte alone."
    ),
    "store:local-disk-only": Requirement("traps: SQLite", "A network file system is refused."),
    "store:readers-cannot-write": Requirement("design 4", "A reading connection cannot change anything."),
    "store:liveness": Requirement(
        "design 5", "A process counts as alive exactly as long as it holds the lock named by its boot id."
    ),
    "store:sql-in-files": Requirement("models 5", "SQL stands in `.sql` files, by name."),
    "audit:tail-says-what": Requirement("contract 5", "A row of the log that is no call says what happened."),
    "audit:intent-before-act": Requirement(
        "I1", "An intent is durable before the act it announces, also when the process dies at any point."
    ),
    "audit:one-outcome": Requirement(
        "I5",
        "Every intent ends in exactly one outcome: of its caller, of a caller that went away, or of whoever recovers.",
    ),
    "audit:gap-on-record": Requirement(
        "bar: faults",
        "While writing fails it is tried again without traffic; how long it failed and how much was refused is recorded.",
    ),
    "audit:survives-crash": Requirement(
        "I3; I5",
        "After a kill at any failpoint the log verifies and recovery closes exactly the orphans, as unknown, once.",
    ),
    "audit:no-record-no-act": Requirement(
        "I11", "While the log cannot be written no intent is granted, and why is known."
    ),
    "audit:outcomes-survive-faults": Requirement(
        "I5", "Outcomes the store did not take are kept and written first when it works again."
    ),
    "audit:refusals-recorded": Requirement("design 5", "A refused call is one outcome that says who, what and why."),
    "audit:faults-counted": Requirement(
        "bar: hostile input", "Faults strangers can cause at will are counted and cannot fill the disk."
    ),
    "audit:record-fields": Requirement("contract 6", "Every kind of record has exactly its fields."),
    "audit:canonical": Requirement(
        "contract 6; RFC 8785",
        "Records are canonical JSON: the bytes equal RFC 8785's, and what canonicalisers could disagree on is refused.",
    ),
    "audit:commitments": Requirement(
        "design 5; contract 6", "A commitment binds exactly the bytes beside the record, under a fresh salt."
    ),
    "audit:sensitive-never-kept": Requirement(
        "contract 6; I8", "A sensitive value stands nowhere in clear and can still be checked by whoever is shown it."
    ),
    "audit:inputs-kept": Requirement(
        "design 6; contract 6",
        "Beside each decision stand all its inputs, committed to: never in clear in the record, redacted, sensitive parts as a commitment only, and shown to nobody who does not read all.",
    ),
    "audit:erasable": Requirement("design 5", "An erased value leaves a log that verifies."),
    "erase:bytes-gone": Requirement(
        "design 5",
        "What was erased stands in no file of the store any more: not in the database, its free space or its write-ahead log.",
    ),
    "erase:same-commit": Requirement(
        "design 5; I3",
        "Values go in the commit of the record that says so, whatever happens in between, and no field is counted twice.",
    ),
    "erase:recorded": Requirement(
        "design 5",
        "An erasure is on record: who, what was asked, how many fields of which records and why; never a value.",
    ),
    "erase:shown": Requirement(
        "design 5", "Where a record is shown, the commitments whose values were erased are named."
    ),
    "pseudonyms:keyed": Requirement(
        "design 5; RFC 2104",
        "A pseudonym is HMAC-SHA256 of the name under the home's key; nobody can bear one as a name.",
    ),
    "pseudonyms:in-records": Requirement(
        "design 5", "Where pseudonyms are on, no record and no index names a person, whatever the kind and the place."
    ),
    "pseudonyms:readable": Requirement(
        "design 5", "Whoever may read records finds them by a person's name and is told it, while it is known."
    ),
    "pseudonyms:erasable": Requirement(
        "design 5",
        "Once erased, a person's name is in no file of the store, records and own rows are unlinkable, also when they come back.",
    ),
    "pseudonyms:key": Requirement(
        "contract 1", "The pseudonym key is made on first use, mode 0600; one that others can read is refused."
    ),
    "reveal:opens": Requirement(
        "design 5",
        "Whoever is shown a value and its salt can check them against the record, in the store or in an export.",
    ),
    "reveal:recorded": Requirement(
        "contract 6", "Revealing or checking a value on a store is on record before it is answered; the value is not."
    ),
    "reveal:believes-nothing": Requirement(
        "design 5", "A record, commitment or stored value that was swapped is named as broken, not taken for proof."
    ),
    "erase:not-put-back": Requirement(
        "design 5", "A deep verification names a value that stands again where an erasure is on record."
    ),
    "erase:while-serving": Requirement(
        "design 4", "Erasing goes on beside serving processes, in commits so small that calls do not wait for it."
    ),
    "audit:verify-good": Requirement(
        "contract 5", "A good log verifies as store, export or lines, empty or being written, without a byte changed."
    ),
    "audit:tamper-evident": Requirement(
        "bar: tamper matrix",
        "Edits, deletions, insertions, copies, reorderings, renumberings, rewrites in place, clock set back and foreign logs are caught, naming the first bad record.",
    ),
    "audit:needs-anchor": Requirement(
        "bar: tamper matrix",
        "A cut end, an older copy and a whole rewrite are caught with a record known from elsewhere, which they need.",
    ),
    "audit:verify-deep": Requirement(
        "I3; I5; contract 6",
        "The deep check names malformed records, outcomes of no open intent, and values that are not the committed ones.",
    ),
    "audit:ed25519": Requirement(
        "RFC 8032 5.1.7",
        "The stand-alone verifier's Ed25519 gives the verdicts of the RFC's vectors and of `cryptography`, and takes no key of small order and no second encoding.",
    ),
    "audit:verify-parallel": Requirement(
        "bar: verify",
        "A log checked in pieces, by one process or several, gives the verdict and the root of one read from end to end.",
    ),
    "audit:verify-stream": Requirement(
        "bar: verify", "A log of any size and with lines of any length is verified in bounded memory; progress is told."
    ),
    "audit:hostile-log": Requirement(
        "design 5", "Whatever stands in a log, both verifiers give a verdict, the same one, in bounded time and memory."
    ),
    "audit:hostile-store": Requirement(
        "bar: files",
        "A store that somebody prepared is said to be broken, never an unexpected error; a poisoned index does not end the writer.",
    ),
    "export:terminal": Requirement("contract 5", "An export that is shown on a terminal cannot command it."),
    "audit:anchor-from-the-future": Requirement(
        "design 5", "A confirmation from more than an hour ahead of the auditor's clock does not count as recent."
    ),
    "audit:standalone": Requirement(
        "design 5; bar: tamper matrix",
        "One file of plain Python 3.11, made of the program's own lines, gives the program's verdict on an export.",
    ),
    "audit:key-epochs": Requirement(
        "design 5",
        "One key of a log is enough to follow the others by checked hand-overs; a key signs only sizes of its own epoch, so a stolen one rewrites no earlier epoch.",
    ),
    "audit:anchor-age": Requirement(
        "design 5",
        "Only acknowledgements of trusted witnesses count as anchored; where one younger than an age is required, its lack breaks the verdict.",
    ),
    "audit:verify-beside": Requirement(
        "design 5; I5",
        "The deep check names whatever a store keeps beside its lines that they do not give: index, tiles, open intents, stray rows, foreign tables and triggers.",
    ),
    "prune:gone": Requirement(
        "contract 5",
        "Pruned lines and the values beside them are in no file of the store any more, and neither is what the index knew of them alone.",
    ),
    "prune:verifies": Requirement(
        "design 5; issue: retention",
        "A pruned log verifies from its cut on, with every later checkpoint and key, by program and stand-alone file; rows that went without a record are missed.",
    ),
    "prune:recorded": Requirement(
        "contract 5", "Records go in the commit of the `prune` record that says which, and what their tree was."
    ),
    "prune:archive": Requirement(
        "contract 5",
        "Before lines go they are durable in the archive, byte for byte; archive and rest are the whole log, and a changed archive is noticed.",
    ),
    "prune:anchored": Requirement(
        "contract 5",
        "Nothing is pruned that a trusted witness elsewhere did not acknowledge, or of a log that does not verify.",
    ),
    "prune:clock": Requirement(
        "contract 5",
        "A clock that runs ahead makes no record old: the time of the newest acknowledgement counts.",
    ),
    "prune:holds": Requirement(
        "contract 5", "What is on hold is not pruned, and nothing behind it; not even when it is held meanwhile."
    ),
    "prune:open": Requirement(
        "contract 5",
        "An open intent is not pruned; an ended one is, and its outcome is still found by who acted.",
    ),
    "prune:proofs": Requirement(
        "contract 5", "Proofs of pruned records are made as before, their lines coming from the archive."
    ),
    "prune:others": Requirement(
        "contract 5", "Processes on the same store go on while others prune, however long they were idle."
    ),
    "hold:keeps": Requirement(
        "contract 5",
        "What concerns a held person or call, or anything while all is held, is not erased by whatever way it is asked for, not even when held meanwhile.",
    ),
    "hold:recorded": Requirement(
        "contract 5", "Placing and releasing a hold is on record in the same commit, with who and why."
    ),
    "export:ocsf": Requirement(
        "contract 5",
        "Every record is one OCSF event of class 6003 with all attributes that class requires, an outcome with what its intent said.",
    ),
    "export:table": Requirement(
        "contract 5",
        "CSV and Parquet have the same named columns; a spreadsheet takes no text of a record for a formula.",
    ),
    "export:filters": Requirement(
        "contract 5",
        "A filtered export has exactly the records a query finds, oldest first, and says that it does not verify as a chain.",
    ),
    "export:values": Requirement(
        "contract 5", "Values leave the store only when asked for, and then the export is on record before they do."
    ),
    "export:streams": Requirement(
        "contract 5",
        "An export is written in steps, while the log goes on, and ends quietly with whoever reads it.",
    ),
    "kit:replaced-whole": Requirement(
        "bar: files", "A file that is replaced is the old one or the new one, whole, and private unless said otherwise."
    ),
    "audit:export": Requirement(
        "contract 5", "An export is the stored lines byte for byte, whole or not at all, and verifies like the store."
    ),
    "audit:recorded-anchors": Requirement(
        "design 5",
        "Cosigned checkpoints in `anchor` records count where a trusted witness signed them, and break the verdict where the log is not what it signed.",
    ),
    "witness:protocol": Requirement(
        "C2SP tlog-witness, tlog-cosignature",
        "A witness answers submissions with the statuses and bodies of tlog-witness, and cosigns with its time.",
    ),
    "witness:one-history": Requirement(
        "design 5",
        "Of a log a witness signs one history only, which never gets shorter, whatever it is shown and whoever shows it.",
    ),
    "witness:follows-keys": Requirement(
        "design 5",
        "A witness follows a log to the next key that the key in force announced under the head signed last, and believes no earlier key then.",
    ),
    "witness:memory": Requirement(
        "design 5",
        "What a witness signs is durable first; one that lost its memory or its key, or cannot read it, signs nothing.",
    ),
    "witness:crash": Requirement(
        "design 5", "Killed at any point, a witness goes on with what it signed, and never signs anything else instead."
    ),
    "witness:strangers": Requirement(
        "bar: wire",
        "Large, slow, odd and many requests cost a witness little and are answered in constant text; the next good one is served.",
    ),
    "anchors:checked": Requirement(
        "design 5; C2SP tlog-witness",
        "A witness's word counts where its own key signed this head now; whatever else it answers is a failure, and ends.",
    ),
    "anchors:fork": Requirement(
        "design 5",
        "Where somebody elsewhere knows another or a longer log, that is on record, shown in status for good, and nothing is reset.",
    ),
    "anchors:acknowledged": Requirement(
        "design 5",
        "An acknowledgement is kept with its proof and on record; verification counts it and misses what was cut off since.",
    ),
    "anchors:copies": Requirement(
        "design 5",
        "Files and plain servers are copies, never acknowledgements; a copy is replaced by its own future only.",
    ),
    "anchors:stamped": Requirement(
        "RFC 3161",
        "A time stamp counts where a certificate that is trusted made it over this checkpoint now, in status and in verification; anything else counts for nothing.",
    ),
    "anchors:schedule": Requirement(
        "design 5",
        "Anchors are asked when there is news, not before their time, once for all processes, ever more rarely while they fail, and at the end within a bound.",
    ),
    "anchors:status": Requirement(
        "contract 5",
        "Status says how far and how long ago others acknowledged the log, and of each anchor what it has and what went wrong; by `rows` only to whoever may see everything.",
    ),
    "anchors:egress": Requirement(
        "bar: egress; I8",
        "Anchors are reached like tools reach upstreams: judged addresses, bounded answers, secrets by reference and never shown.",
    ),
    "audit:query-complete": Requirement(
        "contract 4", "Every filter and page finds exactly what a plain search of every line would, indexed or not."
    ),
    "audit:index-complete": Requirement(
        "design 5", "The index is what the lines alone give, however and by whom it was built."
    ),
    "audit:rows-scope": Requirement(
        "I12; contract 3",
        "A reader sees their own, their tenant's or all records, as policy says, by page and by call.",
    ),
    "audit:filters-tell-nothing": Requirement(
        "I6; I12",
        "A filter finds by what its reader is told: it never tells of others' records, or of what hides a tool.",
    ),
    "feed:rows": Requirement(
        "I12; contract 4", "New records are told to whoever may read them and asked for them, and to nobody else."
    ),
    "feed:no-reads": Requirement("contract 4", "`read` records never notify, so nobody's reading wakes themselves."),
    "feed:bounded": Requirement(
        "contract 4; bar: hostile input",
        "At most one notification a second and subscription, however much is new; subscriptions are bounded per connection, subject and in total.",
    ),
    "feed:policy-then": Requirement(
        "contract 4",
        "Policy, freezes and the credential are asked again before anybody is told; who is refused then is told nothing.",
    ),
    "feed:refused": Requirement(
        "I6; contract 4",
        "Watching is a read on record; whoever may not read gets what a resource that is not there gives.",
    ),
    "feed:both-eras": Requirement(
        "MCP 2025-11-25; MCP 2026-07-28",
        "resources/subscribe and subscriptions/listen work on stdio and HTTP, and end with the server.",
    ),
    "completion:own-records": Requirement(
        "I6; I12", "Completions come from records the caller may read, bounded, and tell nothing else."
    ),
    "trace:strict": Requirement(
        "W3C Trace Context 3.2",
        "A traceparent is read exactly as specified; anything else is as good as none, and no error.",
    ),
    "trace:message-before-header": Requirement(
        "contract 6; SEP-414",
        "The trace is the message's; the HTTP header counts only where the message has none and the header stands once.",
    ),
    "trace:one-id": Requirement("contract 6", "One trace id links a call's answer, records and log lines."),
    "trace:onward": Requirement(
        "W3C Trace Context 3.4; least privilege",
        "An upstream is told the trace with a span of its own, and only where its manifest says so.",
    ),
    "audit:follow": Requirement(
        "contract 5; bar: files",
        "`audit tail -f` prints every matching record once, in order, whichever process wrote it, and says when the log goes back.",
    ),
    "audit:text-is-words": Requirement(
        "contract 4; bar: hostile input",
        "Free text is words; no character of it is an operator, and none or too many words are refused.",
    ),
    # --- command line, operator use-cases and identity -----------------------------------------------------------
    "cli:json": Requirement(
        "contract 5", "With `--json`, before or behind a command, stdout is one JSON document, for errors too."
    ),
    "cli:exit-status": Requirement(
        "contract 5", "Every code, error and command ends with the exit status of the contract's table."
    ),
    "cli:explain": Requirement(
        "contract 4",
        "Every code somebody can meet is explained: what it means, what to do, whether trying again helps.",
    ),
    "cli:no-secret-in-errors": Requirement(
        "I8", "No command repeats what may be a secret in the wrong place, and none prints a traceback."
    ),
    "cli:broken-home": Requirement(
        "I10", "A broken home is status 3 with every problem located, and nothing is done or made."
    ),
    "cli:reading-makes-nothing": Requirement(
        "contract 5", "Commands that only look make no store; without one they say how it is made, status 8."
    ),
    "cli:call-as-on-the-wire": Requirement(
        "contract 5",
        "`call --json` prints the MCP result: content, structuredContent, isError and the receipt in _meta.",
    ),
    "cli:hostile-arguments": Requirement(
        "bar: arguments", "JSON that is not acceptable is refused and never taken for text; texts arrive unchanged."
    ),
    "cli:policy-check": Requirement(
        "contract 5",
        "`policy check` answers as a call would be decided, for tools and resources, with bound arguments, and does nothing.",
    ),
    "cli:verify": Requirement(
        "contract 5",
        "`audit verify` checks store or export, names the first bad record and holds the log to a receipt that was kept.",
    ),
    "cli:connect": Requirement(
        "contract 5",
        "Another program's file is changed atomically, with a backup as private as it was, and not at all where it is not understood.",
    ),
    "cli:init": Requirement(
        "contract 5",
        "A new home validates, passes its own tests and answers its first call; nothing that was there is overwritten.",
    ),
    "cli:doctor": Requirement(
        "contract 5",
        "Every part of a home is checked in order without writing; the status is that of the first failure.",
    ),
    "cli:revoke-always": Requirement(
        "contract 5", "A token can be revoked while tools, policy and principals are broken."
    ),
    "cli:demo": Requirement("contract 5", "The demo ends with 0 only if every step happened on real parts."),
    "cli:no-sdk": Requirement("contract 5", "A command that does not serve never imports the MCP SDK or a web server."),
    "cli:lazy": Requirement("bar: speed", "A command imports only the heavy libraries it uses."),
    "cli:reference-current": Requirement(
        "models: datasette", "The checked-in reference is what the commands say of themselves."
    ),
    "audit:reads-recorded": Requirement(
        "contract 4", "Every read of the log over MCP is one record, refused ones too."
    ),
    "identity:token": Requirement(
        "contract 1; bar: tokens",
        "A token is its subject until it expires or is revoked; every other text is refused in the same words.",
    ),
    "identity:token-narrows": Requirement(
        "contract 3",
        "A token holds at most its subject's scopes, in its subject's tenant, for at most 366 days, under proper names.",
    ),
    "identity:token-recorded": Requirement(
        "I8; design 4",
        "Making and revoking a token commits together with its record; only a hash of the secret is kept.",
    ),
    "identity:revocation": Requirement(
        "contract 1", "A revoked token is refused from the next request on, in every process."
    ),
    "identity:declared": Requirement(
        "contract 1", "A locally declared identity says so, and holds only what the directory lists."
    ),
    "identity:directory": Requirement(
        "I10", "principals.yaml is read as a whole or refused with every problem located."
    ),
    "identity:bound": Requirement(
        "contract 2", "Bound arguments come from the principal; a missing attribute refuses the call."
    ),
    "identity:http-needs-a-token": Requirement(
        "contract 1", "Over HTTP nothing is answered without a valid token, on loopback too."
    ),
    "policy:hidden-is-unknown": Requirement(
        "I6", "A tool the caller may not list answers exactly like one that does not exist."
    ),
    "surface:both-eras-both-transports": Requirement(
        "design 8", "Clients of both protocol eras see the same governed home over stdio and HTTP."
    ),
    "wire:json-rpc": Requirement(
        "JSON-RPC 2.0; MCP 2025-06-18",
        "What is not one request object of JSON-RPC 2.0 is answered with its error, batches included.",
    ),
    "wire:hostile-http": Requirement(
        "bar: wire", "Hostile HTTP requests get a coded error, execute nothing and leave the server serving."
    ),
    "wire:hostile-stdio": Requirement(
        "bar: wire", "Hostile stdio lines get a coded answer, execute nothing and leave the server serving."
    ),
    "wire:connections-not-hoarded": Requirement(
        "bar: hostile input",
        "Connections that ask nothing do not keep out a client that asks, nor push out a known one.",
    ),
    "wire:slow-clients": Requirement(
        "bar: wire", "Half-sent headers and bodies are cut off; others are served meanwhile."
    ),
    # --- policy: engine and tools -----------------------------------------------------------------------------------
    "policy:compiled-agrees": Requirement(
        "design 6",
        "The compiled engine gives the interpreter's decision for every question, also of hostile names and over delegations.",
    ),
    "policy:self-check": Requirement(
        "design 6", "A compiled policy that decides otherwise than its rows refuses to load."
    ),
    "policy:bounded-memory": Requirement(
        "traps: pycasbin", "Invented subjects, agents, tenants, tools and claims do not fill the memory."
    ),
    "policy:traps": Requirement(
        "traps: pycasbin", "Every known trap of Casbin is shown to be one, and not to be one here."
    ),
    "policy:documented": Requirement(
        "contract 3",
        "Every example of docs/policy.md loads and answers as it says; every row it calls refused is refused.",
    ),
    "policy:who-can": Requirement(
        "contract 5", "Who is granted some call is listed with the rows that decide, and nobody else is."
    ),
    "policy:diff": Requirement(
        "contract 5", "A changed decision is found at the edge of its condition and called looser or stricter."
    ),
    "policy:lint-arguments": Requirement(
        "contract 3",
        "A condition on an argument its tools do not have, or of another type, is named; so is one that may be missing.",
    ),
    "policy:lint-complete": Requirement(
        "contract 3; traps: pycasbin",
        "Whatever Casbin swallows and whatever in a policy can mean nothing is named with code, line, column and what to write.",
    ),
    "policy:lint-shadowed": Requirement(
        "contract 3", "A row that never decides is named, and deleting it changes no effect."
    ),
    "policy:lint-approvers": Requirement("contract 3", "An approval nobody known could decide is named."),
    # --- the pipeline as a whole ------------------------------------------------------------------------------------
    "pipeline:reads-one-record": Requirement(
        "design 5", "A tool without effects leaves one record, durable before its answer."
    ),
    "pipeline:acts-two-records": Requirement(
        "I1", "Any other call leaves an intent before the act and an outcome before the answer."
    ),
    "pipeline:sensitive-never-in-clear": Requirement(
        "contract 6", "A sensitive value is committed to and stands nowhere in the store, refused calls included."
    ),
    "pipeline:scopes": Requirement(
        "contract 3", "A missing scope is refused with its name under guard:scope, and recorded."
    ),
    "pipeline:outlives-its-client": Requirement(
        "ADR 7", "A client that goes away does not stop an act; its outcome is recorded."
    ),
    "pipeline:retries-are-one-act": Requirement(
        "contract 2", "All attempts of a call share one idempotency key, one intent and one outcome."
    ),
    "secrets:nowhere-in-clear": Requirement(
        "I8", "A connector's secret stands in its request and nowhere else, even when an agent knows it."
    ),
    "audit:parallel-calls-one-chain": Requirement("I3", "Calls in parallel leave one chain that verifies in depth."),
    "crash:intent-before-act": Requirement(
        "I1", "Killed at any named point, nothing happened without an earlier durable intent."
    ),
    "crash:one-outcome": Requirement(
        "I5", "After recovery every intent has exactly one outcome; what nobody knows says unknown."
    ),
    "crash:nothing-acknowledged-is-lost": Requirement(
        "I3", "Killed at any named point, the chain verifies and holds everything acknowledged."
    ),
    "crash:fail-closed": Requirement(
        "I11",
        "While the store is locked, read-only, gone or replaced nothing is executed; it goes on without a restart.",
    ),
    "pipeline:always-an-outcome": Requirement(
        "I5", "Whatever a tool raises, its call ends in one outcome and the server goes on."
    ),
    "secrets:hidden-characters": Requirement(
        "I8", "A secret split by hidden characters is redacted once they are stripped."
    ),
    "wire:malformed-calls-recorded": Requirement(
        "bar: hostile input", "A tools/call the SDK refuses by its form leaves a record and says what was expected."
    ),
    "surface:stopping-answers": Requirement(
        "design 1", "A stopping server answers the calls in flight before it leaves."
    ),
    "docs:audit-runs": Requirement(
        "models: 8", "What docs/audit.md tells an auditor to type works, and every line of a verdict is explained."
    ),
    "docs:readme-runs": Requirement("models: 8", "Every command the README gives works as it stands."),
    # --- identity: OAuth, delegation, outward credentials -----------------------------------------------------------
    "identity:oidc": Requirement(
        "RFC 9068; contract 1",
        "A valid access token of the configured issuer is a principal with assurance oidc, by every allowed algorithm.",
    ),
    "identity:token-table": Requirement(
        "bar: tokens; RFC 8725",
        "No token that is expired, early, unsigned, wrongly signed, of another issuer, audience, type or algorithm, bound to a key, malformed or oversized is accepted; all are refused in the same words.",
    ),
    "identity:keys-strict": Requirement(
        "RFC 7517", "Symmetric, private, weak, encryption and ambiguous keys verify nothing."
    ),
    "identity:key-rotation": Requirement(
        "RFC 7517", "New keys are found, withdrawn ones stop working, also for tokens verified before."
    ),
    "identity:no-fetch-flood": Requirement(
        "bar: tokens", "Tokens with unknown keys make the guard ask the issuer at most once in 30 s."
    ),
    "identity:issuer-down": Requirement(
        "bar: tokens",
        "While the issuer is down its keys stay in use for a day; without keys a token is neither accepted nor called invalid.",
    ),
    "identity:discovery": Requirement(
        "RFC 8414; OpenID Connect Discovery",
        "Only metadata that names the issuer itself is believed; no redirects, no private address that is not opted into.",
    ),
    "identity:claims": Requirement(
        "contract 1",
        "Whatever claims say, a subject stays a plain user or service, a client an agent, a role a role, in the one tenant home and token agree on.",
    ),
    "identity:scopes-intersect": Requirement(
        "contract 3", "The scopes of an OAuth principal are the grant's, within what the home gives a listed principal."
    ),
    "identity:resource-metadata": Requirement(
        "RFC 9728; MCP basic/authorization",
        "Metadata and challenges lead clients to the issuer, and tell strangers nothing else.",
    ),
    "identity:step-up": Requirement(
        "MCP basic/authorization; contract 3",
        "A call that lacks obtainable scopes is answered 403 with all of them, on record, with nothing executed.",
    ),
    "identity:delegation": Requirement(
        "RFC 8693; design 6",
        "Every hop of a delegation is in the chain, decided and on record, or the token is refused.",
    ),
    "identity:client-info-is-no-identity": Requirement(
        "contract 4", "What a client calls itself is kept with the record as one bounded line and changes nothing."
    ),
    "identity:caller-token-stays": Requirement(
        "MCP security best practices", "The credential a caller presents reaches no upstream, no issuer and no record."
    ),
    "identity:call-token": Requirement(
        "RFC 9068; design: least privilege",
        "An upstream gets a token of the guard for one call, its own origin and one tool's scopes, for a minute, and can verify it.",
    ),
    "identity:call-key": Requirement(
        "contract 1", "The signing key is made once, for its owner only; one that others can read stops the start."
    ),
    "identity:outward-credential": Requirement(
        "I8", "A credential is made out for every attempt, stands in its request only, and without one nothing is sent."
    ),
    "identity:exchange": Requirement(
        "RFC 8693",
        "A call token is exchanged for the upstream's own; without a good one, or with more scopes than asked for, nothing is executed.",
    ),
    "identity:documented": Requirement(
        "models: 8", "Every identity setting is documented, and what docs/identity.md shows works."
    ),
    # --- accounts of people at upstreams --------------------------------------------------------------------------
    "oauth:manifest": Requirement(
        "contract 2; RFC 8707",
        "What would send a person's token to another origin, unprotected, or mean two upstreams by one name is a load error.",
    ),
    "oauth:flow": Requirement(
        "OAuth 2.1; RFC 7636, 8707",
        "A call without a connected account is refused before the upstream is reached, with one link; after consent with PKCE and resource it is carried out with the caller's own token.",
    ),
    "oauth:once": Requirement(
        "OAuth 2.1 section 7",
        "A link and a state each count once and for a short while, also for two who come at once.",
    ),
    "oauth:looking": Requirement("MCP security best practices", "Whoever only looks at a link uses nothing up."),
    "oauth:browser": Requirement(
        "MCP security best practices",
        "The browser that was shown the page is the one that goes to the issuer and comes back; another one, or another site, connects nothing.",
    ),
    "oauth:mix-up": Requirement(
        "RFC 9207; OAuth 2.1 section 7",
        "The answer of another issuer, an error, or a code of another flow connects nothing.",
    ),
    "oauth:constant": Requirement(
        "bar: wire",
        "Whatever comes back is answered with constant text; pages hold no script, are not framed, cached or served under another host name.",
    ),
    "oauth:issuer": Requirement(
        "RFC 8414 section 3.3; OAuth 2.1",
        "Metadata of another issuer, unprotected endpoints, or no PKCE with S256: not used.",
    ),
    "oauth:client": Requirement(
        "RFC 6749 section 2.3; client id metadata documents",
        "The guard shows itself as the manifest or its document says, with its secret as the issuer wants it; answers that are no usable token are refused and never quoted.",
    ),
    "oauth:own": Requirement(
        "I12", "A connection serves one principal, for what the manifest means now; nobody else's call uses it."
    ),
    "oauth:secret": Requirement("I8", "No token, code, state or link is in the store in clear, or in a record."),
    "oauth:sealed": Requirement(
        "I8", "A row of a connection or a link that was moved, forged or altered by who has no key opens nothing."
    ),
    "oauth:renewal": Requirement(
        "OAuth 2.1 section 4.3",
        "One renewal serves all tasks and processes; a refused token is renewed once; who died renewing is waited for no longer than the lease; an issuer that is down ends nothing.",
    ),
    "oauth:ended": Requirement(
        "RFC 6749 section 5.2", "A grant its issuer does not know any more ends here, on record, and is asked for anew."
    ),
    "oauth:revoked": Requirement(
        "RFC 7009",
        "A revoked connection is over in every process, also during a renewal; its issuer is asked too, and it is told.",
    ),
    "oauth:stopped": Requirement(
        "bar: identity",
        "A link or an answer of somebody who is frozen, erased, revoked or known by a revoked token connects nothing, and none takes the place of an account connected meanwhile.",
    ),
    "oauth:upstream": Requirement(
        "MCP 2026-07-28, basic/authorization; I12",
        "At another MCP server everybody has a session of their own, in which only their own token is ever sent; its issuer is found as the server says.",
    ),
    "oauth:elicited": Requirement(
        "MCP 2026-07-28 and 2025-11-25, client/elicitation",
        "A client that opens links is asked to, a bounded number of times and never after a no, and the call is carried out after its person went through it; its model never reads the link. Everybody else has it in the refusal.",
    ),
    "oauth:cli": Requirement(
        "RFC 8252 section 7.3", "An account is connected, listed and revoked from the command line."
    ),
    "oauth:erase": Requirement("bar: privacy", "Erasing a person removes their tokens from the store's files."),
    "oauth:documented": Requirement(
        "models: 8", "Every key and setting of connections is documented, and what docs/connections.md shows works."
    ),
    # --- freeze, dry run, permissions, visibility ------------------------------------------------------------------
    "freeze:stops": Requirement(
        "contract 3, 5",
        "A call that involves a frozen subject, client, hop, tool or tenant is refused; nothing is hidden.",
    ),
    "freeze:every-process": Requirement("contract 5", "A freeze counts for the next decision of every process."),
    "freeze:reads": Requirement(
        "contract 4, 5", "Whoever is frozen reads no log, and learns why only where the log was theirs to read."
    ),
    "freeze:fails-closed": Requirement("I11", "While it cannot be told what is frozen, nothing is executed."),
    "freeze:recorded": Requirement("design 4", "A freeze and its lifting commit together with their record."),
    # --- what an agent has seen ---------------------------------------------------------------------------------------
    "seen:before-the-answer": Requirement(
        "design 6",
        "The labels of a tool are remembered in one commit with the outcome record, before its answer, result or error, leaves.",
    ),
    "seen:only-what-was-shown": Requirement(
        "design 6", "A dry run, a refusal and a call that never reached the tool are not remembered as seen."
    ),
    "seen:whose": Requirement(
        "design 6",
        "What was seen belongs to tenant, subject and agent; over a delegation every hop has seen it, and what any hop saw counts.",
    ),
    "seen:window": Requirement(
        "design 6",
        "A label counts for the configured window after it was last returned, over restarts; then its row is deleted.",
    ),
    "seen:fails-closed": Requirement(
        "I11; I6",
        "While it cannot be told what was seen, a policy that asks for it lists and executes nothing, and hidden looks like unknown.",
    ),
    "seen:not-by-the-log": Requirement(
        "design 6", "Reading a stored result out of the audit log counts like calling the tool."
    ),
    "seen:unknown-denies": Requirement(
        "design 6",
        "Where nobody looked what was seen, a row that asks fails: a protecting row denies, an allow row does not apply.",
    ),
    "seen:lint": Requirement("contract 3", "A condition that asks for a label no tool gives is named by lint."),
    # --- observe mode -------------------------------------------------------------------------------------------------
    "observe:decided-not-obeyed": Requirement(
        "ADR 12",
        "At a tool in observe mode rows, scopes and lists are decided and recorded with what they would have done, and stop nothing.",
    ),
    "observe:never-loosens": Requirement(
        "ADR 12",
        "Observe mode loosens neither freezes, identity, unknown tools, arguments and bindings, records, nor any other tool.",
    ),
    "observe:never-high-risk": Requirement(
        "ADR 12", "A tool tagged risk:high in observe mode is a load error with its place, however the mode came to it."
    ),
    "observe:told-truly": Requirement(
        "ADR 12",
        "Dry runs, permissions and `policy check` tell the decision, and that a call is carried out all the same.",
    ),
    "observe:loud": Requirement(
        "ADR 12", "stderr at the start, `doctor`, the boot record and the status of the log name every observed tool."
    ),
    "observe:findable": Requirement("ADR 12", "The log can be asked for what would have been denied or parked."),
    "observe:scoped-credentials": Requirement(
        "ADR 12", "A credential made out for an observed call holds no scope its caller does not hold."
    ),
    # --- what refusals tell -------------------------------------------------------------------------------------------
    "refusals:as-chosen": Requirement(
        "contract 4",
        "Refusals, dry runs, permissions, own records and searches tell no more of a decision than `policy.refusals` says.",
    ),
    "refusals:record-has-all": Requirement(
        "contract 6",
        "Whatever callers are told, the record names rule, reason and obligations, for those who read all.",
    ),
    "dry-run:decides-only": Requirement(
        "contract 4", "A dry run goes as far as the decision, tells it, is one record and executes nothing."
    ),
    "dry-run:never-an-act": Requirement(
        "contract 4", "A malformed wish for a dry run is refused and not carried out, on every way into a call."
    ),
    "permissions:true": Requirement(
        "contract 4",
        "What permissions call sure holds for all arguments; otherwise every rule that could decide is named.",
    ),
    "permissions:hidden-stays-hidden": Requirement(
        "I6", "Permissions tell nothing about tools the caller cannot list."
    ),
    "audit:merkle-tree": Requirement(
        "RFC 9162 2.1.1; design 5",
        "The root of a log is the specified one, however it grew, and a frontier survives storing.",
    ),
    "audit:merkle-proofs": Requirement(
        "RFC 9162 2.1.3, 2.1.4", "Every leaf and every beginning of a log can be proven, and nothing else verifies."
    ),
    "audit:signed-note": Requirement(
        "c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature",
        "Notes, keys and checkpoints are read strictly, written canonically, and never accepted forged.",
    ),
    "audit:go-accepts": Requirement(
        "bar: proof", "Notes, roots and proofs are byte for byte Go's; what Go's note and tlog refuse is refused."
    ),
    "store:tiles-derived": Requirement(
        "c2sp.org/tlog-tiles; design 5",
        "Tiles are what the lines alone would give, however they grew, and are made anew when damaged.",
    ),
    "audit:signed-head": Requirement(
        "design 5",
        "What is signed is committed, has the root of the lines, and never contradicts what was signed before.",
    ),
    "audit:signing-key": Requirement(
        "contract 1; bar: hostile input",
        "The signing key is the home's own, private, announced in the log, and refused where it is anything else.",
    ),
    "audit:key-rotation": Requirement(
        "design 5",
        "An old key vouches for its successor and is destroyed; each signs sizes of its epoch only, whatever is cut off.",
    ),
    "audit:proven-alone": Requirement(
        "design 5; contract 5",
        "A proof needs nothing but the log's public key; whatever was bent in it, it does not hold.",
    ),
    "audit:proof-resources": Requirement(
        "contract 4; I6",
        "Checkpoints and proofs are read like records: by policy, within rows, on record, hidden like what is not there.",
    ),
    "audit:signing-fails": Requirement(
        "design 5", "Where signing fails no record is lost, nothing wrong is handed out, and it is told."
    ),
    "audit:checkpoints-kept": Requirement(
        "contract 1", "A checkpoint is stored every `checkpoint_every` while there is something new, and at the end."
    ),
    "audit:tlog-proof": Requirement(
        "c2sp.org/tlog-proof", "A proof in one file is the published format, read strictly."
    ),
    "audit:lists-recorded": Requirement(
        "I1; I6",
        "What every list of tools showed and withheld is durable before the answer, and not told to its reader.",
    ),
    "audit:lists-bounded": Requirement(
        "bar: hostile input", "Polling the same list is counted: one record, and one more when its minute is over."
    ),
    "home:broken-is-refused": Requirement(
        "I10",
        "However a manifest, policy, configuration or directory is damaged, a start refuses it and says where, and a reload keeps what is in force.",
    ),
    # --- tenants ---------------------------------------------------------------------------------------------------
    "tenants:separate": Requirement(
        "I12",
        "Rows, roles, calls and records of other tenants change nothing a principal sees; only a row that grants rows=all shows records of others.",
    ),
    "freeze:always": Requirement("contract 5", "A home whose tools, policy and principals are broken can be frozen."),
    # --- limits -------------------------------------------------------------------------------------------------
    "limits:exact": Requirement(
        "I9; contract 2",
        "A budget, quota or rate of N admits exactly N, over parallel calls, processes and restarts; amounts are exact.",
    ),
    "limits:all-at-once": Requirement(
        "contract 3", "All limits hold at once; what one of them refuses takes nothing of the others."
    ),
    "limits:whose": Requirement(
        "contract 3; I12",
        "Use counts together for a person, an authenticated agent, a tenant, a tool or everybody, as the limit says.",
    ),
    "limits:settled": Requirement(
        "contract 2",
        "What was not done is given back, what nobody knows is kept, a reported cost replaces the reserved one; a step done again is one use.",
    ),
    "limits:clock": Requirement(
        "bar: faults", "A clock that is set back gives no fresh budget, quota, rate or repetition."
    ),
    "limits:concurrency": Requirement(
        "contract 2", "No more calls run at a time than may; a slot is free when its call ended or its process is gone."
    ),
    "limits:repeat": Requirement(
        "contract 2; bar: arguments",
        "The same call is blocked beyond its repetitions, however its arguments are written; nothing of them is kept.",
    ),
    "limits:hostile-amounts": Requirement(
        "bar: arguments", "A negative, huge, textual, missing or non-finite cost is refused before the act."
    ),
    "limits:refusal": Requirement(
        "contract 4",
        "A limit refuses with its code, what is left of one's own, and when to come back; one outcome, no intent, no cost.",
    ),
    "limits:spent": Requirement("contract 3", "Conditions see what the person spent today and this month."),
    "limits:observe": Requirement("contract 2", "In observe mode limits are counted and recorded, and refuse nothing."),
    "limits:common": Requirement("contract 1", "Limits of the home hold over all tools."),
    "limits:tasks": Requirement(
        "contract 4", "Parked calls and steps of workflows reserve when they run; one that a rate stops is tried again."
    ),
    "limits:usage": Requirement(
        "contract 4; I12",
        "Everybody can see their own use, others' as much as they may read of the log; operators see all.",
    ),
    "limits:units-known": Requirement(
        "contract 3", "A budget or condition in a unit that no tool costs is a load error."
    ),
    "limits:fails-closed": Requirement("I11", "What cannot be counted is not done."),
    "limits:bounded": Requirement("design 4", "Counters of windows long past are removed."),
    # --- results that are kept ----------------------------------------------------------------------------------
    "kept:answer": Requirement(
        "docs/tools.md; ADR 43",
        "A result larger than an answer is told by a valid beginning, a note and a link to the rest; the log commits to all of it.",
    ),
    "kept:beginning": Requirement("ADR 43", "A beginning is JSON, fits, and says nothing that the value does not say."),
    "kept:pages": Requirement("ADR 43", "The pages of a kept result hold whole characters and are together its text."),
    "kept:redacted": Requirement("I8; ADR 43", "What policy or redaction hides of a result is not in what is kept."),
    "kept:sensitive": Requirement("I8; contract 2", "Sensitive parts of a kept result stand nowhere in clear."),
    "kept:schema": Requirement("contract 4", "What is answered instead is what the advertised output schema allows."),
    "kept:owner": Requirement(
        "I12; I6", "A kept result is read by whoever called, through the same agents, alone; to others it is not there."
    ),
    "kept:revoked": Requirement("ADR 43", "Who is frozen or may not see the tool any more reads no result of it."),
    "kept:sealed": Requirement("ADR 43", "A row or page that was changed, moved or taken over opens for nobody."),
    "kept:bounded": Requirement(
        "ADR 43", "Results of one person and of all are bounded in number and bytes; nobody's go for somebody else's."
    ),
    "kept:untold": Requirement(
        "ADR 43", "What a process that died did not come to tell of makes room; of a living one it stays."
    ),
    "kept:expires": Requirement("ADR 43", "A kept result is gone when its time is over."),
    "kept:erased": Requirement(
        "ADR 43", "Erasing a subject, a call or a result removes what is kept of it, on record."
    ),
    "kept:tool": Requirement(
        "contract 2", "A tool says how much an answer carries, and whether more is kept or refused."
    ),
    "kept:tasks": Requirement(
        "ADR 43", "The result of a task is kept like any other; a step of a workflow has its whole result or none."
    ),
    "kept:durable": Requirement("I5; I11", "Where a result cannot be kept it is refused, and that is on record."),
    "kept:eras": Requirement("contract 4", "Clients of both eras follow the link to the end."),
    "kept:command-line": Requirement("contract 5", "`call` says how all of a result is read, and `result` prints it."),
    # --- files that are sent ------------------------------------------------------------------------------------
    "connect:uploads": Requirement(
        "docs/tools.md",
        "A file is sent as it is, read while it is sent, as long as it was when it was opened, within its bound.",
    ),
    "connect:uploads-jail": Requirement(
        "docs/tools.md; I8",
        "No name leads out of the directory of files, by dots, links or second names; such a name is told like none, and nothing is sent.",
    ),
    "connect:multipart": Requirement(
        "RFC 7578", "A text stays in its part, whatever it holds; a file keeps name, type and bytes."
    ),
    "import:forms": Requirement(
        "contract 2",
        "Fields of forms are arguments and bytes are files; what no form can be sent as is refused with the reason.",
    ),
    "reload:limits": Requirement(
        "I10; docs/limits.md",
        "Limits of the configuration come in force while calls run; under change control at the next start.",
    ),
    "policy:spent": Requirement(
        "contract 5", "A question can say what was spent before; the answer is that of a call then."
    ),
    "egress:hostile-table": Requirement(
        "bar: egress",
        "Hostile destinations are never dialled, and hostile answers met as often as may be, counted where they arrive.",
    ),
    "python:warm": Requirement(
        "docs/tools.md",
        "A worker that waits carries out one call, within its time and with the secrets of that moment, and ends.",
    ),
}
