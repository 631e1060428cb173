"""Verifies events by a public key and prints them: a receiver without a secret. Needs `pip install cryptography`.

Subscribe its address:  POST /v1/subscriptions  {"url": "https://…", "ed25519": true}
Start it:               PUBLIC_KEYS="whpk_…" python3 verify_ed25519.py 9000
PUBLIC_KEYS are the `public_key` of the subscription's `signing_keys`, separated by blanks: two during a rotation.
"""

import base64
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEYS = [
    Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix("whpk_")))
    for key in os.environ["PUBLIC_KEYS"].split()
]
seen = set()  # a repeated delivery has the same webhook-id


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signed = is_signed(self.headers, body)
        if signed and self.headers["webhook-id"] not in seen:
            print(json.loads(body)["type"], self.headers["webhook-id"], flush=True)
            seen.add(self.headers["webhook-id"])
        self.send_response(204 if signed else 401)
        self.end_headers()


def is_signed(headers, body):
    stamp = headers.get("webhook-timestamp", "0")
    if abs(time.time() - int(stamp)) > 300:
        return False
    signed = f"{headers.get('webhook-id')}.{stamp}.".encode() + body
    given = [one.removeprefix("v1a,") for one in headers.get("webhook-signature", "").split() if one.startswith("v1a,")]
    return any(verifies(key, signature, signed) for key in KEYS for signature in given)


def verifies(key, signature, signed):
    try:
        key.verify(base64.b64decode(signature), signed)
    except (InvalidSignature, ValueError):
        return False
    return True


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
