"""The guard as an OAuth client: accounts of people at upstreams."""
