"""Tables against the sizes a C compiler gives for linux/xfrm.h."""

import pytest

from xfrm import structs
from xfrm.structs import Layout

# sizeof, gcc on x86_64, linux/xfrm.h of Linux 6.1
SIZES = {
    "xfrm_selector": 56, "xfrm_id": 24, "xfrm_lifetime_cfg": 64, "xfrm_lifetime_cur": 32, "xfrm_stats": 12,
    "xfrm_user_tmpl": 64, "xfrm_usersa_info": 224, "xfrm_usersa_id": 24, "xfrm_aevent_id": 48,
    "xfrm_userspi_info": 232, "xfrm_userpolicy_info": 168, "xfrm_userpolicy_id": 64, "xfrm_user_acquire": 280,
    "xfrm_user_expire": 232, "xfrm_user_polexpire": 176, "xfrm_usersa_flush": 1, "xfrm_user_report": 60,
    "xfrm_user_mapping": 64, "xfrm_userpolicy_default": 3, "xfrm_algo": 68, "xfrm_algo_auth": 72,
    "xfrm_algo_aead": 72, "xfrm_encap_tmpl": 24, "xfrm_mark": 8, "xfrm_replay_state": 12,
    "xfrm_replay_state_esn": 24, "xfrm_user_sec_ctx": 8, "xfrm_user_offload": 8, "xfrm_userpolicy_type": 6,
    "xfrm_user_kmaddress": 40, "xfrm_user_migrate": 76, "xfrm_address_filter": 36, "xfrmu_sadhinfo": 8,
    "xfrmu_spdinfo": 24, "xfrmu_spdhinfo": 8, "xfrmu_spdhthresh": 2,
}  # fmt: skip


def test_every_struct_has_its_size() -> None:
    tables = {value.name: value.size for value in vars(structs).values() if isinstance(value, Layout)}
    assert {name: size for name, size in tables.items() if name.startswith("xfrm")} == SIZES


def test_a_wrong_table_does_not_survive() -> None:
    with pytest.raises(AssertionError, match="5 octets by its table, 8 in the kernel"):
        Layout("wrong", 8, ("number", "u32"), ("octet", "u8"))
