"""The guest's first process: make the machine usable, run one command, power off.

Started by the script that guest.py writes:

    init.py WRITABLE DIRECTORY WORKING COMMAND...

WRITABLE is the host directory that may be written here, DIRECTORY (within it)
is where this boot leaves `booted` and `status`, WORKING the directory in which
COMMAND runs. It uses the standard library alone and imports nothing of the
project, so that a mistake there cannot keep the guest from booting.
"""

from __future__ import annotations

import ctypes
import os
import sys
import traceback
from pathlib import Path

# fmt: off
MODULES = (
    # netlink and the IPsec protocols
    "xfrm_user", "af_key", "esp4", "esp6", "ah4", "ah6", "ipcomp", "ipcomp6", "xfrm4_tunnel", "xfrm6_tunnel",
    "udp_tunnel", "ip6_udp_tunnel",
    # templates, IV generators and the random numbers these start from
    "drbg", "jitterentropy_rng", "authenc", "authencesn", "seqiv", "echainiv", "gcm", "ccm", "ctr", "cbc",
    "ecb", "cmac", "xcbc", "hmac", "ghash-generic",
    # ciphers and hashes
    "aes_generic", "chacha20poly1305", "chacha_generic", "poly1305_generic", "camellia_generic",
    "des_generic", "blowfish_generic", "cast5_generic", "serpent_generic", "crypto_null", "md5",
    "sha1_generic", "sha256_generic", "sha512_generic", "rmd160", "deflate",
    # links, queueing and NAT
    "veth", "dummy", "tun", "ip_gre", "ip_vti", "ipip", "sch_netem", "ip_tables", "ip6_tables",
    "iptable_nat", "iptable_filter", "iptable_mangle", "ip6table_filter", "nf_nat",
    "xt_MASQUERADE", "xt_nat", "xt_tcpudp", "xt_policy", "xt_mark", "xt_connmark", "xt_conntrack", "xt_esp", "xt_CT",
    "iptable_raw", "nf_conntrack_netlink",
    # PPP, over a terminal or over L2TP
    "ppp_generic", "ppp_async", "pppox", "l2tp_core", "l2tp_ppp",
    # tcpdump and ss
    "af_packet", "af_packet_diag", "udp_diag", "inet_diag", "unix_diag",
)
# fmt: on
"""Loaded at boot. A name that this kernel has built in, or lacks, is passed over."""

POWER_OFF = 0x4321FEDC
"""LINUX_REBOOT_CMD_POWER_OFF of reboot(2)."""

libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str, options: str = "") -> None:
    """mount(2) without flags."""
    if libc.mount(source.encode(), target.encode(), kind.encode(), 0, options.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mounting {kind} on {target}: {os.strerror(number)}")


def file_systems(writable: str) -> None:
    """Kernel file systems, memory where programs write, and the one writable host directory."""
    mount("proc", "/proc", "proc")
    mount("sysfs", "/sys", "sysfs")
    mount("run", "/run", "tmpfs", "mode=755")
    for directory in ("/dev/pts", "/dev/shm", "/run/lock", "/run/home", "/run/netns"):
        os.makedirs(directory, exist_ok=True)
    os.mkdir("/run/tmp", 0o1777)
    mount("devpts", "/dev/pts", "devpts")
    mount("shm", "/dev/shm", "tmpfs")
    mount("none", writable, "hostfs", writable)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        if not os.path.lexists(f"/dev/{name}"):
            os.symlink(target, f"/dev/{name}")


def modules() -> None:
    """Load every module the tests need, then forbid more.

    The kernel would otherwise start modprobe once for each algorithm name that
    is asked for, in vain for most, at a second or more each.
    """
    release = os.uname().release
    os.makedirs("/run/modules/lib/modules")
    os.symlink(f"/usr/lib/uml/modules/{release}", f"/run/modules/lib/modules/{release}")
    run(["modprobe", "--dirname", "/run/modules", "--all", "--quiet", *MODULES])
    Path("/proc/sys/kernel/modprobe").write_text("\n")


def run(command: list[str]) -> int:
    """Run a command to its end, reaping whatever else becomes our child meanwhile."""
    child = os.fork()
    if child == 0:
        try:
            os.execvp(command[0], command)
        except OSError as error:
            print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127)
    while True:
        process, status = os.wait()
        if process == child:
            return os.waitstatus_to_exitcode(status)


def main(writable: str, directory: str, working: str, *command: str) -> None:
    file_systems(writable)
    os.environ.update(TMPDIR="/run/tmp", HOME="/run/home")
    os.chdir(working)
    run(["ip", "link", "set", "lo", "up"])
    modules()
    Path(directory, "booted").write_text("yes\n")
    Path(directory, "status").write_text(f"{run(list(command))}\n")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    libc.sync()
    libc.reboot(POWER_OFF)
