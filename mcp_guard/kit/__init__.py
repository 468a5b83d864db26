"""Tools without domain: strict JSON, source positions, clock, locks, platform differences."""
