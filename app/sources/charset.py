"""Bytes to text: UTF-8 where they are, else the declared character set, else windows-1252, which is a guess."""

from __future__ import annotations

import codecs
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
        marked = [name for mark, name in _BOMS if raw.startswith(mark)]
        declared = [name for name in (charset(own), *self._declared) if name]
        escaped = [name for name in declared if name.startswith("iso2022")]
        for name in [*marked[:1], *escaped, first, *declared]:
            try:
                return raw.decode(_SUPERSETS.get(name, name)).removeprefix("\ufeff")
            except UnicodeDecodeError:
                continue
        self.is_guessed = True
        return raw.decode(_FALLBACK, "replace")

    def pairs(self, query: bytes, most: int) -> list[tuple[str, str]]:
        """The pairs of an urlencoded form; ValueError for more than `most`.

        All are in one set: if one of them is not UTF-8, a form with a declared set is in that.
        """
        # Latin-1 maps each byte to a character and back, so percent-encoded bytes are kept as they are.
        found = parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="latin-1", max_num_fields=most)
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in found]
        self.declare(raw)
        first = "utf-8" if not self._declared or _is_utf_8(part for pair in raw for part in pair) else self._declared[0]
        return [(self.text(name, first=first), self.text(value, first=first)) for name, value in raw]

    def declare(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """Takes the sets that a form itself names, in fields that browsers and form services fill."""
        named = {name: value.decode("latin-1") for name, value in fields if name in _NAMING}
        self._declared += [name for field in _NAMING if (name := charset(named.get(field, "")))]


def charset(name: str) -> str:
    """The codec of a declared character set; "" when it is absent, unknown, or a codec that is not a character set."""
    name = name.strip().strip("\"'")
    try:
        return codecs.lookup(name).name if _KNOWN.fullmatch(name) else ""
    except (LookupError, ValueError):
        return ""


def _is_utf_8(texts: Iterable[bytes]) -> bool:
    try:
        b"".join(text + b" " for text in texts).decode()
    except UnicodeDecodeError:
        return False
    return True
