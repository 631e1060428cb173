"""Rules of a document that could never hold, or that prove nothing: refused when a source is saved."""

from __future__ import annotations

from collections.abc import Iterator

from app.sources.document import Document, SignatureRule


def rule_faults(document: Document) -> Iterator[dict[str, str]]:
    """A fault for each such rule of `verify`, in the form of `DocumentFaulty.faults`."""
    for place, rule in enumerate(document.verify):
        if isinstance(rule, SignatureRule):
            for member, code, detail in _signature_faults(rule):
                yield {"field": f"verify.{place}.{member}", "code": code, "detail": detail}


def _signature_faults(rule: SignatureRule) -> Iterator[tuple[str, str, str]]:
    stamp = rule.timestamp.origin if rule.timestamp else ""
    named = stamp[7:].lower() if stamp.startswith("header:") else ""
    if rule.kind == "digest" and "{secret}" not in rule.signed:
        yield "signed", "secret_missing", "a digest without {secret} in it can be made by anybody"
    if stamp and not named and rule.parse != "kv":
        detail = "a timestamp that is no header:NAME is a key of a header with `parse: kv`"
        yield "timestamp.from", "timestamp_missing", detail
    if stamp and "{t}" not in rule.signed and f"{{header:{named}}}" not in rule.signed.lower():
        detail = "the signed text has to hold the timestamp, as {t}: otherwise anybody can change it"
        yield "signed", "timestamp_not_signed", detail
    if not stamp and "{t}" in rule.signed and rule.parse != "kv":
        yield "timestamp", "timestamp_missing", "{t} is in the signed text: say where the timestamp is"
    if rule.pick and rule.parse != "kv":
        yield "pick", "pick_unused", "`pick` names a key of a header with `parse: kv`"
