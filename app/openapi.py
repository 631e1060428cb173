"""The OpenAPI document as a committed file: made from the code, compared by `check`."""

import json
from pathlib import Path

from app.main import create_app
from app.settings import Settings


def place() -> Path:
    """Where the document is committed."""
    return Path(__file__).parent.parent / "openapi" / "openapi.json"


def document() -> str:
    """The text of the document, the same on every machine: no setting of this one goes in."""
    made = create_app(Settings.model_construct()).openapi()
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"
