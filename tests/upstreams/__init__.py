"""Real servers of other people behind the guard (`make upstreams`)."""
