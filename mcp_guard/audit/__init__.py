"""The audit log: what goes into a record, who writes it when, and how anybody can check it.

`Journal` writes (intents before acts, outcomes before answers), `query` finds, `verify` checks.
"""
