"""From `secrets:` of the settings to what resolves references."""

import os
from collections.abc import Mapping

from mcp_guard.config.home import Home
from mcp_guard.config.settings import SecretSource
from mcp_guard.kit.units import seconds
from mcp_guard.secrets.programs import Programs, Source
from mcp_guard.secrets.redact import Redactor
from mcp_guard.secrets.references import Resolver


def resolver_of(home: Home, redactor: Redactor, environ: Mapping[str, str] = os.environ) -> Resolver:
    """What resolves the references of a home, and teaches `redactor` every value."""
    sources = {name: _source(found) for name, found in home.settings.secrets.items()}
    return Resolver(home.directory, environ, redactor, Programs(sources, environ))


def _source(found: SecretSource) -> Source:
    times = {"timeout": seconds(found.timeout), "keep": seconds(found.keep)}
    if found.keyring is not None:
        return Source.keyring(found.keyring.service, found.keyring.user, **times)
    assert found.exec is not None, "the settings accept nothing else"
    return Source(found.exec, found.variables, **times)
