"""Records what iproute2 sends for each command of COMMANDS into ip-xfrm.txt beside this file.

Run as root where strace and iproute2 are installed:

    python tests/vectors/xfrm/capture_ip.py

Every command runs in a network namespace of its own, so nothing here touches the
host's databases; whether the kernel then accepts the message does not matter.
"""

import re
import subprocess
from pathlib import Path

ID = "src 10.0.0.1 dst 10.0.0.2 proto esp spi 0xc0ffee01"
ID6 = "src 2001:db8::1 dst 2001:db8::2 proto esp spi 0xc0ffee06"
GCM = "aead rfc4106(gcm(aes)) 0x000102030405060708090a0b0c0d0e0f10111213 128"
CBC = "enc cbc(aes) 0x00112233445566778899aabbccddeeff"
SHA2 = "auth-trunc hmac(sha256) 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 128"
SELECTOR = "src 10.1.0.0/16 dst 10.2.0.0/24"
TEMPLATE = "tmpl src 10.0.0.1 dst 10.0.0.2 proto esp reqid 7 mode tunnel"

COMMANDS = {
    "newsa-aead": f"state add {ID} reqid 7 mode tunnel replay-window 32 {GCM}",
    "newsa-auth-crypt": f"state add {ID} reqid 7 mode transport {SHA2} {CBC}",
    "newsa-ipv6": f"state add {ID6} reqid 7 mode tunnel {GCM}",
    "newsa-auth-untruncated": f"state add {ID} mode tunnel auth hmac(sha1) 0x0102 {CBC}",
    "newsa-ah": "state add src 10.0.0.1 dst 10.0.0.2 proto ah spi 0xc0ffee01 mode transport " + SHA2,
    "newsa-comp": "state add src 10.0.0.1 dst 10.0.0.2 proto comp spi 0x1234 mode tunnel comp deflate",
    "newsa-esn": f"state add {ID} mode tunnel replay-window 128 flag esn {GCM}",
    "newsa-esn-counters": (
        f"state add {ID} mode tunnel flag esn replay-seq 5 replay-seq-hi 1 replay-oseq 6 replay-oseq-hi 2"
        f" replay-window 64 {GCM}"
    ),
    "newsa-large-window": f"state add {ID} mode tunnel replay-window 100 {GCM}",
    "newsa-replay-counters": f"state add {ID} mode tunnel replay-window 32 replay-seq 5 replay-oseq 6 {GCM}",
    "newsa-encap": f"state add {ID} mode tunnel {GCM} encap espinudp 4500 34567 192.0.2.9",
    "newsa-encap-tcp": f"state add {ID} mode tunnel {GCM} encap espintcp 4500 34567 0.0.0.0",
    "newsa-marks": f"state add {ID} mode tunnel {GCM} mark 0x10 mask 0xff output-mark 0x20 mask 0xf0 if_id 0x55",
    "newsa-output-mark": f"state add {ID} mode tunnel {GCM} output-mark 0x20",
    "newsa-flags": (
        f"state add {ID} mode beet flag noecn flag decap-dscp flag nopmtudisc flag af-unspec flag align4 {GCM}"
        " extra-flag dont-encap-dscp extra-flag oseq-may-wrap tfcpad 1400"
    ),
    "newsa-offload": f"state add {ID} mode tunnel {GCM} offload dev lo dir in",
    "newsa-coaddr": "state add src 2001:db8::1 dst 2001:db8::2 proto hao mode ro coa 2001:db8::7",
    "newsa-security": f"state add {ID} mode tunnel {GCM} ctx system_u:object_r:ipsec_t:s0",
    "newsa-selector": (
        f"state add {ID} mode transport seq 9 {GCM} sel src 10.1.0.0/16 dst 10.2.0.1 proto udp"
        " sport 1000 dport 2000 dev lo"
    ),
    "newsa-limits": (
        f"state add {ID} mode tunnel {GCM} limit time-soft 10 limit time-hard 20 limit time-use-soft 30"
        " limit time-use-hard 40 limit byte-soft 50 limit byte-hard 60 limit packet-soft 70 limit packet-hard 80"
    ),
    "updsa": f"state update {ID} reqid 7 mode tunnel {GCM}",
    "delsa": f"state delete {ID} mark 0x10 mask 0xff",
    "getsa": f"state get {ID}",
    "allocspi": (
        "state allocspi src 10.0.0.1 dst 10.0.0.2 proto esp reqid 3 mode tunnel seq 5 mark 1 mask 3"
        " min 0x1000 max 0x2000"
    ),
    "flushsa": "state flush",
    "flushsa-esp": "state flush proto esp",
    "dumpsa-between": "state list src 10.0.0.0/8 dst 10.1.0.0/16",
    "getsadinfo": "state count",
    "newpolicy": f"policy add {SELECTOR} dir out priority 1234 {TEMPLATE}",
    "newpolicy-ipv6": (
        "policy add src 2001:db8:1::/48 dst ::/0 dir fwd tmpl src 2001:db8::1 dst 2001:db8::2"
        " proto ah spi 0x99 reqid 7 mode transport level use"
    ),
    "newpolicy-two-templates": (
        f"policy add {SELECTOR} proto tcp dport 443 dir in index 8 tmpl proto comp mode tunnel level use {TEMPLATE}"
    ),
    "newpolicy-everything": (
        f"policy add {SELECTOR} dev lo dir out ctx label index 17 ptype sub action block priority 9 flag localok"
        f" flag icmp mark 1 mask 3 if_id 9 limit time-hard 60 {TEMPLATE}"
    ),
    "newpolicy-icmp": "policy add src 10.0.0.0/8 dst 0.0.0.0/0 proto icmp type 8 code 0 dir out",
    "updpolicy": f"policy update {SELECTOR} dir in {TEMPLATE}",
    "delpolicy": f"policy delete {SELECTOR} dir out mark 1 mask 3 if_id 9 ptype sub",
    "delpolicy-security": f"policy delete {SELECTOR} dir out ctx label",
    "delpolicy-index": "policy delete dir out index 17",
    "getpolicy-index": "policy get dir fwd index 26 if_id 9",
    "flushpolicy": "policy flush",
    "flushpolicy-sub": "policy flush ptype sub",
    "dumppolicy": "policy list",
    "getspdinfo": "policy count",
    "thresholds": "policy set hthresh4 16 24 hthresh6 32 64",
    "setdefault": "policy setdefault in block out accept",
    "getdefault": "policy getdefault",
}


def capture(command: str) -> bytes:
    """The last message that ``ip xfrm command`` sends (some look an interface's index up before)."""
    arguments = ["unshare", "-n", "strace", "-e", "trace=sendmsg,sendto", "-e", "write=all"]
    run = subprocess.run([*arguments, "ip", "xfrm", *command.split()], capture_output=True, text=True, check=False)
    messages: list[bytearray] = []
    for line in run.stderr.splitlines():
        if found := re.match(r" \| ([0-9a-f]{5})  ([0-9a-f ]{48}) ", line):
            if int(found[1], 16) == 0:
                messages.append(bytearray())
            messages[-1] += bytes.fromhex(found[2])
    if not messages or messages[-1][4] < 0x10:
        raise SystemExit(f"nothing was sent for: ip xfrm {command}\n{run.stdout}{run.stderr}")
    return bytes(messages[-1])


def main() -> None:
    version = subprocess.run(["ip", "-V"], capture_output=True, text=True, check=True).stdout.strip()
    lines = [f"# What `ip xfrm` sends: {version}, x86_64, recorded by capture_ip.py (sequence numbers zeroed)."]
    for name, command in COMMANDS.items():
        octets = bytearray(capture(command))
        octets[8:12] = bytes(4)
        lines += ["", f"[{name}]", f"# ip xfrm {command}"]
        lines += [octets[at : at + 32].hex() for at in range(0, len(octets), 32)]
    Path(__file__).with_name("ip-xfrm.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
