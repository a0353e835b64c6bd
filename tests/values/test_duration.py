import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.values.duration import format_time, parse_bytes, parse_number, parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90", 90), ("90s", 90), ("5m", 300), ("4h", 14400), ("4H", 14400), ("1d", 86400)],
)
def test_a_time_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "4w", "-1", "1.5h", "4 hours", "99999999999d", "４h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)


def test_volumes_are_multiples_of_1024_and_saturate() -> None:
    assert parse_bytes("500k") == 512000
    assert parse_bytes("1g") == 1 << 30
    assert parse_bytes("99999999999999999999g") == 2**64 - 1
    with pytest.raises(ValueError):
        parse_bytes("1t")


def test_numbers_are_read_as_c_reads_them() -> None:
    assert parse_number("0x10") == 16
    assert parse_number("010") == 8
    assert parse_number("0") == 0
    assert parse_number("4294967295") == 0xFFFFFFFF
    for bad in ("4294967296", "08", "-1", "", "1_0", "0x"):
        with pytest.raises(ValueError):
            parse_number(bad)
    assert parse_number("255", 8) == 255
    with pytest.raises(ValueError):
        parse_number("256", 8)


def test_times_print_as_their_two_largest_units() -> None:
    assert format_time(14340) == "3h 59m"
    assert format_time(0) == "0s"
    assert format_time(-3) == "0s"
    assert format_time(61.9) == "1m 1s"
    assert format_time(3605) == "1h"
    assert format_time(2 * 86400 + 3600) == "2d 1h"


@given(st.text(max_size=30))
def test_any_text_is_a_value_or_a_value_error(text: str) -> None:
    for parse in (parse_time, parse_bytes, parse_number):
        try:
            assert parse(text) >= 0
        except ValueError:
            pass
