"""Whether a server asks a person for something secret. MCP: in a form it must not."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from mcp_guard.kit.text import strip_hidden

_ANYWHERE: Final = (
    *("password", "passwort", "passphrase", "passcode", "apikey", "privatekey", "secretkey", "accesskey", "sshkey"),
    *("encryptionkey", "signingkey", "accesstoken", "refreshtoken", "bearertoken", "authtoken", "sessiontoken"),
    *("apitoken", "personaltoken", "clientsecret", "sharedsecret", "credential", "recoveryphrase", "recoverycode"),
    *("seedphrase", "mnemonic", "onetimecode", "onetimepass", "verificationcode", "securitycode", "authenticationcode"),
    *(
        "cardnumber",
        "creditcard",
        "cvv",
        "cvc",
        "sessioncookie",
        "contrasena",
        "motdepasse",
        "kennwort",
    ),
    *(
        "accesscode",
        "logincode",
        "signincode",
        "confirmationcode",
        "backupcode",
        "unlockcode",
        "digitcode",
        "codewesent",
    ),
)
"""In any text, whatever stands between the letters."""
_SPOKEN: Final = frozenset(
    {
        *("passwd", "pwd", "secret", "secrets", "token", "tokens", "otp", "totp", "pin", "mfa", "2fa", "creds", "jwt"),
        *("ssn", "iban"),
    }
)
"""As a whole word of any text."""
_WORDS: Final = _SPOKEN | {"pass", "pw", "key", "keys", "cookie", "cookies", "auth", "bearer"}
"""As a whole word of a field's name or title."""
_LOOKALIKES: Final = str.maketrans("аеорсухіјѕктнвαεορικντυχ0134$@5", "aeopcyxijskthbaeopikvtuxoieasas")
_BETWEEN: Final = re.compile(r"[\W_]+")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def is_sensitive_text(text: str) -> bool:
    """Whether a text speaks of something secret to be entered."""
    return any(word in found for found in _squeezed(text) for word in _ANYWHERE) or not _SPOKEN.isdisjoint(_words(text))


def is_sensitive_name(texts: Iterable[str]) -> bool:
    """Whether the name, title or description of a field does."""
    return any(is_sensitive_text(text) or not _WORDS.isdisjoint(_words(text)) for text in texts)


def _squeezed(text: str) -> tuple[str, str]:
    plain = _BETWEEN.sub("", _plain(text).casefold())
    return plain, plain.translate(_LOOKALIKES)


def _words(text: str) -> set[str]:
    plain = _HUMP.sub(" ", _plain(text)).casefold()
    return {*_BETWEEN.split(plain), *_BETWEEN.split(plain.translate(_LOOKALIKES))}


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", strip_hidden(text)[0])
    return unicodedata.normalize("NFC", "".join(one for one in decomposed if not unicodedata.combining(one)))
