"""The MCP adapter: both protocol eras, stdio and streamable HTTP. Nothing outside this package knows the SDK."""
