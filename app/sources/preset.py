"""The built-in presets, and documents made of a preset and a source's overrides."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from app.policy.fault import place_in
from app.policy.sentences import essential, sentence
from app.sources.document import Document, merge

_FOLDER: Final = Path(__file__).with_name("presets")


class DocumentFaulty(ValueError):
    """A document is invalid. `faults` lists each fault with its field, a stable code and a detail."""

    def __init__(self, faults: list[dict[str, str]]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{fault['field']}: {fault['detail']}" for fault in faults))


@cache
def preset_names() -> tuple[str, ...]:
    """The names of the built-in presets, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


@cache
def preset(name: str) -> Mapping[str, Any]:
    """The document of a built-in preset, merged into the preset that its `extends` names.

    Raises KeyError for an unknown name.
    """
    if name not in preset_names():
        raise KeyError(name)
    written: dict[str, Any] = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text("utf-8"))
    extended = written.pop("extends", None)
    return merge(preset(extended), written) if extended else written


def make_document(name: str, overrides: Mapping[str, Any]) -> Document:
    """The document of a source. Raises KeyError for an unknown preset, DocumentFaulty for invalid overrides."""
    return read_document(merge(preset(name), overrides))


def read_document(written: Mapping[str, Any]) -> Document:
    """Validates a document. Raises DocumentFaulty, which has the place of each fault."""
    try:
        return Document.model_validate(written)
    except ValidationError as error:
        raise DocumentFaulty(
            [
                {"field": place, "code": code, "detail": detail}
                for place, code, detail in essential(
                    (
                        (place_in(written, fault, fault["loc"]), fault["type"], sentence(fault))
                        for fault in error.errors(include_url=False)
                    ),
                    ".",
                )
            ]
        ) from None
