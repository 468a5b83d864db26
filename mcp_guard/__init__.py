"""mcp-guard: the one door between an AI agent and the real world."""

__version__ = "0.1.0"
