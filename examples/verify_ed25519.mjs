// Verifies events by a public key and prints them: a receiver without a secret. Needs Node.js alone.
//
// Subscribe its address:  POST /v1/subscriptions  {"url": "https://…", "ed25519": true}
// Start it:               PUBLIC_KEYS="whpk_…" node verify_ed25519.mjs 9000
// PUBLIC_KEYS are the `public_key` of the subscription's `signing_keys`, separated by blanks: two during a rotation.

import { createPublicKey, verify } from "node:crypto";
import { createServer } from "node:http";

const keys = process.env.PUBLIC_KEYS.split(" ").map((key) => {
  const x = Buffer.from(key.replace("whpk_", ""), "base64").toString("base64url");
  return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
});
const seen = new Set(); // a repeated delivery has the same webhook-id

function isSigned(headers, body) {
  const stamp = headers["webhook-timestamp"] ?? "0";
  if (!(Math.abs(Date.now() / 1000 - Number(stamp)) < 300)) return false;
  const signed = Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${stamp}.`), body]);
  const given = (headers["webhook-signature"] ?? "").split(" ").filter((one) => one.startsWith("v1a,"));
  return given.some((one) => keys.some((key) => verify(null, signed, key, Buffer.from(one.slice(4), "base64"))));
}

createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray());
  const signed = isSigned(request.headers, body);
  const id = request.headers["webhook-id"];
  if (signed && !seen.has(id)) {
    console.log(JSON.parse(body).type, id);
    seen.add(id);
  }
  response.writeHead(signed ? 204 : 401).end();
}).listen(Number(process.argv[2]), "127.0.0.1");
