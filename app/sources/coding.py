"""The Content-Encoding of a submission: gzip or deflate, unpacked up to a limit so that no body can fill the memory."""

from __future__ import annotations

import gzip
import zlib
from typing import Final

MAX_MEMBERS: Final = 16  # a gzip file may consist of several; each costs a copy of what follows it
_GZIP_MAGIC: Final = b"\x1f\x8b"
_NAMES: Final = {"": "", "identity": "", "gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}


class ContentInvalid(ValueError):
    """The body is not in the coding that its header names."""


class ContentTooLarge(ValueError):
    """The unpacked body is larger than the limit."""


def coding_of(header: str) -> str:
    """gzip, deflate, or "" for none, of a Content-Encoding header.

    Raises ContentInvalid for any other, and for several.
    """
    name = header.strip().lower()
    if name not in _NAMES:
        raise ContentInvalid(f"the coding {name[:60]!a} is not known: send the body as it is, or with gzip or deflate")
    return _NAMES[name]


def unpacked(body: bytes, header: str, limit: int) -> bytes:
    """The body without its coding. Raises ContentInvalid when it is damaged, ContentTooLarge above the limit.

    A body that is not gzip in spite of its header is returned as it is: some proxies unpack it and keep the header.
    """
    coding = coding_of(header)
    if coding == "gzip" and body.startswith(_GZIP_MAGIC):
        return _inflated(body, zlib.MAX_WBITS | 16, limit)
    if coding == "deflate" and body:
        try:
            return _inflated(body, zlib.MAX_WBITS, limit)
        except ContentInvalid:  # some senders leave out the header that zlib writes
            return _inflated(body, -zlib.MAX_WBITS, limit)
    return body


def packed(content: bytes, header: str) -> bytes:
    """The content in the coding that the header names."""
    coding = coding_of(header)
    if coding == "gzip":
        return gzip.compress(content, mtime=0)
    return zlib.compress(content) if coding == "deflate" else content


def _inflated(body: bytes, window_bits: int, limit: int) -> bytes:
    parts: list[bytes] = []
    room = limit
    for _ in range(MAX_MEMBERS):
        stream = zlib.decompressobj(window_bits)
        try:
            part = stream.decompress(body, room + 1)
        except zlib.error as error:
            raise ContentInvalid(f"the body cannot be unpacked: {error}") from None
        room -= len(part)
        if room < 0:
            raise ContentTooLarge(f"the unpacked body may have {limit} bytes")
        if not stream.eof:
            raise ContentInvalid("the packed body is incomplete")
        parts.append(part)
        body = stream.unused_data.lstrip(b"\0")  # some writers fill up with zeros
        if not body:
            return b"".join(parts)
    raise ContentInvalid(f"the packed body has more than {MAX_MEMBERS} parts")
