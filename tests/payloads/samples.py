"""The recorded requests of this folder, and the items expected from them."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from app.sources.document import BasicRule, Document, Rule, SignatureRule, TokenRule
from app.sources.preset import make_document
from app.sources.request import RawRequest
from app.sources.verify import read_credentials, read_token

FOLDER = Path(__file__).parent
# The clock of the signed samples, ten seconds after the visitor of 52 opened the page.
NOW = datetime.fromtimestamp(1_787_000_800, UTC)


@dataclass(frozen=True)
class Sample:
    """One entry of the manifest."""

    file: str
    entry: dict[str, Any]
    folder: Path

    @property
    def preset(self) -> str:
        """The preset for its provider."""
        provider: str = self.entry["provider"]
        return provider

    @property
    def expected(self) -> dict[str, Any]:
        """The values that its items must contain."""
        loaded: dict[str, Any] = json.loads((self.folder / self.entry["expected"]).read_text("utf-8"))
        return loaded

    @property
    def items(self) -> list[dict[str, Any]]:
        """The items that are expected; none of a handshake."""
        items: list[dict[str, Any]] = self.expected.get("items", [])
        return items

    @property
    def sent_at(self) -> datetime:
        """The time of its signature; without one NOW, or a little after what it says of its own time."""
        for rule in self.document().verify:
            stamp = _stamp(rule, self.request_headers) if isinstance(rule, SignatureRule) else None
            if stamp:
                return stamp
        said = [datetime.fromisoformat(item["occurred_at"]) for item in self.items if "occurred_at" in item]
        return max([NOW, *(moment + timedelta(seconds=1) for moment in said)])

    @property
    def request_headers(self) -> dict[str, str]:
        """Its headers by lower-case name."""
        return {name.lower(): value for name, value in self.entry["headers"].items()}

    @property
    def secrets(self) -> dict[str, str]:
        """The secrets that make it valid: the one of the manifest, and the tokens that it carries itself."""
        carried = ((rule.secret, self._carried(rule)) for rule in self.document().verify)
        found = {name: value for name, value in carried if value}
        return {**found, **({"signing": self.entry["secret"]} if self.entry["secret"] else {})}

    def _carried(self, rule: Rule) -> str:
        match rule:
            case TokenRule():
                return read_token(self.document(), rule, self.request())
            case BasicRule():
                return read_credentials(self.request())
        return ""

    def document(self, **overrides: Any) -> Document:
        """Its preset with overrides."""
        return make_document(self.preset, overrides)

    def request(self, **changes: Any) -> RawRequest:
        """The request as it was sent, or with changes."""
        values: dict[str, Any] = {
            "method": self.entry["method"],
            "headers": self.entry["headers"],
            "query": urlencode(self.entry["query"]),
            "body": (self.folder / self.file).read_bytes(),
            "received_at": self.sent_at,
            "url": self.entry["url"],
        }
        return RawRequest(**(values | changes))


def _stamp(rule: SignatureRule, headers: dict[str, str]) -> datetime | None:
    origin = rule.timestamp.origin if rule.timestamp else ""
    signature = headers.get(rule.header.lower(), "")
    found = headers.get(origin[7:].lower()) if origin.startswith("header:") else _member(signature, origin)
    if not found or rule.timestamp is None:
        return None
    return datetime.fromtimestamp(int(found) / (1_000 if rule.timestamp.unit == "ms" else 1), UTC)


def _member(header: str, name: str) -> str | None:
    """One member of a header such as `t=…,v1=…`."""
    return dict(part.strip().partition("=")[::2] for part in header.split(",")).get(name)


def manifest() -> list[Sample]:
    """All samples: the recorded ones of this folder, and those of `written`, which follow a documentation."""
    found = []
    for folder in (FOLDER, FOLDER / "written"):
        entries = json.loads((folder / "manifest.json").read_text("utf-8"))
        found += [Sample(entry["file"], entry, folder) for entry in entries]
    return found


def samples() -> list[Sample]:
    """The samples that are submissions."""
    return [sample for sample in manifest() if "items" in sample.expected]


def handshakes() -> list[Sample]:
    """The samples by which a provider checks the address."""
    return [sample for sample in manifest() if "handshake" in sample.expected]


def sample(start: str) -> Sample:
    """The first sample whose file name starts with `start`."""
    return next(one for one in samples() if one.file.startswith(start))
