"""Every swanctl option: its form, its default, what it means, whether it is built.

The tables are the one truth: they check files and vici messages alike, give
the defaults, and make docs/configuration.md. An option that is not built
is refused by name unless it is set to what happens anyway.
"""

# ruff: noqa: E501  (one row per option: the rows are read as a table)

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from ikectl.config import kinds
from ikectl.config.kinds import Kind

MAX_LIST = 255
"""Items of any list; a TS payload cannot carry more selectors."""
NUMBER = "<number>"
"""The key of options that are called by a number."""


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """One row. `key` may end with `*`: any suffix makes the name unique; NUMBER stands for any decimal.

    `only` is None for what is built; otherwise the values that change
    nothing and are therefore taken. An empty `default` is no value; a
    default in parentheses is worked out from other options. `own` words are
    not swanctl's.
    """

    key: str
    kind: Kind
    default: str
    doc: str
    only: tuple[str, ...] | None = None
    many: bool = False
    own: bool = False

    def matches(self, key: str) -> bool:
        return _fits(self.key, key)

    @property
    def is_pattern(self) -> bool:
        """Whether it stands for several names, so that what they say is in `Checked.extra`."""
        return self.key.endswith("*") or self.key == NUMBER

    @property
    def preset(self) -> str:
        """The default as text to be read, empty when there is none."""
        return "" if self.default.startswith("(") else self.default


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A kind of section: its options and the sections in it, by name pattern (`*`: any name)."""

    title: str
    doc: str
    options: tuple[Option, ...] = ()
    groups: tuple[tuple[str, Group], ...] = ()
    built: bool = True

    def option(self, key: str) -> Option | None:
        exact = _exact(self).get(key)
        return exact or next((option for option in self.options if option.matches(key)), None)

    def group(self, name: str) -> Group | None:
        return next((group for pattern, group in self.groups if _fits(pattern, name)), None)

    @property
    def names(self) -> list[str]:
        """The words an operator may have meant."""
        return [option.key.rstrip("*") for option in self.options if option.key != NUMBER] + [
            name.rstrip("*") for name, _ in self.groups if name != "*"
        ]


@cache
def _exact(group: Group) -> dict[str, Option]:
    return {option.key: option for option in group.options if option.key != NUMBER}


def _fits(pattern: str, name: str) -> bool:
    if pattern == NUMBER:
        return name.isascii() and name.isdecimal()
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


O = Option
NO: tuple[str, ...] = ()

CERT = Group(
    "cert",
    "One certificate by itself; several such sections may stand side by side.",
    (
        O("file",   kinds.TEXT, "", "Absolute path of the certificate (PEM or DER)."),
        O("handle", kinds.TEXT, "", "CKA_ID of a certificate on a PKCS#11 token.", NO),
        O("slot",   kinds.TEXT, "", "Slot of the token.", NO),
        O("module", kinds.TEXT, "", "PKCS#11 module of the token.", NO),
    ),
)  # fmt: skip

LOCAL = Group(
    "local",
    "How this host proves its identity. Without a section: a public key, any identity.",
    (
        O("round",    kinds.U32,      "0",      "Order of authentication rounds (RFC 4739); in IKEv1 a second one is XAUTH."),
        O("certs",    kinds.CERT,     "",       "Certificate candidates: files relative to x509/.", many=True),
        O("auth",     kinds.AUTH,     "pubkey", "`psk`, `pubkey`, or key and hash constraints such as `rsa-sha256`, "
                                                "`ecdsa`, `ed25519`, `mldsa65`, `ike:rsa/pss-sha256`; in IKEv2 also `eap` "
                                                "(whatever method the peer asks for), `eap-mschapv2`, `eap-tls` and "
                                                "so on, and `null` (no proof, of nobody); in IKEv1 `xauth`, "
                                                "`rsa-encryption`, `rsa-encryption-revised`."),
        O("id",       kinds.IDENTITY, "(subject of the certificate, or the address)",
                                                "Own IKE identity."),
        O("pubkeys",  kinds.PUBKEY,   "",       "IKEv2: raw public keys (RFC 7670), files relative to pubkey/; the first "
                                                "one is used, and its private key must be loaded.", many=True),
        O("eap_id",   kinds.IDENTITY, "(id)",   "Who we are to an EAP server; its password is in `secrets`."),
        O("aaa_id",   kinds.PATTERN,  "(the peer's id)",
                                                "Whom the server's certificate must name in EAP-TLS, EAP-TTLS and "
                                                "EAP-PEAP; `%any`: whomever our CAs vouch for."),
        O("xauth_id", kinds.USER,     "(id)",   "User name of an XAUTH round; its password is in `secrets`."),
    ),
    (("cert*", CERT),),
)  # fmt: skip

REMOTE = Group(
    "remote",
    "What the peer must prove. Without a section: a public key we trust, any identity.",
    (
        O("round",       kinds.U32,     "0",       "Order of authentication rounds (RFC 4739); in IKEv1 a second one is XAUTH."),
        O("id",          kinds.PATTERN, "%any",    "Identity expected: exact, with `*` wildcards, a network, "
                                                   "or `kind:^regex$`."),
        O("rdn_matching", kinds.RDN_MATCHING, "strict", "How a DN in id is compared: `strict` (order and number count), "
                                                   "`reordered` (only the number), `relaxed` (what id leaves out may be "
                                                   "anything).", own=True),
        O("auth",        kinds.AUTH,    "pubkey",  "`psk`, `pubkey`, or minimum key sizes and hashes such as "
                                                   "`rsa-3072-ecdsa-256-sha256`; in IKEv2 also `eap` or `eap-dynamic` "
                                                   "(the client may choose), `eap-mschapv2`, `eap-tls` and so on; "
                                                   "in IKEv1 `xauth`, `xauth-chap`, "
                                                   "`xauth-pam`, `xauth-radius`, `xauth-noauth`, `rsa-encryption`, "
                                                   "`rsa-encryption-revised`."),
        O("certs",       kinds.CERT,    "",        "End-entity certificates accepted: files relative to x509/.",
          many=True),
        O("cacerts",     kinds.CERT,    "",        "CA certificates accepted: files relative to x509ca/.", many=True),
        O("revocation",  kinds.REVOCATION, "relaxed", "How strictly revocation is checked: `strict` (every certificate "
                                                   "must be known good), `ifuri` (likewise, if it or its CA says where "
                                                   "that is told), `relaxed` (only what is revoked is refused)."),
        O("eap_id",      kinds.PATTERN, "(the peer's id)",
                                                   "Users who may log in by EAP. If set, the client is asked who it is."),
        O("groups",      kinds.TEXT,    "",        "Group memberships, of attribute certificates or RADIUS; neither is built.", NO, many=True),
        O("cert_policy", kinds.OID,     "",        "Certificate policies, all of which the certificate and the CAs above it "
                                                   "must assert.", many=True),
        O("ca_id",       kinds.IDENTITY, "",       "Identity some CA of the chain must carry; it need not be known here."),
        O("pubkeys",     kinds.PUBKEY,  "",        "IKEv2: raw public keys accepted (RFC 7670), files relative to pubkey/; "
                                                   "whoever has one of them is who `id` names.", many=True),
    ),
    (("cert*", CERT), ("cacert*", CERT)),
)  # fmt: skip

CHILD = Group(
    "children.<child>",
    "An IPsec SA pair, its traffic and its lifetimes.",
    (
        O("ah_proposals",  kinds.AH_PROPOSALS,  "",        "AH proposals.", many=True),
        O("esp_proposals", kinds.ESP_PROPOSALS, "(default unless ah_proposals is set)",
                                                           "ESP proposals; a key exchange word means PFS, with `none` "
                                                           "beside it optional PFS.", many=True),
        O("sha256_96",     kinds.BOOL,       "no",         "96-bit truncation of HMAC-SHA-256, for old peers."),
        O("local_ts",      kinds.SELECTOR,   "dynamic",    "Our side's traffic: `network[protocol/port]` or `dynamic`.",
          many=True),
        O("remote_ts",     kinds.SELECTOR,   "dynamic",    "The peer's side's traffic.", many=True),
        O("rekey_time",    kinds.TIME,       "(1h, or life_time - 10%)", "Soft lifetime; 0 switches rekeying off."),
        O("life_time",     kinds.TIME,       "(rekey_time + 10%)",      "Hard lifetime."),
        O("rand_time",     kinds.TIME,       "(life_time - rekey_time)", "Random span subtracted from rekey_time."),
        O("rekey_bytes",   kinds.VOLUME,     "0",          "Soft volume limit; 0 is none."),
        O("life_bytes",    kinds.VOLUME,     "(rekey_bytes + 10%)",     "Hard volume limit."),
        O("rand_bytes",    kinds.VOLUME,     "(life_bytes - rekey_bytes)", "Random span subtracted from rekey_bytes."),
        O("rekey_packets", kinds.U64,        "0",          "Soft packet limit; 0 is none."),
        O("life_packets",  kinds.U64,        "(rekey_packets + 10%)",   "Hard packet limit."),
        O("rand_packets",  kinds.U64,        "(life_packets - rekey_packets)",
                                                           "Random span subtracted from rekey_packets."),
        O("updown",        kinds.TEXT,       "",           "Script run when the child comes up or goes down.", NO),
        O("hostaccess",    kinds.BOOL,       "no",         "Variable handed to the script.", ("no",)),
        O("mode",          kinds.MODE,       "tunnel",     "Encapsulation: `tunnel` or `transport`; or no IPsec at all: "
                                                           "`pass` lets these packets go as they are, `drop` drops them."),
        O("policies",      kinds.BOOL,       "yes",        "Install kernel policies."),
        O("policies_fwd_out", kinds.BOOL,    "no",         "Also install outbound forward policies."),
        O("dpd_action",    kinds.DPD_ACTION, "clear",      "When the peer is found dead: `clear`, `trap` or `restart`."),
        O("ipcomp",        kinds.BOOL,       "no",         "Negotiate IPComp, which the peer may leave out."),
        O("bundle",        kinds.BOOL,       "no",         "IKEv1: with both ah_proposals and esp_proposals, AH around ESP "
                                                           "instead of one or the other.", own=True),
        O("inactivity",    kinds.TIME,       "0",          "Close the child after this much time without a packet either way; 0 is "
                                                           "never. Rekeyings do not count."),
        O("reqid",         kinds.U32,        "0",          "Fixed reqid; 0 takes a free one."),
        O("priority",      kinds.U32,        "0",          "Fixed policy priority; 0 works it out from the selectors."),
        O("interface",     kinds.INTERFACE,  "",           "Restrict policies to this network interface."),
        O("mark_in",       kinds.MARK,       "0/0",        "Mark of inbound policies: `value[/mask]`; `%unique` gives each child its "
                                                           "own, `%unique-dir` one for each direction."),
        O("mark_out",      kinds.MARK,       "0/0",        "Mark of outbound policies and SAs, likewise."),
        O("mark_in_sa",    kinds.BOOL,       "no",         "Put mark_in on the inbound SA too."),
        O("set_mark_in",   kinds.SET_MARK,   "0/0",        "Mark set on packets after inbound processing; "
                                                           "`%same` is mark_in."),
        O("set_mark_out",  kinds.SET_MARK,   "0/0",        "Mark set on packets after outbound processing; "
                                                           "`%same` is mark_out."),
        O("if_id_in",      kinds.IF_ID,      "0",          "XFRM interface id inbound; 0 is the connection's."),
        O("if_id_out",     kinds.IF_ID,      "0",          "XFRM interface id outbound; 0 is the connection's."),
        O("label",         kinds.TEXT,       "",           "Security label.", NO),
        O("label_mode",    kinds.WORD,       "system",     "How labels are used.", ("system",)),
        O("tfc_padding",   kinds.TFC,        "0",          "IKEv2: pad ESP packets in tunnels to this size at least, or to "
                                                           "the `mtu` of the path, unless the peer does not take it."),
        O("replay_window", kinds.REPLAY,     "32",         "Replay window in packets, at most 4096; 0 is none."),
        O("per_cpu_sas",   kinds.WORD,       "no",         "One SA per CPU (RFC 9611).", ("no",)),
        O("hw_offload",    kinds.HW_OFFLOAD, "no",         "Offload to the network card: `no`, `crypto`, `packet`, "
                                                           "`auto`."),
        O("copy_df",       kinds.BOOL,       "yes",        "Copy the DF bit to the outer header."),
        O("copy_ecn",      kinds.BOOL,       "yes",        "Copy ECN both ways."),
        O("copy_dscp",     kinds.COPY_DSCP,  "out",        "Copy DSCP: `out`, `in`, `yes` (both), `no`."),
        O("icmp",          kinds.BOOL,       "no",         "Let through ICMP errors from outside the selectors."),
        O("start_action",  kinds.START_ACTION, "none",     "At load: `none`, `start`, `trap` (the first packet starts it) "
                                                           "or `trap|start`."),
        O("close_action",  kinds.CLOSE_ACTION, "none",     "When the peer closes the child: `none`, `trap` or `start`."),
    ),
)  # fmt: skip

CONNECTION = Group(
    "connections.<conn>",
    "An IKE configuration.",
    (
        O("version",      kinds.VERSION,       "0",       "1 is IKEv1, 2 is IKEv2; 0 answers both and starts with IKEv2."),
        O("local_addrs",  kinds.ADDRESS,       "%any",    "Own IKE addresses: addresses, names, networks, ranges.",
          many=True),
        O("remote_addrs", kinds.ADDRESS,       "%any",    "The peer's addresses; starting needs one to send to. Several "
                                                          "are tried in turn, names looked up for each round.",
          many=True),
        O("local_port",   kinds.PORT,          "500",     "Own UDP port; 500 floats to 4500."),
        O("remote_port",  kinds.PORT,          "500",     "The peer's UDP port; 500 floats to 4500."),
        O("proposals",    kinds.IKE_PROPOSALS, "default", "IKE proposals; `default` is the built-in list.", many=True),
        O("vips",         kinds.HOST_ADDRESS,  "",        "Virtual addresses to ask for; `0.0.0.0` and `::` take any. "
                                                          "IKEv1: one of each family.", many=True),
        O("dns_domains",  kinds.DNS_DOMAIN,    "%any",    "Whose names a gateway's name servers are asked for: `%any` is "
                                                          "whatever it says, `%none` leaves this host's resolver alone; "
                                                          "else names in these domains and no others.", many=True, own=True),
        O("aggressive",   kinds.BOOL,          "no",      "IKEv1: Aggressive Mode instead of Main Mode."),
        O("aggressive_psk", kinds.BOOL,        "no",      "Allow Aggressive Mode with a pre-shared key. Whoever asks "
                                                          "gets a hash that tells the key to a guesser who has time.",
          own=True),
        O("pull",         kinds.BOOL,          "yes",     "IKEv1: the client asks for its address; `no`: the server "
                                                          "sends it unasked."),
        O("dscp",         kinds.WORD,          "000000",  "DSCP of our IKE packets.", ("000000",)),
        O("encap",        kinds.BOOL,          "no",      "Pretend a NAT, so that ESP goes in UDP."),
        O("mobike",       kinds.BOOL,          "yes",     "IKEv2: the ends may change their addresses (RFC 4555); messages "
                                                          "go to port 4500 from IKE_AUTH on."),
        O("tcp",          kinds.TCP,           "no",      "IKEv2: call the peer by TCP (RFC 9329): `yes`, `fallback` if datagrams "
                                                          "get no answer, `no`. ESP inside TCP wants a kernel that has it.",
          own=True),
        O("remote_tcp_port", kinds.PORT,       "4500",    "The TCP port on which the peer listens.", own=True),
        O("dpd_delay",    kinds.TIME,          "0s",      "Check that the peer lives after this much silence; 0 is off."),
        O("dpd_timeout",  kinds.TIME,          "0s",      "IKEv1: the peer is dead after this much silence (RFC 3706); "
                                                          "0 is when retransmission gives up."),
        O("fragmentation", kinds.FRAGMENTATION, "yes",    "`yes` cuts long messages into fragments for peers "
                                                          "that take them (RFC 7383), `accept` only takes them, `no`. "
                                                          "`force`: with IKEv1 from the first message on."),
        O("childless",    kinds.CHILDLESS,     "allow",   "IKEv2: IKE SAs without a child (RFC 6023): `allow` takes them, `prefer` "
                                                          "begins with one where the peer takes it, `force` has no others, "
                                                          "`never` takes none."),
        O("follow_redirects", kinds.BOOL,      "no",      "IKEv2 client: go where the gateway sends us (RFC 5685).",
          own=True),
        O("redirect_to",  kinds.GATEWAY,       "",        "IKEv2 gateway: send clients that follow to this address or name "
                                                          "(RFC 5685).", own=True),
        O("window",       kinds.WINDOW,        "1",       "IKEv2: how many exchanges each end may have under way at once, at most "
                                                          "16, where both ends can. Most peers take 1 whatever is said; it "
                                                          "helps with many children.", own=True),
        O("message_id_sync", kinds.BOOL,       "no",      "IKEv2: the peer is a cluster, whose members take over from one "
                                                          "another and say where message IDs go on (RFC 6311).", own=True),
        O("qcd",          kinds.BOOL,          "no",      "IKEv2: learn at once that a restarted peer has lost the IKE SA, "
                                                          "and let it learn the same of us (RFC 6290).", own=True),
        O("resumption",   kinds.BOOL,          "no",      "IKEv2: a client whose IKE SA was lost gets it back by a ticket, "
                                                          "without proving itself anew (RFC 5723); a gateway gives "
                                                          "tickets and takes them.", own=True),
        O("send_certreq", kinds.BOOL,          "yes",     "Send CERTREQ payloads."),
        O("send_cert",    kinds.SEND_CERT,     "ifasked", "Send certificates: `always`, `never`, `ifasked`."),
        O("ocsp",         kinds.OCSP,          "reply",   "OCSP inside IKEv2 (RFC 4806): `reply` sends a response about our "
                                                          "certificate to a peer that asks, `request` asks for one, "
                                                          "`both`, `never`."),
        O("cert_uris",    kinds.URI_BASE,      "",        "IKEv2: beginnings of URIs, from which certificates may be fetched "
                                                          "that a peer names by hash and URL, before it has proven anything.",
          many=True, own=True),
        O("ppk_id",       kinds.IDENTITY,      "",        "Identity of a post-quantum pre-shared key of `secrets` "
                                                          "(RFC 8784): we use it as initiator, and as responder take no "
                                                          "other. A responder without takes any it has."),
        O("ppk_required", kinds.BOOL,          "no",      "No IKE SA without a post-quantum pre-shared key in its keys."),
        O("ppk_intermediate", kinds.BOOL,      "yes",     "Mix that key in before anybody says who he is, by "
                                                          "IKE_INTERMEDIATE (RFC 9867), with a peer that can; `no` is "
                                                          "RFC 8784 alone.", own=True),
        O("keyingtries",  kinds.U32,           "1",       "Rounds of calling, each over all addresses of the peer; 0 is for "
                                                          "ever. What was up and is wanted back is called for ever."),
        O("unique",       kinds.UNIQUE,        "no",      "Older SAs of the same peer: `never`, `no` (INITIAL_CONTACT "
                                                          "decides), `keep`, `replace`."),
        O("reauth_time",  kinds.TIME,          "0s",      "Authenticate anew after this long; 0 is never. With "
                                                          "IKEv2 the initiator does, and a responder asks for it "
                                                          "(RFC 4478)."),
        O("rekey_time",   kinds.TIME,          "4h",      "Rekey the IKE SA after this long; 0 is never. IKEv1 makes a "
                                                          "new phase 1. Not set beside reauth_time: 0."),
        O("over_time",    kinds.TIME,          "(10% of the longer of rekey_time and reauth_time)",
                                                          "Time past them until the SA is closed."),
        O("rand_time",    kinds.TIME,          "(over_time)", "Random span subtracted from rekey_time and reauth_time."),
        O("life_bytes",   kinds.VOLUME,        "0",       "IKEv1: replace the ISAKMP SA after this much was protected "
                                                          "with it; 0 is no limit.", own=True),
        O("pools",        kinds.NAME,          "",        "Pools to serve addresses and attributes from.", many=True),
        O("dhcp",         kinds.BOOL,          "no",      "IKEv1 client: get the inner address by DHCP over IPsec "
                                                          "(RFC 3456).", own=True),
        O("dhcp_server",  kinds.IPV4_ADDRESS,  "",        "IKEv1 gateway: relay DHCP over IPsec to this server.",
          own=True),
        O("dhcp_giaddr",  kinds.IPV4_ADDRESS,  "(the gateway's inner address)",
                                                          "Address of the relay, which says from which network the "
                                                          "server takes an address.", own=True),
        O("dhcp_interface", kinds.INTERFACE,   "",        "Interface by which the server is reached.", own=True),
        O("if_id_in",     kinds.IF_ID,         "0",       "XFRM interface id inbound, for children that have none."),
        O("if_id_out",    kinds.IF_ID,         "0",       "XFRM interface id outbound, for children that have none."),
        O("mediation",    kinds.BOOL,          "no",      "A mediation connection.", ("no",)),
        O("mediated_by",  kinds.TEXT,          "",        "Name of the mediation connection.", NO),
        O("mediation_peer", kinds.TEXT,        "",        "The peer's identity at the mediator.", NO),
    ),
    (
        ("local*", LOCAL),
        ("remote*", REMOTE),
        ("children", Group("children", "Named children.", (), (("*", CHILD),))),
    ),
)  # fmt: skip

PASSWORD = Group(
    "secrets.eap*, secrets.xauth*",
    "The password of a user, for EAP and XAUTH; the two words mean the same.",
    (
        O("secret", kinds.SECRET,   "", "The password: text, `0x` and hex, or `0s` and Base64."),
        O("id*",    kinds.PATTERN,  "", "A user it belongs to; at least one."),
    ),
)  # fmt: skip

NTLM = Group(
    "secrets.ntlm*",
    "The NT hash of a user's password (MD4 of it in UTF-16), for EAP-MSCHAPv2 without the password itself.",
    (
        O("secret", kinds.NT_HASH,  "", "The hash, 16 octets: `0x` and hex, or `0s` and Base64."),
        O("id*",    kinds.PATTERN,  "", "A user it belongs to; at least one."),
    ),
)  # fmt: skip

SHARED = Group(
    "secrets.ike*",
    "A pre-shared key and the identities it belongs to.",
    (
        O("secret", kinds.SECRET,  "", "The key: text, `0x` and hex, or `0s` and Base64."),
        O("id*",    kinds.PATTERN, "", "An identity it belongs to; without any it is everybody's."),
    ),
)  # fmt: skip

PPK = Group(
    "secrets.ppk*",
    "A post-quantum pre-shared key (RFC 8784). It should have 256 bits of entropy.",
    (
        O("secret", kinds.SECRET,  "", "The key: text, `0x` and hex, or `0s` and Base64."),
        O("id*",    kinds.PATTERN, "", "An identity that ppk_id names; without any it fits every ppk_id."),
    ),
)  # fmt: skip

PASSPHRASE = Group(
    "secrets.private*, secrets.rsa*, secrets.ecdsa*, secrets.pkcs8*, secrets.pkcs12*",
    "The passphrase of a key file or PKCS#12 container in the folder of that name.",
    (
        O("file",   kinds.TEXT,       "", "Name of the file in the folder."),
        O("secret", kinds.PASSPHRASE, "", "Its passphrase."),
    ),
)  # fmt: skip

KEY_FOLDERS = ("private", "rsa", "ecdsa", "pkcs8", "pkcs12")

SECRETS = Group(
    "secrets",
    "Secrets, each in a section of its own.",
    (),
    (
        ("ike*", SHARED),
        *((f"{folder}*", PASSPHRASE) for folder in KEY_FOLDERS),
        ("eap*", PASSWORD),
        ("xauth*", PASSWORD),
        ("ntlm*", NTLM),
        ("ppk*",    PPK),
        ("token*",  Group("secrets.token*", "Private keys on PKCS#11 tokens.", built=False)),
    ),
)  # fmt: skip

AUTHORITY = Group(
    "authorities.<name>",
    "A certification authority; one of cacert and file is needed.",
    (
        O("cacert",        kinds.CERT, "", "CA certificate: a file relative to x509ca/."),
        O("file",          kinds.TEXT, "", "CA certificate: an absolute path."),
        O("handle",        kinds.TEXT, "", "CA certificate on a PKCS#11 token.", NO),
        O("slot",          kinds.TEXT, "", "Slot of the token.", NO),
        O("module",        kinds.TEXT, "", "PKCS#11 module of the token.", NO),
        O("crl_uris",      kinds.CRL_URI,  "", "Where to fetch its CRL, before what its certificates say: `http://`, "
                                               "`https://` or `file:///`.", many=True),
        O("ocsp_uris",     kinds.HTTP_URI, "", "Its OCSP responders, likewise.", many=True),
        O("cert_uri_base", kinds.URI_BASE, "", "Where the certificates it issued are published, by the SHA-1 of each in hex: "
                                               "a peer that can fetch gets that URI instead of the certificate."),
    ),
)  # fmt: skip

POOL = Group(
    "pools.<name>",
    "Addresses to hand out, and what is told along with one. Pools must not overlap.",
    (
        O("addrs",          kinds.POOL_RANGE,   "", "A network or `from-to`; needed. The host part of a network, if there "
                                                    "is one, is where to begin."),
        O("dns",            kinds.HOST_ADDRESS, "", "Name servers.", many=True),
        O("nbns",           kinds.HOST_ADDRESS, "", "WINS servers.", many=True),
        O("dhcp",           kinds.HOST_ADDRESS, "", "DHCP servers.", many=True),
        O("netmask",        kinds.HOST_ADDRESS, "", "Netmask of the address.", many=True),
        O("server",         kinds.HOST_ADDRESS, "", "Servers of Windows 7's attribute.", many=True),
        O("p_cscf",         kinds.HOST_ADDRESS, "", "P-CSCF servers (RFC 7651).", many=True),
        O("subnet",         kinds.NETWORK,      "", "Networks behind this gateway.", many=True),
        O("split_include",  kinds.IPV4_NETWORK, "", "Unity: only these networks go through the tunnel.", many=True),
        O("split_exclude",  kinds.IPV4_NETWORK, "", "Unity (local LAN): these do not go through the tunnel.", many=True),
        O("split_dns",      kinds.DOMAIN_NAME,  "", "Domains to be resolved through the tunnel, and no others (RFC 8598, "
                                                    "Unity).", many=True, own=True),
        O("dnssec_ta",      kinds.TRUST_ANCHOR, "", "IKEv2: DNSSEC trust anchors of these domains, each as a DS record has "
                                                    "it: `domain tag algorithm type digest`.", many=True, own=True),
        O("encrypted_dns",  kinds.RESOLVER,     "", "IKEv2: resolvers that speak DNS over TLS (RFC 9464), best first, as "
                                                    "`\"address#name\"`.", many=True, own=True),
        O("liveness",       kinds.TIME,         "", "IKEv2: how long the client may hear nothing before it asks whether "
                                                    "the gateway lives (3GPP TS 24.302).", own=True),
        O("default_domain", kinds.NAME,         "", "Unity: domain of names without a dot.", own=True),
        O("banner",         kinds.TEXT,         "", "Unity: text that the client shows its user.", own=True),
        O("save_password",  kinds.BOOL,         "", "Unity: whether the client may keep the password.", own=True),
        O("pfs",            kinds.BOOL,         "", "Unity: whether the client is to use PFS in Quick Mode.", own=True),
        O("backup_servers", kinds.NAME,         "", "Unity: gateways to try when this one is gone.", many=True, own=True),
        O("address_expiry", kinds.TIME,         "", "IKEv1: how long the client may use the address.", own=True),
        O(NUMBER,           kinds.ATTRIBUTE,    "", "Any other attribute by its number: an address, `0x` and hex, `0s` and "
                                                    "Base64, or text.", many=True),
    ),
)  # fmt: skip

ROOT = Group(
    "",
    "The file itself.",
    (),
    (
        ("connections", Group("connections", "IKE configurations by name.", (), (("*", CONNECTION),))),
        ("secrets", SECRETS),
        ("authorities", Group("authorities", "Certification authorities by name.", (), (("*", AUTHORITY),))),
        ("pools", Group("pools", "Address pools by name.", (), (("*", POOL),))),
    ),
)
