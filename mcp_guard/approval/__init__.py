"""Asking people: what an approval is bound to, how it is shown, who may decide it, and the rows that keep it."""
