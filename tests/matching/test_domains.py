"""Plain domains are read without the library that checks addresses, and give what it gives."""

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES
from hypothesis import example, given
from hypothesis import strategies as st

from app.matching.email import read_domain, read_domain_by_library, read_email

LABELS = st.one_of(
    st.from_regex(r"[a-z0-9-]{1,5}", fullmatch=True),
    st.sampled_from(["com", "CO", "c", "test", "local", "arpa", "x" * 63, "x" * 64, "xn--p1ai", "xn--abc", "a--b"]),
    st.sampled_from(["", "é", "straße", "İ", "a_b", "a b", "com\n", "1", "12", "c0m", "com1"]),
    st.sampled_from(SPECIAL_USE_DOMAIN_NAMES),
)


@given(st.lists(LABELS, min_size=1, max_size=6).map(".".join))
@example("acme.com")
@example("Acme-Soft.co.uk")
def test_a_domain_is_read_as_the_library_reads_it(domain: str) -> None:
    assert read_domain(domain) == read_domain_by_library(domain)


@pytest.mark.parametrize("length", range(240, 256))
def test_a_long_domain_is_read_as_the_library_reads_it(length: int) -> None:
    domain = ("abc." * 80)[: length - 4].rstrip(".").ljust(length - 4, "z") + ".com"
    assert read_domain(domain) == read_domain_by_library(domain)


@pytest.mark.parametrize("name", SPECIAL_USE_DOMAIN_NAMES)
def test_there_are_no_addresses_at_a_domain_for_special_use(name: str) -> None:
    assert read_email(f"ana@mail.{name}") is None
