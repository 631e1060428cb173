"""Keeps a contact list in SQLite up to date with the leads. Needs Python alone.

Subscribe its address:  POST /v1/subscriptions
                        {"url": "https://…", "types": ["lead.*"], "include": ["lead"], "start": "earliest"}
Start it:               SECRET=whsec_… BATON=https://… BATON_KEY=btn_… python3 contact_list.py 9001 contacts.db
BATON_KEY needs the scopes events:read and leads:read: leads of more than 20 kB are read from BATON.
"""

import base64
import hmac
import json
import os
import sqlite3
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.request import Request, urlopen

KEY = base64.b64decode(os.environ["SECRET"].removeprefix("whsec_"))
COLUMNS = ("full_name", "email", "phone", "company", "job_title")
database = sqlite3.connect(sys.argv[2])
database.execute("CREATE TABLE IF NOT EXISTS received (webhook_id PRIMARY KEY)")
database.execute(
    "CREATE TABLE IF NOT EXISTS contacts"
    " (lead_id PRIMARY KEY, version, stage, full_name, email, phone, company, job_title)"
)


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
    with database:  # both the event's id and its lead are written, or neither
        if database.execute("INSERT OR IGNORE INTO received VALUES (?)", [event["id"]]).rowcount:
            keep(whole(event) if event.get("truncated") else event)


def whole(event):
    headers = {"Authorization": f"Bearer {os.environ['BATON_KEY']}"}
    with urlopen(Request(os.environ["BATON"] + event["url"], headers=headers), timeout=10) as answer:
        return json.load(answer)


def keep(event):
    lead = event["data"]["lead"]
    if lead is None:
        database.execute("DELETE FROM contacts WHERE lead_id = ?", [event["data"]["lead_id"]])
        return
    # The events of a lead come in the order of its versions, each of them with the whole lead.
    row = [lead["id"], lead["version"], lead["stage"], *(lead["fields"][name] for name in COLUMNS)]
    database.execute("REPLACE INTO contacts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
