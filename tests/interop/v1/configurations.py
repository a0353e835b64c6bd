"""swanctl.conf for IKEv1: the same two gateways, and what a road warrior and its gateway add to them."""

from __future__ import annotations

from tests.interop import configurations
from tests.interop.configurations import Gateway

OLD = {"version": 1, "ike": "aes128-sha256-modp2048", "esp": "aes128-sha256"}

MOON = configurations.MOON.but(**OLD)
SUN = configurations.SUN.but(**OLD)
ENDS = {"moon": MOON, "sun": SUN}

USER = "carol"
PASSWORD = "carol's own password"

XAUTH_SECRET = f'xauth-carol {{\n id = {USER}\n secret = "{PASSWORD}"\n }}'


def logging_in(gateway: Gateway, password: str = PASSWORD) -> Gateway:
    """This end, which says a user's name and password after phase 1 (XAUTH)."""
    return gateway.but(
        connection=f"{gateway.connection}\nlocal-login {{\n round = 2\n auth = xauth\n xauth_id = {USER}\n }}",
        secrets=XAUTH_SECRET.replace(PASSWORD, password),
    )


def asking_for_login(gateway: Gateway) -> Gateway:
    """This end, which asks the other for them."""
    return gateway.but(
        connection=gateway.connection + "\nremote-login {\n round = 2\n auth = xauth\n }", secrets=XAUTH_SECRET
    )


def hybrid_client(gateway: Gateway, password: str = PASSWORD) -> Gateway:
    """This end, which proves itself by name and password alone, to one that has a certificate."""
    return gateway.but(
        auth="xauth",
        peer_auth="pubkey",
        local=f"xauth_id = {USER}",
        secrets=XAUTH_SECRET.replace(PASSWORD, password),
    )


def hybrid_server(gateway: Gateway) -> Gateway:
    """The other end of hybrid authentication."""
    return gateway.but(auth="pubkey", peer_auth="xauth", secrets=XAUTH_SECRET)


POOL = "rw { addrs = 10.3.0.1-10.3.0.14\n dns = 10.2.0.10\n %s }"


def asking_for_address(gateway: Gateway) -> Gateway:
    """This end, which wants an address from the other (mode config) and reaches the network behind it."""
    return gateway.but(connection=gateway.connection + "\nvips = 0.0.0.0", local_ts="dynamic")


def giving_addresses(gateway: Gateway, attributes: str = "") -> Gateway:
    """The other end, with a pool of addresses."""
    return gateway.but(connection=gateway.connection + "\npools = rw", remote_ts="dynamic", pools=POOL % attributes)
