"""ISAKMP, IKEv1 and IPsec-DOI numbers (IANA "ISAKMP Registry" and "IPSEC Key Exchange (IKE) Attributes").

The groups of IKEv1 are numbered as IKEv2's: see `iana.v2.KeyExchangeMethod`.
"""

from __future__ import annotations

from enum import Enum

from ikectl.iana.registry import Registry

IPSEC_DOI = 1
"""RFC 2407 §4.1; 0 is ISAKMP's own (RFC 2408 §3.4)."""

SIT_IDENTITY_ONLY = 1
"""The situation everybody uses (RFC 2407 §4.2.1); the other two carry security labels."""

KEY_IKE = 1
"""The only transform of phase 1 (RFC 2407 §4.4.2)."""


class ExchangeType(Registry):
    """RFC 2408 §3.1, RFC 2409 App. A; the transaction exchange is draft-dukes-ike-mode-cfg-02's."""

    NONE = 0
    BASE = 1
    IDENTITY_PROTECTION = 2  # main mode
    AUTHENTICATION_ONLY = 3
    AGGRESSIVE = 4
    INFORMATIONAL = 5
    TRANSACTION = 6
    QUICK_MODE = 32
    NEW_GROUP_MODE = 33


class PayloadType(Registry):
    """RFC 2408 §3.1; mode config, RFC 3947 §3.2 and §5.2, and the private numbers of its drafts and of fragments."""

    NONE = 0
    SA = 1
    PROPOSAL = 2
    TRANSFORM = 3
    KE = 4
    ID = 5
    CERT = 6
    CERTREQ = 7
    HASH = 8
    SIGNATURE = 9
    NONCE = 10
    NOTIFY = 11
    DELETE = 12
    VENDOR_ID = 13
    ATTRIBUTES = 14
    NAT_D = 20
    NAT_OA = 21
    NAT_D_DRAFT = 130
    NAT_OA_DRAFT = 131
    FRAGMENT = 132


PRIVATE_TYPES = 128
"""The first payload type of private use (RFC 2408 §3.1)."""


class ProtocolId(Registry):
    """RFC 2407 §4.4.1."""

    NONE = 0
    ISAKMP = 1
    AH = 2
    ESP = 3
    IPCOMP = 4


class IdType(Registry):
    """RFC 2407 §4.6.2.1. The numbers are IKEv2's where both versions have the kind."""

    IPV4_ADDR = 1
    FQDN = 2
    USER_FQDN = 3
    IPV4_ADDR_SUBNET = 4
    IPV6_ADDR = 5
    IPV6_ADDR_SUBNET = 6
    IPV4_ADDR_RANGE = 7
    IPV6_ADDR_RANGE = 8
    DER_ASN1_DN = 9
    DER_ASN1_GN = 10
    KEY_ID = 11


class NotifyType(Registry):
    """RFC 2408 §3.14.1, RFC 2407 §4.6.3, RFC 3706 §5.2, Cisco's load balancing."""

    NONE = 0
    INVALID_PAYLOAD_TYPE = 1
    DOI_NOT_SUPPORTED = 2
    SITUATION_NOT_SUPPORTED = 3
    INVALID_COOKIE = 4
    INVALID_MAJOR_VERSION = 5
    INVALID_MINOR_VERSION = 6
    INVALID_EXCHANGE_TYPE = 7
    INVALID_FLAGS = 8
    INVALID_MESSAGE_ID = 9
    INVALID_PROTOCOL_ID = 10
    INVALID_SPI = 11
    INVALID_TRANSFORM_ID = 12
    ATTRIBUTES_NOT_SUPPORTED = 13
    NO_PROPOSAL_CHOSEN = 14
    BAD_PROPOSAL_SYNTAX = 15
    PAYLOAD_MALFORMED = 16
    INVALID_KEY_INFORMATION = 17
    INVALID_ID_INFORMATION = 18
    INVALID_CERT_ENCODING = 19
    INVALID_CERTIFICATE = 20
    CERT_TYPE_UNSUPPORTED = 21
    INVALID_CERT_AUTHORITY = 22
    INVALID_HASH_INFORMATION = 23
    AUTHENTICATION_FAILED = 24
    INVALID_SIGNATURE = 25
    ADDRESS_NOTIFICATION = 26
    NOTIFY_SA_LIFETIME = 27
    CERTIFICATE_UNAVAILABLE = 28
    UNSUPPORTED_EXCHANGE_TYPE = 29
    UNEQUAL_PAYLOAD_LENGTHS = 30

    CONNECTED = 16384
    RESPONDER_LIFETIME = 24576
    REPLAY_STATUS = 24577
    INITIAL_CONTACT = 24578
    R_U_THERE = 36136
    R_U_THERE_ACK = 36137
    UNITY_LOAD_BALANCE = 40501

    @property
    def is_error(self) -> bool:
        """Error types are below 16384, from 8192 on for private use (RFC 2408 §3.14.1)."""
        return self < 16384


class Phase1Attribute(Registry):
    """Attributes of a phase 1 transform, RFC 2409 App. A."""

    ENCRYPTION = 1
    HASH = 2
    AUTH_METHOD = 3
    GROUP = 4
    GROUP_TYPE = 5
    GROUP_PRIME = 6
    GROUP_GENERATOR_ONE = 7
    GROUP_GENERATOR_TWO = 8
    GROUP_CURVE_A = 9
    GROUP_CURVE_B = 10
    LIFE_TYPE = 11
    LIFE_DURATION = 12
    PRF = 13
    KEY_LENGTH = 14
    FIELD_SIZE = 15
    GROUP_ORDER = 16


class EncryptionId(Registry):
    """Values of the phase 1 attribute ENCRYPTION: RFC 2409 App. A, RFC 3602, RFC 4312."""

    DES_CBC = 1
    IDEA_CBC = 2
    BLOWFISH_CBC = 3
    RC5_R16_B64_CBC = 4
    DES3_CBC = 5
    CAST_CBC = 6
    AES_CBC = 7
    CAMELLIA_CBC = 8


class HashId(Registry):
    """Values of the phase 1 attribute HASH: RFC 2409 App. A, RFC 4868."""

    MD5 = 1
    SHA1 = 2
    TIGER = 3
    SHA2_256 = 4
    SHA2_384 = 5
    SHA2_512 = 6


class AuthMethod(Registry):
    """Values of the phase 1 attribute AUTH_METHOD.

    RFC 2409 App. A, RFC 4754 §5; from 64221 draft-ietf-ipsec-isakmp-hybrid-auth-05
    §3.2.1, from 65001 draft-beaulieu-ike-xauth-02 §7.2: which end is asked for
    its user, the initiator or the responder of phase 1.
    """

    PRE_SHARED_KEY = 1
    DSS = 2
    RSA_SIGNATURE = 3
    RSA_ENCRYPTION = 4
    RSA_ENCRYPTION_REVISED = 5
    ELGAMAL_ENCRYPTION = 6
    ELGAMAL_ENCRYPTION_REVISED = 7
    ECDSA = 8
    ECDSA_256 = 9
    ECDSA_384 = 10
    ECDSA_521 = 11
    HYBRID_INIT_RSA = 64221
    HYBRID_RESP_RSA = 64222
    HYBRID_INIT_DSS = 64223
    HYBRID_RESP_DSS = 64224
    XAUTH_INIT_PRE_SHARED = 65001
    XAUTH_RESP_PRE_SHARED = 65002
    XAUTH_INIT_DSS = 65003
    XAUTH_RESP_DSS = 65004
    XAUTH_INIT_RSA = 65005
    XAUTH_RESP_RSA = 65006
    XAUTH_INIT_RSA_ENCRYPTION = 65007
    XAUTH_RESP_RSA_ENCRYPTION = 65008
    XAUTH_INIT_RSA_REVISED = 65009
    XAUTH_RESP_RSA_REVISED = 65010


class GroupType(Registry):
    """Values of the phase 1 attribute GROUP_TYPE, RFC 2409 App. A."""

    MODP = 1
    ECP = 2
    EC2N = 3


class LifeType(Registry):
    """What LIFE_DURATION counts, in both phases: RFC 2409 App. A, RFC 2407 §4.5."""

    SECONDS = 1
    KILOBYTES = 2


class Phase2Attribute(Registry):
    """Attributes of a phase 2 transform: RFC 2407 §4.5, RFC 3168 §9.2.1, RFC 4304 §2."""

    LIFE_TYPE = 1
    LIFE_DURATION = 2
    GROUP = 3
    ENCAPSULATION_MODE = 4
    AUTH_ALGORITHM = 5
    KEY_LENGTH = 6
    KEY_ROUNDS = 7
    COMPRESS_DICT = 8
    COMPRESS_PRIVATE = 9
    ECN_TUNNEL = 10
    EXT_SEQ = 11


class EncapsulationMode(Registry):
    """RFC 2407 §4.5, RFC 3947 §5.1; the private numbers are draft-ietf-ipsec-nat-t-ike-02's and -03's."""

    TUNNEL = 1
    TRANSPORT = 2
    UDP_TUNNEL = 3
    UDP_TRANSPORT = 4
    UDP_TUNNEL_DRAFT = 61443
    UDP_TRANSPORT_DRAFT = 61444


class EspTransform(Registry):
    """RFC 2407 §4.4.4 and later RFCs."""

    DES_IV64 = 1
    DES = 2
    DES3 = 3
    RC5 = 4
    IDEA = 5
    CAST = 6
    BLOWFISH = 7
    IDEA3 = 8
    DES_IV32 = 9
    RC4 = 10
    NULL = 11
    AES_CBC = 12
    AES_CTR = 13
    AES_CCM_8 = 14
    AES_CCM_12 = 15
    AES_CCM_16 = 16
    AES_GCM_8 = 18
    AES_GCM_12 = 19
    AES_GCM_16 = 20
    SEED_CBC = 21
    CAMELLIA = 22
    NULL_AUTH_AES_GMAC = 23


class AhTransform(Registry):
    """RFC 2407 §4.4.3 and later RFCs."""

    MD5 = 2
    SHA1 = 3
    DES = 4
    SHA2_256 = 5
    SHA2_384 = 6
    SHA2_512 = 7
    RIPEMD = 8
    AES_XCBC = 9
    RSA = 10
    AES_128_GMAC = 11
    AES_192_GMAC = 12
    AES_256_GMAC = 13


class IpcompTransform(Registry):
    """RFC 2407 §4.4.5."""

    OUI = 1
    DEFLATE = 2
    LZS = 3
    LZJH = 4


class AuthAlgorithm(Registry):
    """Values of the phase 2 attribute AUTH_ALGORITHM, RFC 2407 §4.5 and later RFCs."""

    NONE = 0
    HMAC_MD5 = 1
    HMAC_SHA1 = 2
    DES_MAC = 3
    KPDK = 4
    HMAC_SHA2_256 = 5
    HMAC_SHA2_384 = 6
    HMAC_SHA2_512 = 7
    HMAC_RIPEMD = 8
    AES_XCBC = 9
    SIG_RSA = 10
    AES_128_GMAC = 11
    AES_192_GMAC = 12
    AES_256_GMAC = 13


class CertEncoding(Registry):
    """RFC 2408 §3.9."""

    NONE = 0
    PKCS7_X509 = 1
    PGP = 2
    DNS_SIGNED_KEY = 3
    X509_SIGNATURE = 4
    X509_KEY_EXCHANGE = 5
    KERBEROS_TOKENS = 6
    CRL = 7
    ARL = 8
    SPKI = 9
    X509_ATTRIBUTE = 10


class TransactionType(Registry):
    """draft-dukes-ike-mode-cfg-02 §3.2."""

    REQUEST = 1
    REPLY = 2
    SET = 3
    ACK = 4


class ConfigAttribute(Registry):
    """What the attribute payload carries.

    draft-dukes-ike-mode-cfg-02 §3.3; from 16520 draft-beaulieu-ike-xauth-02 §6.1;
    23456 and 23457 Microsoft's; from 28672 those of Cisco's Unity clients.
    """

    INTERNAL_IP4_ADDRESS = 1
    INTERNAL_IP4_NETMASK = 2
    INTERNAL_IP4_DNS = 3
    INTERNAL_IP4_NBNS = 4
    INTERNAL_ADDRESS_EXPIRY = 5
    INTERNAL_IP4_DHCP = 6
    APPLICATION_VERSION = 7
    INTERNAL_IP6_ADDRESS = 8
    INTERNAL_IP6_NETMASK = 9
    INTERNAL_IP6_DNS = 10
    INTERNAL_IP6_NBNS = 11
    INTERNAL_IP6_DHCP = 12
    INTERNAL_IP4_SUBNET = 13
    SUPPORTED_ATTRIBUTES = 14
    INTERNAL_IP6_SUBNET = 15

    XAUTH_TYPE = 16520
    XAUTH_USER_NAME = 16521
    XAUTH_USER_PASSWORD = 16522
    XAUTH_PASSCODE = 16523
    XAUTH_MESSAGE = 16524
    XAUTH_CHALLENGE = 16525
    XAUTH_DOMAIN = 16526
    XAUTH_STATUS = 16527
    XAUTH_NEXT_PIN = 16528
    XAUTH_ANSWER = 16529

    INTERNAL_IP4_SERVER = 23456
    INTERNAL_IP6_SERVER = 23457

    UNITY_BANNER = 28672
    UNITY_SAVE_PASSWD = 28673
    UNITY_DEF_DOMAIN = 28674
    UNITY_SPLIT_DNS = 28675
    UNITY_SPLIT_INCLUDE = 28676
    UNITY_NATT_PORT = 28677
    UNITY_LOCAL_LAN = 28678  # the networks that stay outside: split exclude
    UNITY_PFS = 28679
    UNITY_FW_TYPE = 28680
    UNITY_BACKUP_SERVERS = 28681
    UNITY_DDNS_HOSTNAME = 28682

    @property
    def is_xauth(self) -> bool:
        """Whether it belongs to XAUTH, not to mode config."""
        return 16520 <= self <= 16529

    @property
    def is_unity(self) -> bool:
        """Whether only a peer that said the UNITY vendor id knows it."""
        return 28672 <= self <= 28703


class XauthType(Registry):
    """Values of XAUTH_TYPE, draft-beaulieu-ike-xauth-02 §6.2."""

    GENERIC = 0
    RADIUS_CHAP = 1
    OTP = 2
    SKEY = 3


class XauthStatus(Registry):
    """Values of XAUTH_STATUS, draft-beaulieu-ike-xauth-02 §6.2."""

    FAIL = 0
    OK = 1


class VendorId(Enum):
    """The vendor ids we act on, or name in logs."""

    XAUTH = "XAUTH"
    DPD = "DPD"
    UNITY = "Cisco Unity"
    FRAGMENTATION = "fragmentation"
    MS_NT5_ISAKMPOAKLEY = "MS NT5 ISAKMPOAKLEY"
    INITIAL_CONTACT = "initial contact"
    NAT_T_RFC3947 = "NAT-T (RFC 3947)"
    NAT_T_DRAFT_02 = "NAT-T (draft 02)"
    NAT_T_DRAFT_02N = "NAT-T (draft 02, newline)"
    NAT_T_DRAFT_03 = "NAT-T (draft 03)"

    def __str__(self) -> str:
        return self.value


VENDOR_IDS: dict[bytes, VendorId] = {
    # The first half of MD5("draft-ietf-ipsra-isakmp-xauth-06.txt").
    bytes.fromhex("09002689dfd6b712"): VendorId.XAUTH,
    # As printed in RFC 3706 §5.1; the last two octets are the version, 1.0.
    bytes.fromhex("afcad71368a1f1c96b8696fc77570100"): VendorId.DPD,
    # MD5("CISCO-UNITY") with its last two octets replaced by the version, 1.0.
    bytes.fromhex("12f5f28c457168a9702d9fe274cc0100"): VendorId.UNITY,
    # MD5("FRAGMENTATION"); Cisco's four octets of capabilities may follow.
    bytes.fromhex("4048b7d56ebce88525e7de7f00d6c2d3"): VendorId.FRAGMENTATION,
    # MD5("MS NT5 ISAKMPOAKLEY"); four octets of Windows' version follow.
    bytes.fromhex("1e2b516905991c7d7c96fcbfb587e461"): VendorId.MS_NT5_ISAKMPOAKLEY,
    # MD5("Vid-Initial-Contact"), Windows.
    bytes.fromhex("26244d38eddb61b3172a36e3d0cfb819"): VendorId.INITIAL_CONTACT,
    # MD5("RFC 3947")
    bytes.fromhex("4a131c81070358455c5728f20e95452f"): VendorId.NAT_T_RFC3947,
    # MD5("draft-ietf-ipsec-nat-t-ike-02")
    bytes.fromhex("cd60464335df21f87cfdb2fc68b6a448"): VendorId.NAT_T_DRAFT_02,
    # MD5("draft-ietf-ipsec-nat-t-ike-02\n"), which many made by mistake and the draft came to print
    bytes.fromhex("90cb80913ebb696e086381b5ec427b1f"): VendorId.NAT_T_DRAFT_02N,
    # MD5("draft-ietf-ipsec-nat-t-ike-03")
    bytes.fromhex("7d9419a65310ca6f2c179d9215529d56"): VendorId.NAT_T_DRAFT_03,
}
"""What a vendor id payload holds, or begins with where something variable follows. None names this software."""

VENDOR_OCTETS: dict[VendorId, bytes] = {known: octets for octets, known in VENDOR_IDS.items()}

FRAGMENTATION_CAPABILITIES = bytes.fromhex("80000000")
"""Behind the vendor id FRAGMENTATION, where it is said at all: 0x80000000 for main and aggressive mode, 0x40000000
for the base exchange."""

_VENDOR_OCTETS = 16
_VERSIONED = {  # the last two octets are a version, any of which we take for ours (RFC 3706 §5.1)
    VENDOR_OCTETS[known][:-2]: known for known in (VendorId.DPD, VendorId.UNITY)
}
_FOLLOWED = {  # capabilities or a version may follow
    VENDOR_OCTETS[known]: known for known in (VendorId.FRAGMENTATION, VendorId.MS_NT5_ISAKMPOAKLEY)
}


def vendor_id(octets: bytes) -> VendorId | None:
    """What the octets of a vendor id payload say, or None for one we do not know."""
    if len(octets) == _VENDOR_OCTETS:
        return VENDOR_IDS.get(octets) or _VERSIONED.get(octets[:-2])
    return VENDOR_IDS.get(octets) or _FOLLOWED.get(octets[:_VENDOR_OCTETS])


exchange_type = ExchangeType.lookup()
payload_type = PayloadType.lookup()
protocol_id = ProtocolId.lookup()
id_type = IdType.lookup()
notify_type = NotifyType.lookup()
phase1_attribute = Phase1Attribute.lookup()
encryption_id = EncryptionId.lookup()
hash_id = HashId.lookup()
auth_method = AuthMethod.lookup()
group_type = GroupType.lookup()
life_type = LifeType.lookup()
phase2_attribute = Phase2Attribute.lookup()
encapsulation_mode = EncapsulationMode.lookup()
esp_transform = EspTransform.lookup()
ah_transform = AhTransform.lookup()
ipcomp_transform = IpcompTransform.lookup()
auth_algorithm = AuthAlgorithm.lookup()
cert_encoding = CertEncoding.lookup()
transaction_type = TransactionType.lookup()
config_attribute = ConfigAttribute.lookup()
xauth_type = XauthType.lookup()
xauth_status = XauthStatus.lookup()
