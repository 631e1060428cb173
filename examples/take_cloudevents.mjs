// Takes CloudEvents, structured or binary, verifies them and prints what they are about. Needs Node.js alone.
//
// Subscribe its address:  POST /v1/subscriptions  {"url": "https://…", "format": "cloudevents_structured"}
//                         or "cloudevents_binary"; with "handshake": true it is asked first: POST …/{id}/handshake
// Start it:               SECRET=whsec_… node take_cloudevents.mjs 9000
// ORIGIN is the host of Baton that may send events (any without it), RATE how many requests a minute it may send.

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const key = Buffer.from((process.env.SECRET ?? "").replace("whsec_", ""), "base64");
const seen = new Set(); // a repeated delivery has the same id

function isSigned(headers, body) {
  const stamp = headers["webhook-timestamp"] ?? "0";
  if (!(Math.abs(Date.now() / 1000 - Number(stamp)) < 300)) return false;
  const expected = createHmac("sha256", key).update(`${headers["webhook-id"]}.${stamp}.`).update(body).digest();
  return (headers["webhook-signature"] ?? "").split(" ").some((one) => {
    const given = Buffer.from(one.replace("v1,", ""), "base64");
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}

// All attributes and `data`; undefined for one whose id is not the signed one.
function cloudevent(headers, body) {
  let event = JSON.parse(body);
  if (headers["content-type"].split(";")[0] !== "application/cloudevents+json") {
    const attributes = Object.entries(headers).filter(([name]) => name.startsWith("ce-"));
    event = { ...Object.fromEntries(attributes.map(([name, value]) => [name.slice(3), value])), data: event };
  }
  return event.id === headers["webhook-id"] ? event : undefined;
}

function answerHandshake(headers, response) {
  const origin = headers["webhook-request-origin"] ?? "";
  if ((process.env.ORIGIN ?? origin) !== origin) return response.writeHead(403).end();
  const allowed = { "WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": process.env.RATE ?? "*" };
  return response.writeHead(200, allowed).end();
}

createServer(async (request, response) => {
  if (request.method === "OPTIONS") return answerHandshake(request.headers, response);
  const body = Buffer.concat(await request.toArray());
  const event = isSigned(request.headers, body) ? cloudevent(request.headers, body) : undefined;
  if (event && !seen.has(event.id)) {
    console.log(event.type, event.id, event.subject, JSON.stringify(event.data));
    seen.add(event.id);
  }
  response.writeHead(event ? 204 : 401).end();
}).listen(Number(process.argv[2]), "127.0.0.1");
