"""Bytes to text: UTF-8 where they are, else the declared character set, else windows-1252, which is a guess."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl

_KNOWN: Final = re.compile(
    r"utf-?(8|16|32)([-_]?(le|be|sig))?|(us-)?ascii|latin-?\d+|iso-?8859-?\d+(-[ei])?|(windows|cp)-?\d{3,4}|koi8-[rut]|gb\w+|big5(-?hkscs)?"
    r"|shift[-_]?jis|sjis|euc-?\w+|iso-?2022-?\w+|mac-?\w+|tis-?620",
    re.IGNORECASE,
)
# What browsers and mail programs mean by these names: they send the euro sign and quotation marks under them.
_SUPERSETS: Final = {
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
}
_NAMING: Final = (b"_charset_", b"encoding")
_FALLBACK: Final = "cp1252"
_ASCII: Final = bytes(range(32, 127))
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Decoder:
    """Decodes the texts of one body. `is_guessed`: for one of them no declared set was right."""

    def __init__(self, *declared: str) -> None:
        self._declared = [name for name in map(charset, declared) if name]
        self.is_guessed = False

    def text(self, raw: bytes, *, first: str = "utf-8", own: str = "") -> str:
        """One text: by its byte order mark, else strictly as `first`, as its `own` declared set, as the body's declared
        sets, or as windows-1252."""
        declared = [name for name in (charset(own), *self._declared) if name]
        escaped = [name for name in declared if name.startswith("iso2022")]
        narrow = [name for name in declared if not _is_wide(name)]
        for name in [*_wide_sets(raw, declared), *escaped, first, *narrow]:
            try:
                return raw.decode(_SUPERSETS.get(name, name)).removeprefix("\ufeff")
            except UnicodeDecodeError:
                continue
        self.is_guessed = True
        return raw.decode(_FALLBACK, "replace")

    def pairs(self, query: bytes, most: int) -> list[tuple[str, str]]:
        """The pairs of an urlencoded form; raises ValueError when there are more than `most`.

        All are in one set: if one of them is not UTF-8, a form with a declared set is in that.
        """
        if _wide_sets(query, self._declared):
            query = self.text(query).encode("utf-8", "replace")
        # Latin-1 maps each byte to a character and back, so percent-encoded bytes are kept as they are.
        found = parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="latin-1", max_num_fields=most)
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in found]
        self.declare(raw)
        narrow = [name for name in self._declared if not _is_wide(name)]
        first = "utf-8" if not narrow or _is_utf_8(part for pair in raw for part in pair) else narrow[0]
        return [(self.text(name, first=first), self.text(value, first=first)) for name, value in raw]

    def declare(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """Takes the sets that a form itself names, in fields that browsers and form services fill."""
        named = {name: value.decode("latin-1") for name, value in fields if name in _NAMING}
        self._declared += [name for field in _NAMING if (name := charset(named.get(field, "")))]


def charset(name: str) -> str:
    """The codec of a declared character set; "" when it is absent, unknown, or a codec that is not a character set.

    Also "" for sets of mainframes, in which the names and marks of a form or of JSON would be other bytes.
    """
    name = name.strip().strip("\"'")
    try:
        codec = codecs.lookup(name).name if _KNOWN.fullmatch(name) else ""
        return codec if not codec or _is_wide(codec) or _ASCII.decode(codec) == _ASCII.decode() else ""
    except (LookupError, ValueError):
        return ""


def _is_wide(codec: str) -> bool:
    return codec.startswith(("utf-16", "utf-32"))


def _wide_sets(raw: bytes, declared: Iterable[str]) -> list[str]:
    """The sets to try first: that of the byte order mark; a declared one of two or four bytes for each character only
    where there are zero bytes, since many senders declare UTF-16 and send UTF-8."""
    marked = [name for mark, name in _BOMS if raw.startswith(mark)]
    wide = [name for name in declared if _is_wide(name)] if b"\0" in raw else []
    return [*marked[:1], *([json.detect_encoding(raw)] if wide else []), *wide]


def _is_utf_8(texts: Iterable[bytes]) -> bool:
    try:
        b"".join(text + b" " for text in texts).decode()
    except UnicodeDecodeError:
        return False
    return True
