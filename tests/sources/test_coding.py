"""Bodies in gzip or deflate are unpacked up to a limit; any other coding is not known."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sources.coding import MAX_MEMBERS, ContentInvalid, ContentTooLarge, coding_of, packed, unpacked

LIMIT = 10_000


def raw_deflate(content: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(content) + stream.flush()


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("", ""),
        ("identity", ""),
        ("gzip", "gzip"),
        (" GZip ", "gzip"),
        ("x-gzip", "gzip"),
        ("deflate", "deflate"),
    ],
)
def test_a_known_coding_is_named(header: str, coding: str) -> None:
    assert coding_of(header) == coding


@pytest.mark.parametrize(
    "header", ["br", "zstd", "compress", "gzip, x", "gzip, gzip", "gzip,deflate", "\x00", "ł", "*"]
)
def test_any_other_coding_is_refused(header: str) -> None:
    with pytest.raises(ContentInvalid):
        coding_of(header)


@given(st.binary(max_size=2_000))
def test_what_was_packed_is_unpacked(content: bytes) -> None:
    for header in ("", "identity", "gzip", "x-gzip", "deflate"):
        assert unpacked(packed(content, header), header, LIMIT) == content
    assert unpacked(raw_deflate(content), "deflate", LIMIT) == content
    assert unpacked(gzip.compress(content[:9]) + gzip.compress(content[9:]) + b"\0" * 8, "gzip", LIMIT) == content


@pytest.mark.parametrize("header", ["gzip", "deflate"])
@pytest.mark.parametrize("over", [-1, 0, 1, 100_000_000])
def test_the_limit_is_that_of_the_unpacked_size(header: str, over: int) -> None:
    body = packed(bytes(LIMIT + over), header)
    if over > 0:
        with pytest.raises(ContentTooLarge, match=str(LIMIT)):
            unpacked(body, header, LIMIT)
    else:
        assert len(unpacked(body, header, LIMIT)) == LIMIT + over


def test_the_limit_is_that_of_all_members_together() -> None:
    member = gzip.compress(bytes(LIMIT // 4))
    assert len(unpacked(member * 4, "gzip", LIMIT)) == LIMIT
    with pytest.raises(ContentTooLarge):
        unpacked(member * 5, "gzip", LIMIT)
    with pytest.raises(ContentInvalid, match="more than"):
        unpacked(gzip.compress(b"") * (MAX_MEMBERS + 1), "gzip", LIMIT)


GZIPPED = gzip.compress(b"content", mtime=0)  # equal in every process, as the names of tests must be


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("gzip", GZIPPED[:-1]),
        ("gzip", GZIPPED[:12]),
        ("gzip", b"\x1f\x8b"),
        ("gzip", GZIPPED + b"more"),
        ("deflate", b"content"),
        ("deflate", zlib.compress(b"content")[:-2]),
        ("deflate", zlib.compress(b"content") + b"more"),
    ],
)
def test_a_body_that_is_not_in_its_coding_is_invalid(header: str, body: bytes) -> None:
    with pytest.raises(ContentInvalid):
        unpacked(body, header, LIMIT)


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_are_unpacked_or_refused(body: bytes, header: str) -> None:
    for content in (body, b"\x1f\x8b\x08" + body, b"\x78\x9c" + body):
        try:
            assert len(unpacked(content, header, LIMIT)) <= LIMIT
        except (ContentInvalid, ContentTooLarge):
            continue


def test_a_plain_body_that_a_proxy_has_unpacked_already_is_read_as_it_is() -> None:
    assert unpacked(b'{"a": 1}', "gzip", LIMIT) == b'{"a": 1}'
