"""Other MCP servers as upstreams: sessions that are kept, and calls through them. The client side of the SDK is met
here and nowhere else."""
