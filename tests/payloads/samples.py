"""The recorded requests of this folder, and the items expected from them."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from app.sources.document import Document
from app.sources.preset import make_document, preset_names
from app.sources.request import RawRequest

FOLDER = Path(__file__).parent
# The clock of the signed samples, ten seconds after the visitor of 52 opened the page.
NOW = datetime.fromtimestamp(1_787_000_800, UTC)
SIGNED_AT = {"01-hubspot-workflow-contact.json": datetime.fromtimestamp(1_787_000_000, UTC)}
PRESET_OF = {"zapier": "generic"}


@dataclass(frozen=True)
class Sample:
    """One entry of the manifest."""

    file: str
    entry: dict[str, Any]

    @property
    def preset(self) -> str:
        """The preset for its provider."""
        provider: str = self.entry["provider"]
        return PRESET_OF.get(provider, provider)

    @property
    def expected(self) -> dict[str, Any]:
        """The values that its items must contain."""
        loaded: dict[str, Any] = json.loads((FOLDER / self.entry["expected"]).read_text("utf-8"))
        return loaded

    def document(self, **overrides: Any) -> Document:
        """Its preset with overrides."""
        return make_document(self.preset, overrides)

    def request(self, **changes: Any) -> RawRequest:
        """The request as it was sent, or with changes."""
        values: dict[str, Any] = {
            "method": self.entry["method"],
            "headers": self.entry["headers"],
            "query": urlencode(self.entry["query"]),
            "body": (FOLDER / self.file).read_bytes(),
            "received_at": SIGNED_AT.get(self.file, NOW),
            "url": self.entry["url"],
        }
        return RawRequest(**(values | changes))


def samples() -> list[Sample]:
    """The samples for which there is a preset."""
    entries = json.loads((FOLDER / "manifest.json").read_text("utf-8"))
    found = [Sample(entry["file"], entry) for entry in entries]
    return [sample for sample in found if sample.preset in preset_names()]


def sample(start: str) -> Sample:
    """The first sample whose file name starts with `start`."""
    return next(one for one in samples() if one.file.startswith(start))
