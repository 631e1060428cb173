"""Takes CloudEvents, structured or binary, verifies them and prints what they are about. Needs Python alone.

Subscribe its address:  POST /v1/subscriptions  {"url": "https://…", "format": "cloudevents_structured"}
                        or "cloudevents_binary"; with "handshake": true it is asked first: POST …/{id}/handshake
Start it:               SECRET=whsec_… python3 take_cloudevents.py 9000
ORIGIN is the host of Baton that may send events (any without it), RATE how many requests a minute it may send.
"""

import base64
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ.get("SECRET", "").removeprefix("whsec_"))
seen = set()  # a repeated delivery has the same id


class Receiver(BaseHTTPRequestHandler):
    def do_OPTIONS(self):
        origin = self.headers.get("WebHook-Request-Origin", "")
        allowed = os.environ.get("ORIGIN", origin) == origin
        self.send_response(200 if allowed else 403)
        if allowed:
            self.send_header("WebHook-Allowed-Origin", origin)
            self.send_header("WebHook-Allowed-Rate", os.environ.get("RATE", "*"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        event = cloudevent(self.headers, body) if is_signed(self.headers, body) else None
        if event and event["id"] not in seen:
            print(event["type"], event["id"], event.get("subject"), json.dumps(event["data"]), flush=True)
            seen.add(event["id"])
        self.send_response(204 if event else 401)
        self.end_headers()


def is_signed(headers, body):
    stamp = headers.get("webhook-timestamp", "0")
    signed = f"{headers.get('webhook-id')}.{stamp}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(KEY, signed, "sha256"))
    given = headers.get("webhook-signature", "").encode().split()
    return any(hmac.compare_digest(expected, one) for one in given) and abs(time.time() - int(stamp)) < 300


def cloudevent(headers, body):
    """All attributes and `data`; None for one whose id is not the signed one."""
    if headers.get_content_type() == "application/cloudevents+json":
        event = json.loads(body)
    else:
        event = {name[3:].lower(): value for name, value in headers.items() if name.lower().startswith("ce-")}
        event["data"] = json.loads(body)
    return event if event.get("id") == headers["webhook-id"] else None


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
