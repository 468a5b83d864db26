"""Time stamps (RFC 3161): somebody whose certificate is known says that they saw a checkpoint at a time.

By way of rfc3161-client, which only those who want this need. A token is kept as the authority answered it, so that
`openssl ts -verify -data NOTE -in TOKEN -CAfile CA` says the same.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from mcp_guard.audit.anchors import MAX_SKEW, AnchorFailed, Confirmed, Kind, LogForked, Newest, Post
from mcp_guard.kit.clock import Clock
from mcp_guard.model.errors import Invalid
from mcp_guard.model.problem import Problem

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

QUERY_KIND: Final = "application/timestamp-query"
_MOST_BYTES: Final = 1024 * 1024
MISSING: Final = "time stamps need rfc3161-client, which is not installed"
INSTALL: Final = "pip install 'mcp-guard[timestamp]'"


class NotStamped(ValueError):
    """A token does not say what it should, or nobody trusted says it. The message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Authorities:
    """The root certificates of the time-stamp authorities that are trusted; at least one."""

    roots: "tuple[Certificate, ...]"

    @classmethod
    def of(cls, *files: Path) -> "Authorities":
        """Those in PEM files. Raises `Invalid`, also where what checks tokens is not installed."""
        from cryptography.x509 import load_pem_x509_certificates

        _require_library()
        roots: list[Certificate] = []
        for path in files:
            try:
                with path.open("rb") as file:
                    roots += load_pem_x509_certificates(file.read(_MOST_BYTES))
            except OSError as error:
                raise _invalid(path, f"the certificates cannot be read: {error.strerror}") from None
            except ValueError:
                raise _invalid(path, "these are not certificates in PEM form") from None
        return cls(tuple(dict.fromkeys(roots)))

    def stamped_at(self, message: bytes, token: bytes, nonce: int | None = None) -> int:
        """When (unix seconds) one of them saw the message. Raises `NotStamped`."""
        from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

        try:
            response = decode_timestamp_response(token)
            verifier = VerifierBuilder(roots=list(self.roots), nonce=nonce).build()
            verifier.verify_message(response, message)
            return int(response.tst_info.gen_time.timestamp())
        except VerificationError:
            raise NotStamped("no trusted authority stamped this") from None
        except (ValueError, OverflowError):
            raise NotStamped("not a time-stamp token") from None

    def seen(self, message: bytes, token: bytes) -> int | None:
        """The same as a question."""
        try:
            return self.stamped_at(message, token)
        except NotStamped:
            return None


@dataclass(frozen=True, slots=True)
class TimestampAnchor:
    """A time-stamp authority at an address."""

    name: str
    post: Post
    authorities: Authorities
    clock: Clock
    kind: ClassVar[Kind] = "rfc3161"

    async def confirm(self, newest: Newest, known: int) -> Confirmed:
        signed = await newest()
        if known > signed.size:
            raise LogForked(f"{self.name} stamped {known} records, and the log has only {signed.size}")
        query, nonce = _request(signed.note)
        reply = await self.post("", query, QUERY_KIND)
        if reply.status != 200:
            raise AnchorFailed(f"it answered {reply.status}")
        try:
            time = self.authorities.stamped_at(signed.note, reply.body, nonce)
        except NotStamped as wrong:
            raise AnchorFailed(f"what it answered does not count: {wrong}", hint="check ca: of the anchor") from None
        if abs(time - self.clock.now_us() // 1_000_000) > MAX_SKEW:
            raise AnchorFailed("it stamped another time than now", hint="compare the two clocks")
        return Confirmed(signed.size, time, signed.note, reply.body)


def _request(message: bytes) -> tuple[bytes, int]:
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    request = TimestampRequestBuilder().data(message).hash_algorithm(HashAlgorithm.SHA256).build()
    assert request.nonce is not None
    return request.as_bytes(), request.nonce


def _require_library() -> None:
    try:
        import rfc3161_client  # noqa: F401 - whether it is there
    except ImportError:
        raise Invalid([Problem("missing_package", MISSING, "rfc3161-client", hint=INSTALL)]) from None


def _invalid(path: Path, message: str) -> Invalid:
    return Invalid([Problem("certificates", message, str(path), hint="name the root certificates of the authority")])
