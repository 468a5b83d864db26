"""References to secrets, resolved at use, and the redaction that keeps what was resolved out of everything else."""
