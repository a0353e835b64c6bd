"""The `auth` option: a method, or constraints on keys, hashes and signatures; for XAUTH who judges the password, for
EAP which of its methods."""

from __future__ import annotations

import re

from ikectl.config.model import Auth, AuthKind, Inner, KeyConstraint, XauthBackend
from ikectl.config.tree import suggestion
from ikectl.iana.eap import EapType
from ikectl.iana.v2 import HashAlgorithm

_KEYS = {
    # word      (key, pss)
    "pubkey":  ("", False),
    "rsa":     ("rsa", False),
    "rsa/pss": ("rsa", True),
    "ecdsa":   ("ecdsa", False),
    "ed25519": ("ed25519", False),
    "ed448":   ("ed448", False),
    "mldsa44": ("mldsa44", False),
    "mldsa65": ("mldsa65", False),
    "mldsa87": ("mldsa87", False),
}  # fmt: skip
_HASHES = {
    "sha1": HashAlgorithm.SHA1,
    "sha256": HashAlgorithm.SHA2_256,
    "sha384": HashAlgorithm.SHA2_384,
    "sha512": HashAlgorithm.SHA2_512,
    "identity": HashAlgorithm.IDENTITY,
}
_PLAIN = {
    word.value: Auth(word)
    for word in (AuthKind.PSK, AuthKind.NULL, AuthKind.RSA_ENCRYPTION, AuthKind.RSA_ENCRYPTION_REVISED)
}
_XAUTH = {
    # What follows `xauth-`; `eap` is swanctl's word for asking the methods of EAP, which look into `secrets` too.
    **{word.value: word for word in XauthBackend},
    "eap": XauthBackend.LOCAL,
}
_PROFILED = (XauthBackend.PAM, XauthBackend.RADIUS)
_MAX_PROFILE = 64
_EAP: dict[str, tuple[EapType, ...]] = {
    # What follows `eap-`; the best comes first: TLS proves both ends by certificates, GTC says the password as it is.
    "tls": (EapType.TLS,),
    "ttls": (EapType.TTLS,),
    "peap": (EapType.PEAP,),
    "mschapv2": (EapType.MSCHAPV2,),
    "md5": (EapType.MD5,),
    "gtc": (EapType.GTC,),
}
_EVERY_EAP = tuple(kind for kinds in _EAP.values() for kind in kinds)
_EAP |= {"dynamic": _EVERY_EAP, "": _EVERY_EAP}
_EAP_INNER = {f"ttls-{inner}": inner for inner in Inner if inner}
_NO_EAP = {
    "radius": "this version has no connector to RADIUS; name a method, such as eap-mschapv2, with secrets.eap*",
    **dict.fromkeys(
        ("sim", "aka", "aka-3gpp2", "sim-file", "sim-pcsc", "simaka-reauth"),
        "the keys of SIM cards are with their operator, so it needs a RADIUS server, and this version has no connector",
    ),
    "tnc": "this version has no Trusted Network Connect",
}
_LATER = ("any", "bliss", "dsa")


def read_auth(text: str) -> Auth:
    """From `psk`, `pubkey`, `rsa-3072-sha256-ecdsa-256-sha384`, `ike:rsa/pss-sha256`, `xauth-pam:login`, `eap-tls`, ...

    Raises ValueError.

    Hashes belong to the keys since the hashes before them. What stands after
    `ike:` restricts the signature in AUTH only; without it the constraints
    hold for that signature and for the certificates alike.
    """
    if text in _PLAIN:
        return _PLAIN[text]
    if re.match(r"xauth\b", text):
        return _xauth(text)
    if re.match(r"eap\b", text):
        return _eap(text)
    if re.match(r"hybrid\b", text):
        raise ValueError(
            "hybrid is no word here: the side with the certificate has auth = pubkey, the side with the password "
            "auth = xauth and nothing else"
        )
    for word in _LATER:
        if re.match(rf"{word}\b", text):
            raise ValueError(f"{text[:40]!r} is not built yet; this version knows psk, pubkey, eap and xauth")
    chain_text, marker, ike_text = text.partition("ike:")
    chain_text = chain_text.rstrip("-") if marker else chain_text
    chain = _constraints(chain_text) if chain_text else ()
    ike = _constraints(ike_text) if marker else chain
    return Auth(AuthKind.PUBKEY, ike, chain)


def _xauth(text: str) -> Auth:
    """`xauth`, `xauth-BACKEND`, `xauth-BACKEND:PROFILE`."""
    words, colon, profile = text.partition(":")
    name = words.removeprefix("xauth").removeprefix("-") or XauthBackend.LOCAL.value
    backend = _XAUTH.get(name) if words in ("xauth", f"xauth-{name}") else None
    if backend is None:
        near = suggestion(words, [f"xauth-{word}" for word in _XAUTH])
        raise ValueError(
            f"{words[:40]!r} is not xauth, xauth-generic, xauth-chap, xauth-pam, xauth-radius or xauth-noauth{near}"
        )
    if colon and backend not in _PROFILED:
        raise ValueError(f"{text[:80]!r}: only xauth-pam and xauth-radius take a profile")
    if colon and not (0 < len(profile) <= _MAX_PROFILE and re.fullmatch(r"[\w.-]+", profile, re.ASCII)):
        raise ValueError(
            f"{text[:80]!r}: a profile is 1 to {_MAX_PROFILE} letters, digits, dots, dashes and underscores"
        )
    return Auth(AuthKind.XAUTH, backend=backend, profile=profile)


def _eap(text: str) -> Auth:
    """`eap`, `eap-METHOD`, `eap-ttls-INNER`."""
    name = text.removeprefix("eap").removeprefix("-")
    if text not in ("eap", f"eap-{name}") or (not name and text != "eap"):
        name = text
    if name in _EAP_INNER:
        return Auth(AuthKind.EAP, eap=_EAP["ttls"], inner=_EAP_INNER[name])
    if name in _NO_EAP:
        raise ValueError(f"{text[:40]!r}: {_NO_EAP[name]}")
    if name not in _EAP:
        known = [f"eap-{word}" for word in (*_EAP, *_EAP_INNER) if word]
        raise ValueError(f"{text[:40]!r} is not eap, {', '.join(known)}{suggestion(text, known)}")
    return Auth(AuthKind.EAP, eap=_EAP[name])


def _constraints(text: str) -> tuple[KeyConstraint, ...]:
    finished: list[KeyConstraint] = []
    keys: list[KeyConstraint] = []
    hashes: list[HashAlgorithm] = []
    for word in text.split("-"):
        if word in _KEYS:
            if hashes:
                finished += _with_hashes(keys, hashes)
                keys, hashes = [], []
            key, pss = _KEYS[word]
            keys.append(KeyConstraint(key, 0, pss))
        elif word in _HASHES and keys:
            hashes.append(_HASHES[word])
        elif word.isdecimal() and word.isascii() and keys and not hashes and not keys[-1].min_bits:
            if len(word) > 5:
                raise ValueError(f"no key has {word[:20]} bits")
            keys[-1] = KeyConstraint(keys[-1].key, int(word), keys[-1].pss)
        else:
            near = suggestion(word, [*_KEYS, *_HASHES, *_PLAIN, "xauth", "eap"])
            raise ValueError(f"{word[:40]!r} in {text[:80]!r} is no key type, key size or hash{near}")
    finished += _with_hashes(keys, hashes)
    if finished == [KeyConstraint()]:
        return ()
    return tuple(finished)


def _with_hashes(keys: list[KeyConstraint], hashes: list[HashAlgorithm]) -> list[KeyConstraint]:
    return [KeyConstraint(key.key, key.min_bits, key.pss, tuple(hashes)) for key in keys]
