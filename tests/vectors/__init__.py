"""What Go's sumdb/note and sumdb/tlog say about notes and proofs, and what ours look like. README.md says how made."""
