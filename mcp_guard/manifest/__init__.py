"""Tool manifests: from YAML files to an immutable catalog of fingerprinted tools."""
