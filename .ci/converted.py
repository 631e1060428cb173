"""Prints the converted leads with their conversions: `converted.py BASE KEY`; fails if there is none."""

import json
import sys
import urllib.request

base, key = sys.argv[1:]


def get(path: str) -> dict[str, object]:
    request = urllib.request.Request(base + path, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=30) as response:
        answer: dict[str, object] = json.load(response)
        return answer


leads = get("/v1/leads?stage=converted&limit=200")["data"]
assert isinstance(leads, list)
if not leads:
    sys.exit("no lead is converted: run the walk-through of README.md first")
for lead in leads:
    conversion = get(f"/v1/leads/{lead['id']}/conversion")
    print(lead["id"], lead["stage"], json.dumps(conversion, sort_keys=True))
