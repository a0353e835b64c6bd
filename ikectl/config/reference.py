"""docs/configuration.md, made from the schema: `python -m ikectl.config.reference > docs/configuration.md`."""

from __future__ import annotations

from ikectl.config.schema import ROOT, Group, Option

_HEAD = """\
# Configuration

ikectl takes strongSwan's `swanctl.conf` as it is: the same sections, the same options, the same folders beside it
(`x509`, `x509ca`, `private`, `rsa`, `ecdsa`, `pkcs8`). The same tree may be written in TOML, in a file whose name
ends in `.toml`. The few words that swanctl does not have are marked as ikectl's own.

What this version cannot do is refused by name, never ignored. All mistakes are reported at once, each with its file
and line, and nothing is loaded then.

This page is made from `ikectl/config/schema.py`; a test keeps it so.

## The file

```
connections {
  site-b : defaults {            # inherits what defaults says
    remote_addrs = 192.0.2.2
    local  { auth = psk
             id = a.example.org }
    remote { auth = psk
             id = b.example.org }
    children {
      net { local_ts = 10.1.0.0/16
            remote_ts = 10.2.0.0/16
            start_action = start }
    }
  }
}
defaults {
  version = 2
}
secrets {
  ike-b { id = b.example.org
          secret = "0sFpZAZqEN6Ti9sqt4ZP5EWcqx" }
}
include conf.d/*.conf
```

- `key = value` ends at the line's end, at `#` or at `}`. A value in double quotes may hold anything, over several
  lines too; `\\"`, `\\\\`, `\\n`, `\\t` and a backslash at the end of a line mean what they mean elsewhere.
- A section written twice is one section; a later value replaces an earlier one. `key =` clears an inherited value.
- `name : other, section.name { ... }` inherits what the sections named say, from left to right; they may stand
  anywhere and have any name.
- `include` takes a file or a pattern, relative to the file it stands in; what is read becomes part of the section it
  stands in. A pattern that matches nothing is no mistake.

The same in TOML, where lists are arrays, names with dots are quoted, and no section inherits from another:

```toml
include = ["conf.d/*.toml"]

[connections.site-b]
version = 2
remote_addrs = ["192.0.2.2"]
local = { auth = "psk", id = "a.example.org" }
remote = { auth = "psk", id = "b.example.org" }

[connections.site-b.children.net]
local_ts = ["10.1.0.0/16"]
remote_ts = ["10.2.0.0/16"]
start_action = "start"

[secrets.ike-b]
id = "b.example.org"
secret = "0sFpZAZqEN6Ti9sqt4ZP5EWcqx"
```

## IKEv1

`version = 1` speaks IKEv1 alone, `version = 2` IKEv2 alone; `version = 0`, the default, answers both and starts with
IKEv2. What only one version can do is refused where the other may be spoken, because a peer would go without it and
nobody would be told; options that merely tune IKEv1 (`aggressive`, `pull`, `dpd_timeout`) may stand beside
`version = 0`. Three things differ from IKEv2:

- Both sides prove themselves in the same way: `psk`, `pubkey` (signatures with RSA or ECDSA keys), `rsa-encryption`
  (RFC 2409 §5.2) or `rsa-encryption-revised` (§5.3). The last two are ikectl's own words; both ends need the
  certificate of the other beforehand, in `certs` or in `x509/`.
- A child of several networks is brought up by a Quick Mode for each pair of them; a selector has one port or all.
- `rekey_time` and `reauth_time` mean the same: a new phase 1, with the children kept.

**XAUTH** asks a user for a password after phase 1. It is a second round: `auth = xauth` in a `remote` section of the
gateway, in a `local` section of the client. Who judges is written behind a dash, on the gateway: `xauth` or
`xauth-generic` (and swanctl's `xauth-eap`) look into `secrets`, `xauth-chap` does so too but has the password hidden by
a challenge, `xauth-pam` asks PAM, `xauth-radius` a RADIUS server,
and `xauth-noauth` nobody, for clients that insist on XAUTH after a certificate. `xauth-pam:NAME` names the PAM service
or the RADIUS section.

```
connections {
  road-warriors {                  # the gateway
    version = 1
    pools = road
    local    { auth = pubkey
               certs = gw.pem }
    remote-1 { auth = pubkey }
    remote-2 { auth = xauth }
    children { all { local_ts = 0.0.0.0/0 } }
  }
  office {                         # the client
    version = 1
    remote_addrs = gw.example.org
    vips = 0.0.0.0
    local-1  { auth = pubkey
               certs = carol.pem }
    local-2  { auth = xauth
               xauth_id = carol }
    remote   { auth = pubkey
               id = gw.example.org }
    children { all { remote_ts = 0.0.0.0/0 } }
  }
}
secrets {
  xauth-carol { id = carol
                secret = squeamish }
}
pools {
  road { addrs = 10.9.0.0/24
         dns = 10.0.0.53
         split_include = 10.0.0.0/8
         banner = "Welcome to the office." }
}
```

**Hybrid authentication** is the same with a single round on the user's side: the gateway has `local { auth = pubkey }`
and `remote { auth = xauth }`, the client `local { auth = xauth }` and `remote { auth = pubkey }`.

**Main Mode with a pre-shared key** needs the key before it learns who the peer is. The key is looked up for the `id`
that the connection found by addresses expects, if that is a single one, and else for the peer's address; a secret's
`id` may be an address, a network or a range for that.

**Aggressive Mode with a pre-shared key** needs `aggressive_psk = yes` on both sides. There whoever asks, or answers in
the peer's place, gets a hash made with the key and can try out keys on it at leisure, offline and unseen. Certificates
do not have this weakness; in Main Mode only who can answer in the peer's place gets that far.

**AH around ESP**: with both `ah_proposals` and `esp_proposals` a child has ESP or AH, whichever is agreed on.
`bundle = yes` asks for both at once.

**DHCP over IPsec** (RFC 3456): a client with `dhcp = yes` gets its inner address from the DHCP server behind the
gateway, to which a gateway with `dhcp_server = ADDRESS` relays.

## Forms of values

| form | what to write |
| --- | --- |
| bool | `yes`, `true`, `enabled`, `1`, or `no`, `false`, `disabled`, `0` |
| time | a number with `s`, `m`, `h` or `d`; seconds without |
| bytes | a number with `k`, `m` or `g` (multiples of 1024) |
| number, port | decimal, `0x` hexadecimal, or octal with a leading 0 |
| address | an address, `10.0.0.0/8`, `10.0.0.1-10.0.0.9`, a host name, `%any`, `%any4`, `%any6` |
| selector | `network[protocol/port]`, `range[...]` or `dynamic[...]`; the port is a number, a name, `a-b`, `any` or \
`opaque`, for ICMP the type or type*256+code |
| proposal | algorithm words joined by `-`, or `default` |
| identity | the type is guessed (`%any`, address, `user@host`, `C=CH, CN=x`, host name), or forced by `ipv4:` `ipv6:` \
`fqdn:` `dns:` `email:` `rfc822:` `userfqdn:` `asn1dn:` `asn1gn:` `keyid:` or `{N}:`; `#` after the colon is hex. A \
peer's may be a network, hold `*` (`*.example.org`, `*@example.org`, `C=CH, CN=*`), or be a regular expression \
`fqdn:^...$` |
| mark | `value[/mask]`; the mask is `0xffffffff` if not given |
| auth | `psk`; `pubkey`; or key types with minimum sizes and hashes, as in `rsa-3072-sha256-sha512-ecdsa-256-sha384`; \
`rsa/pss` demands RSA-PSS. They hold for certificates and for the signature of IKE; after `ike:` for the latter only. \
IKEv1 also has `xauth`, `rsa-encryption` and `rsa-encryption-revised`, see above. IKEv2 has `eap` (any method of those \
that follow), `eap-tls`, `eap-ttls`, `eap-ttls-pap`, `eap-ttls-mschapv2`, `eap-peap`, `eap-mschapv2`, `eap-md5` and \
`eap-gtc` |
| network, range | `10.0.0.0/8`; `10.0.0.5-10.0.0.9` |
| secret | text, `0x` and hex, or `0s` and Base64 |
| list | items separated by commas |

## Options

"Built" says what this version does with the option: **yes**; **only** a value, which is what happens anyway; or
**no**, which leaves nothing but to leave it out. The default is swanctl's; where only another value is taken, leaving
the option out acts like that value.
"""


def markdown() -> str:
    """The whole page."""
    return _HEAD + "".join(_groups(ROOT))


def _groups(group: Group) -> list[str]:
    parts = []
    for _, child in group.groups:
        section = _section(child)
        if section not in parts:
            parts.append(section)
        parts += _groups(child)
    return list(dict.fromkeys(parts))


def _section(group: Group) -> str:
    if not group.built:
        return f"\n### `{group.title}`\n\n{group.doc} **Not built yet.**\n"
    if not group.options:
        return ""
    title = ", ".join(f"`{name}`" for name in group.title.split(", "))
    columns = "| option | form | default | built | meaning |\n| --- | --- | --- | --- | --- |\n"
    head = f"\n### {title}\n\n{group.doc}\n\n{columns}"
    return head + "".join(map(_row, group.options))


def _row(option: Option) -> str:
    form = f"{option.kind.name} list" if option.many else option.kind.name
    default = option.default.strip("()") if option.default.startswith("(") else _code(option.default)
    if option.only is None:
        built = "yes"
    else:
        built = f"only {_code(option.only[0])}" if option.only else "no"
    own = " *ikectl's own word.*" if option.own else ""
    return f"| `{option.key}` | {form} | {default} | {built} | {option.doc}{own} |\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    print(markdown(), end="")
