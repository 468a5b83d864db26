"""The composition root: from a home to a wired guard."""

from mcp_guard.build.connecting import open_connection_store, open_connections, specs_of
from mcp_guard.build.definition import Definition, define, load_directory, observing
from mcp_guard.build.guard import Guard
from mcp_guard.build.importing import propose_import, write_manifest
from mcp_guard.build.keeping import open_exporting, open_holding, open_holds, open_pruning
from mcp_guard.build.locking import lock_differences, lock_tools
from mcp_guard.build.notifying import open_webhooks
from mcp_guard.build.questions import (
    ask_stock,
    check_secrets,
    cover_policy,
    diff_policies,
    lint_policy,
    lint_tools,
    replay_policy,
    run_policy_cases,
    subject_of_checkup,
)
from mcp_guard.build.signing import open_proofs, open_signing
from mcp_guard.build.wiring import (
    open_erasing,
    open_freezes,
    open_freezing,
    open_guard,
    open_query,
    open_revealing,
    open_token_store,
    open_tokens,
)

__all__ = [
    "Definition",
    "Guard",
    "ask_stock",
    "check_secrets",
    "cover_policy",
    "define",
    "diff_policies",
    "lint_policy",
    "lint_tools",
    "load_directory",
    "lock_differences",
    "lock_tools",
    "observing",
    "open_connection_store",
    "open_connections",
    "open_erasing",
    "open_exporting",
    "open_freezes",
    "open_freezing",
    "open_guard",
    "open_holding",
    "open_holds",
    "open_proofs",
    "open_pruning",
    "open_query",
    "open_revealing",
    "open_signing",
    "open_token_store",
    "open_tokens",
    "open_webhooks",
    "propose_import",
    "replay_policy",
    "run_policy_cases",
    "specs_of",
    "subject_of_checkup",
    "write_manifest",
]
