"""Results that are more than one answer carries: their beginning, and where the whole is kept."""
