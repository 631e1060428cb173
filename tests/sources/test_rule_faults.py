"""A rule of verification that can never hold, or proves nothing, is refused when it is saved, with its place."""

from typing import Any

import pytest

from app.sources.preset import make_document, preset_names, read_document
from app.sources.rule_faults import rule_faults

KEY = {"from": "t"}
HEADER = {"from": "header:X-Time"}


@pytest.mark.parametrize(
    ("rule", "faults"),
    [
        ({"kind": "hmac"}, []),
        ({"kind": "digest"}, ["signed"]),
        ({"kind": "digest", "signed": "{secret}{body}"}, []),
        ({"timestamp": KEY, "signed": "{t}.{body}"}, ["timestamp.from"]),
        ({"timestamp": KEY, "signed": "{t}.{body}", "parse": "list"}, ["timestamp.from"]),
        ({"timestamp": KEY, "signed": "{t}.{body}", "parse": "kv", "pick": "v1"}, []),
        ({"timestamp": KEY, "signed": "{body}", "parse": "kv", "pick": "v1"}, ["signed"]),
        ({"timestamp": HEADER, "signed": "{t}:{body}"}, []),
        ({"timestamp": HEADER, "signed": "{header:x-time}:{body}"}, []),
        ({"timestamp": HEADER, "signed": "{header:X-Time}:{body}"}, []),
        ({"timestamp": HEADER, "signed": "{header:X-Other}:{body}"}, ["signed"]),
        ({"timestamp": HEADER, "signed": "{body}"}, ["signed"]),
        ({"signed": "{t}.{body}"}, ["timestamp"]),
        ({"signed": "{t}.{body}", "parse": "kv", "pick": "v1"}, []),
        ({"pick": "v1"}, ["pick"]),
    ],
)
def test_a_rule_is_refused_exactly_when_it_cannot_work(rule: dict[str, Any], faults: list[str]) -> None:
    written = {"preset": "x", "verify": [{"kind": "basic"}, {"kind": "hmac", "header": "S", **rule}]}
    found = list(rule_faults(read_document(written)))
    assert [fault["field"] for fault in found] == [f"verify.1.{place}" for place in faults]
    assert all(fault["code"] and fault["detail"] for fault in found)


@pytest.mark.parametrize("name", preset_names())
def test_no_preset_has_such_a_rule(name: str) -> None:
    assert list(rule_faults(make_document(name, {}))) == []
