"""Numbers of EAP (IANA "Extensible Authentication Protocol (EAP) Registry") and of MS-CHAPv2."""

from __future__ import annotations

from ikectl.iana.registry import Registry


class EapCode(Registry):
    """Packet codes (RFC 3748 §4)."""

    REQUEST = 1
    RESPONSE = 2
    SUCCESS = 3
    FAILURE = 4


class EapType(Registry):
    """Method types, those that meet us in IKE."""

    IDENTITY = 1
    NOTIFICATION = 2
    NAK = 3
    MD5 = 4
    """MD5-Challenge (RFC 3748 §5.4)."""
    OTP = 5
    GTC = 6
    """Generic Token Card (RFC 3748 §5.6)."""
    TLS = 13
    """RFC 5216, RFC 9190."""
    SIM = 18
    TTLS = 21
    """RFC 5281."""
    AKA = 23
    PEAP = 25
    """draft-josefsson-pppext-eap-tls-eap, and MS-PEAP."""
    MSCHAPV2 = 26
    """draft-kamath-pppext-eap-mschapv2."""
    EXTENSIONS = 33
    """EAP Extensions, which carry PEAP's result (MS-PEAP §2.2.8)."""
    AKA_PRIME = 50
    PWD = 52
    EXPANDED = 254
    EXPERIMENTAL = 255


class MschapOpcode(Registry):
    """What an EAP-MSCHAPv2 packet is (draft-kamath-pppext-eap-mschapv2-02 §2)."""

    CHALLENGE = 1
    RESPONSE = 2
    SUCCESS = 3
    FAILURE = 4
    CHANGE_PASSWORD = 7


class MschapError(Registry):
    """Why a login by MS-CHAPv2 failed (RFC 2759 §6)."""

    RESTRICTED_LOGON_HOURS = 646
    ACCT_DISABLED = 647
    PASSWD_EXPIRED = 648
    NO_DIALIN_PERMISSION = 649
    AUTHENTICATION_FAILURE = 691
    CHANGING_PASSWORD = 709


eap_code = EapCode.lookup()
eap_type = EapType.lookup()
mschap_opcode = MschapOpcode.lookup()
mschap_error = MschapError.lookup()
