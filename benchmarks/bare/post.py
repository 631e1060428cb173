"""`python -m benchmarks.bare.post PORT COUNT`: aiohttp alone, with 50 signed POSTs of 1 kB in flight.

Prints "ready", waits for a line on stdin, posts, and prints seconds and CPU seconds as JSON.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import sys
import time

import aiohttp
import uvloop

IN_FLIGHT = 50
BODY = json.dumps({"id": "evt", "type": "lead.stage_changed", "data": {"text": "x" * 940}}).encode()
SECRET = b"k" * 32


async def run(port: int, count: int) -> dict[str, float]:
    left = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def post() -> None:
            for number in left:
                stamp = str(int(time.time()))
                mac = hmac.new(SECRET, f"evt_{number}.{stamp}.".encode() + BODY, hashlib.sha256).digest()
                headers = {
                    "webhook-id": f"evt_{number}",
                    "webhook-timestamp": stamp,
                    "content-type": "application/json",
                    "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
                }
                async with session.post(f"http://127.0.0.1:{port}/hook", data=BODY, headers=headers) as answer:
                    await answer.read()

        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        began, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*(post() for _ in range(IN_FLIGHT)))
        return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - used}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(int(sys.argv[1]), int(sys.argv[2])))), flush=True)
