"""Configuration: `mcp-guard.yaml`, environment and flags to frozen settings, each value with its origin."""
