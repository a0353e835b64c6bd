#!/bin/bash
# Makes a fresh Debian 12 ready, and does nothing the second time.
#
#   tests/lab/setup.sh tests     everything the test suite needs
#   tests/lab/setup.sh demo      what examples/demo needs: no other IKE daemon
#
# Three things are made sure of, in this order: the programs of the lab (with
# apt-get, when they are missing), Python 3.11 or later with venv, and .venv
# holding exactly what .requirements.lock names. As root it installs what is
# missing; anybody else is told. Nothing that is installed here gets started,
# now or at the next boot.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8

wanted=${1:-tests}
log=.lab/setup.log
stamp=.venv/.installed
shim=.lab/xstate.so

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
    printf 'setup: cannot go on: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '       %s\n' "$line" >&2; done
    exit 1
}

# Debian package and the file or program that shows it is there. Programs are
# looked for, not packages, so that another distribution can serve as well.
lab_programs='
    user-mode-linux                 linux.uml
    user-mode-linux                 /usr/lib/uml/modules
    iproute2                        ip
    iputils-ping                    ping
    kmod                            modprobe
    util-linux                      taskset
'
test_programs='
    iptables                        iptables-legacy
    tcpdump                         tcpdump
    strongswan-charon               /usr/lib/ipsec/charon
    strongswan-swanctl              swanctl
    libstrongswan-standard-plugins  /usr/lib/ipsec/plugins/libstrongswan-gcm.so
    libstrongswan-extra-plugins     /usr/lib/ipsec/plugins/libstrongswan-chapoly.so
    libcharon-extra-plugins         /usr/lib/ipsec/plugins/libstrongswan-eap-mschapv2.so
    libcharon-extauth-plugins       /usr/lib/ipsec/plugins/libstrongswan-xauth-generic.so
    ike-scan                        ike-scan
    xl2tpd                          xl2tpd
    ppp                             pppd
    dnsmasq-base                    dnsmasq
    eapoltest                       eapol_test
'

# What comes along with these packages and would start something on this machine
# at the next boot: the service's file, and how to keep it from that.
services='
    /lib/systemd/system/strongswan-starter.service  systemctl disable --quiet strongswan-starter.service
    /etc/init.d/ipsec                               update-rc.d ipsec disable
    /etc/init.d/xl2tpd                              update-rc.d xl2tpd disable
    /lib/systemd/system/pppd-dns.service            systemctl disable --quiet pppd-dns.service
'

missing_packages() {
    local table=$lab_programs package program
    [ "$wanted" = demo ] || table+=$test_programs
    while read -r package program; do
        [ -n "$package" ] || continue
        case $program in
            /*) [ -e "$program" ] || echo "$package" ;;
            *) command -v "$program" >/dev/null || echo "$package" ;;
        esac
    done <<<"$table" | sort -u
    if needs_shim && [ ! -e $shim ] && ! compiler >/dev/null; then echo tcc; fi
}

# Processors with AMX need a helping hand for user-mode Linux: tests/lab/xstate.c
needs_shim() { grep -qw amx_tile /proc/cpuinfo; }
compiler() { command -v cc || command -v gcc || command -v tcc; }
build_shim() {
    if ! needs_shim || [ $shim -nt tests/lab/xstate.c ]; then return; fi
    "$(compiler)" -shared -fPIC -nostdlib -o $shim.new tests/lab/xstate.c >>$log 2>&1 && mv $shim.new $shim ||
        { tail -n 15 $log >&2; die "tests/lab/xstate.c could not be compiled."; }
}

# The first Python that is new enough and can make virtual environments.
# (Debian splits ensurepip off into python3-venv.)
find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
        "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        command -v "$candidate"
        return
    done
}

install_packages() {
    local packages=("$@")
    command -v apt-get >/dev/null || die "this is not Debian (no apt-get), and these are not here:" "${packages[@]}"
    [ "$(id -u)" = 0 ] || die "only root can install Debian packages. As root, run:" \
        "apt-get install --no-install-recommends ${packages[*]}"

    # While policy-rc.d answers 101, packages start no service. A policy that
    # the machine has already is its owner's and stays.
    local policy=/usr/sbin/policy-rc.d ours=
    if [ ! -e $policy ]; then
        ours=yes
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
    fi
    local file disable new_services=
    while read -r file disable; do
        [ -z "$file" ] || [ -e "$file" ] || new_services+="$file $disable"$'\n'
    done <<<"$services"

    local apt=(apt-get -q -y -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3) failed=
    say "apt-get update"
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" update >>$log 2>&1 || failed="apt-get update"
    say "apt-get install ${packages[*]}"
    if DEBIAN_FRONTEND=noninteractive "${apt[@]}" install --no-install-recommends "${packages[@]}" >>$log 2>&1; then
        failed=
    else
        failed="apt-get install"
    fi
    [ -z "$ours" ] || rm -f $policy
    # A service that was here before is its owner's and stays as it is.
    while read -r file disable; do
        if [ -e "$file" ]; then $disable >>$log 2>&1 || true; fi
    done <<<"${new_services%$'\n'}"
    if [ -n "$failed" ]; then
        tail -n 15 $log >&2
        die "$failed failed (above; all of it in $PWD/$log)." "Is the network there, and is this Debian 12 or later?"
    fi
}

python_packages() {
    local lock_hash
    lock_hash=$(cat .requirements.lock pyproject.toml | sha256sum)
    if [ "$(cat $stamp 2>/dev/null)" = "$lock_hash" ] && .venv/bin/python -c 'import pytest' 2>/dev/null; then
        return
    fi
    # An environment whose interpreter went away, or was copied here, is made anew.
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        say "making .venv with $("$python" --version)"
        "$python" -m venv --clear .venv >>$log 2>&1 || { tail -n 15 $log >&2; die "could not make .venv."; }
    fi
    local pip=(.venv/bin/python -m pip --disable-pip-version-check install --quiet --no-input)
    say "installing the locked Python packages"
    "${pip[@]}" --require-hashes -r .requirements.lock >>$log 2>&1 ||
        { tail -n 15 $log >&2; die "pip could not install .requirements.lock (above; all of it in $PWD/$log)." "Is the network there?"; }
    "${pip[@]}" --no-deps --no-build-isolation --editable . >>$log 2>&1 ||
        { tail -n 15 $log >&2; die "pip could not install ikectl itself (above; all of it in $PWD/$log)."; }
    printf '%s\n' "$lock_hash" >$stamp
}

mkdir -p .lab
[ -w .lab ] || die "$PWD/.lab cannot be written: it belongs to $(stat -c %U .lab)."
exec 9>.lab/setup.lock
flock 9                             # two runs at once: the second waits and finds all done
: >$log

mapfile -t packages < <(missing_packages)
python=$(find_python)
[ -n "$python" ] || packages+=(python3-venv)
if [ ${#packages[@]} -gt 0 ]; then
    install_packages "${packages[@]}"
    mapfile -t packages < <(missing_packages)
    [ ${#packages[@]} -eq 0 ] || die "these packages are installed, but not the programs in them:" "${packages[@]}"
    python=$(find_python)
fi
[ -n "$python" ] || die "no Python 3.11 or later with venv was found; set PYTHON=/path/to/one."
python_packages
build_shim
