"""The error taxonomy: the class decides the consequence, no caller guesses.

| class              | meaning                              | consequence                                         |
|--------------------|--------------------------------------|-----------------------------------------------------|
| WireError          | octets malformed                     | unprotected: drop; protected: INVALID_SYNTAX, close |
| IntegrityFailure   | did not verify                       | drop silently, count                                |
| PeerMisbehaved     | well formed, illegal here            | its `notify`; close if protected                    |
| Refused            | *we* say no                          | reply `notify`; its scope closes (IKE or child)     |
| PeerRefused        | *they* say no                        | policy: retry, give up, event                       |
| CredentialError    | our judgement of a credential        | on the wire AUTHENTICATION_FAILED; reason in the log |
| ConfigError        | operator's mistake                   | all of them at once, nothing loaded                 |
| BackendError       | kernel, disk, another service        | roll back; retry or TEMPORARY_FAILURE               |
| anything else      | our bug                              | close that SA, keep the daemon, print the traceback |

No error text ever holds a secret.
"""

from __future__ import annotations

from typing import ClassVar

from ikectl.iana.v2 import KeyExchangeMethod, NotifyType, PayloadType, Protocol


class IkectlError(Exception):
    """Root of everything we raise on purpose."""


class WireError(IkectlError):
    """The octets are malformed."""


class IntegrityFailure(IkectlError):
    """An integrity check did not verify. Says no more, on purpose."""


class PeerMisbehaved(IkectlError):
    """Well-formed, but illegal here.

    `notify` is what a protected exchange answers before the SA closes.
    """

    def __init__(self, why: str, notify: NotifyType = NotifyType.INVALID_SYNTAX, data: bytes = b"") -> None:
        super().__init__(why)
        self.notify = notify
        self.data = data


class UnsupportedCritical(PeerMisbehaved):
    """An unknown payload with the critical bit set (RFC 7296 §2.5)."""

    def __init__(self, payload: PayloadType) -> None:
        super().__init__(
            f"payload type {int(payload)} is critical and unknown here",
            NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD,
            bytes((payload,)),
        )


class Refused(IkectlError):
    """We say no; the text tells the operator why and is never sent."""

    notify: ClassVar[NotifyType]
    data: bytes = b""
    protocol: Protocol = Protocol.NONE
    spi: bytes = b""


class NoProposalChosen(Refused):
    """Nothing offered fits what is configured (RFC 7296 §2.7)."""

    notify = NotifyType.NO_PROPOSAL_CHOSEN
    distance: int = 0
    """How many attributes failed in the pair that comes nearest, where pairs were compared."""
    subject: str = ""
    """The name of the connection or child that comes nearest, where several were compared."""


class DoiNotSupported(NoProposalChosen):
    """A domain of interpretation other than IPsec's (RFC 2408 §5.4)."""


class SituationNotSupported(NoProposalChosen):
    """A situation other than identity only (RFC 2407 §4.2, RFC 2408 §5.4)."""


class InvalidKe(Refused):
    """The KE payload is of another method than the one we choose (RFC 7296 §1.2, §1.3)."""

    notify = NotifyType.INVALID_KE_PAYLOAD

    def __init__(self, wanted: KeyExchangeMethod) -> None:
        super().__init__(f"the key exchange must use {wanted}")
        self.wanted = wanted
        self.data = int(wanted).to_bytes(2, "big")


class TsUnacceptable(Refused):
    """No traffic selector in common (RFC 7296 §2.9)."""

    notify = NotifyType.TS_UNACCEPTABLE


class AuthenticationFailed(Refused):
    """The peer did not prove its identity. The wire shows no more than that (RFC 7296 §2.21.2)."""

    notify = NotifyType.AUTHENTICATION_FAILED


class CannotProve(AuthenticationFailed):
    """It is us who cannot prove to be who we say, or are not believed."""


class NoAdditionalSas(Refused):
    """This SA takes no further children (RFC 7296 §1.3)."""

    notify = NotifyType.NO_ADDITIONAL_SAS


class NoAddress(Refused):
    """There is no inner address to give to this peer (RFC 7296 §3.15.4)."""

    notify = NotifyType.INTERNAL_ADDRESS_FAILURE


class AddressRequired(Refused):
    """The peer asked for no inner address, and its children are to have one (RFC 7296 §2.19)."""

    notify = NotifyType.FAILED_CP_REQUIRED


class TemporaryFailure(Refused):
    """Not now: try again later (RFC 7296 §2.25)."""

    notify = NotifyType.TEMPORARY_FAILURE


class StateNotFound(Refused):
    """An additional key exchange comes for what we do not remember (RFC 9370 §2.2.4)."""

    notify = NotifyType.STATE_NOT_FOUND


class ChildSaNotFound(Refused):
    """REKEY_SA names a child that does not exist (RFC 7296 §2.25)."""

    notify = NotifyType.CHILD_SA_NOT_FOUND

    def __init__(self, protocol: Protocol, spi: bytes) -> None:
        super().__init__(f"there is no {protocol} SA with SPI {spi.hex()}")
        self.protocol = protocol
        self.spi = spi


class PeerRefused(IkectlError):
    """The peer said no."""

    def __init__(self, notify: NotifyType, why: str = "", data: bytes = b"") -> None:
        super().__init__(why or f"the peer answered {notify}")
        self.notify = notify
        self.data = data


class CredentialError(IkectlError):
    """A key, secret or certificate is missing or not good enough, in our judgement.

    Sent as AUTHENTICATION_FAILED; the true reason is only in the log.
    """


class NoTrustPath(CredentialError):
    """No chain leads from the certificate to a trusted CA."""


class Expired(CredentialError):
    """A certificate of the chain is not valid at this time."""


class Revoked(CredentialError):
    """A certificate of the chain was revoked."""


class ConfigError(IkectlError):
    """One mistake of the operator, with its place.

    `path` and `line` are empty and 0 for what came over the control socket.
    """

    def __init__(self, why: str, path: str = "", line: int = 0) -> None:
        place = f"{path}:{line}: " if path else ""
        super().__init__(place + why)
        self.why = why
        self.path = path
        self.line = line


class ConfigErrors(IkectlError):
    """All mistakes of one configuration; nothing of it was loaded."""

    def __init__(self, errors: list[ConfigError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = errors


class BackendError(IkectlError):
    """The kernel or another service did not do what was asked."""
