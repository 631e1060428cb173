"""Tells a chat who moved on: "Anna Z. of Nordsoft is an MQL". Needs Python alone.

Subscribe its address:  POST /v1/subscriptions
                        {"url": "https://…", "types": ["lead.stage_changed"], "include": ["lead"]}
Start it:               SECRET=whsec_… CHAT_URL=https://… python3 announce.py 9000
CHAT_URL is an incoming webhook that takes {"text": "…"}; without it the lines are printed.
"""

import base64
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request, urlopen

KEY = base64.b64decode(os.environ["SECRET"].removeprefix("whsec_"))
CHAT_URL = os.environ.get("CHAT_URL")
WORDS = {"mql": "an MQL", "sal": "accepted by sales", "srl": "an SRL", "sql": "an SQL", "converted": "a new deal"}
announced = set()  # a repeated delivery has the same webhook-id


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signed = is_signed(self.headers, body)
        if signed:
            take(json.loads(body))  # if this fails there is no answer, and Baton sends the event again
        self.send_response(204 if signed else 401)
        self.end_headers()


def is_signed(headers, body):
    stamp = headers.get("webhook-timestamp", "0")
    signed = f"{headers.get('webhook-id')}.{stamp}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(KEY, signed, "sha256"))
    given = headers.get("webhook-signature", "").encode().split()
    return any(hmac.compare_digest(expected, one) for one in given) and abs(time.time() - int(stamp)) < 300


def take(event):
    data = event["data"]
    if event["id"] in announced or not data.get("lead") or data["to"] not in WORDS:
        return  # told already; the person was erased, or the lead is larger than 20 kB; nothing to tell
    fields = data["lead"]["fields"]
    name = fields["first_name"] or fields["full_name"] or "Somebody"
    initial = f" {fields['last_name'][0]}." if fields["first_name"] and fields["last_name"] else ""
    company = f" of {fields['company']}" if fields["company"] else ""
    line = f"{name}{initial}{company} is {WORDS[data['to']]}"
    print(line, flush=True)
    if CHAT_URL:
        body = json.dumps({"text": line}).encode()
        urlopen(Request(CHAT_URL, body, {"Content-Type": "application/json"}), timeout=10).close()
    announced.add(event["id"])


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
