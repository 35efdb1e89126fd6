/** Keys from a URL that is slow, down, hostile, or has other keys than before. */

import { createSign, generateKeyPairSync } from "node:crypto";
import { beforeAll, expect, test } from "vitest";
import type { Network } from "../../src/access/network.ts";
import type { TokenAuthenticator } from "../../src/access/token-authenticator.ts";
import type { Verdict } from "../../src/core/authentication/identity.ts";
import { Reason } from "../../src/mqtt/reason.ts";
import { asPassword, authenticator, base64url, keySet, NOW, type Pair, pair, SECONDS, signed } from "./issuer.ts";

const TOKEN_JWKS_URL = "https://issuer.example/keys";
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let one: Pair;
let two: Pair;
let tokenOne: string;
let tokenTwo: string;

beforeAll(async () => {
  one = await pair("ES256", { kid: "one" });
  two = await pair("ES256", { kid: "two" });
  const exp = SECONDS + 7 * 24 * 3600;
  tokenOne = await signed(one.privateKey, "ES256", { exp }, { kid: "one" });
  tokenTwo = await signed(two.privateKey, "ES256", { exp }, { kid: "two" });
});

/** A URL with an answer that can be changed, and an authenticator that knows nothing yet. */
class Site implements Network {
  answer: (request: RequestInit) => Promise<Response> | Response;
  readonly requests: { url: string; request: RequestInit }[] = [];
  readonly deadlines: AbortController[] = [];
  readonly kept: Promise<void>[] = [];
  readonly broker: TokenAuthenticator;

  constructor(answer: () => Promise<Response> | Response, variables: Record<string, string> = {}) {
    this.answer = answer;
    this.broker = authenticator({ TOKEN_JWKS_URL, ...variables }, this);
  }

  async fetch(url: string, request: RequestInit): Promise<Response> {
    this.requests.push({ url, request });
    return await this.answer(request);
  }

  deadline(milliseconds: number): AbortSignal {
    expect(milliseconds).toBe(5_000);
    const controller = new AbortController();
    this.deadlines.push(controller);
    return controller.signal;
  }

  keep(work: Promise<void>): void {
    this.kept.push(work);
  }

  async judge(token: string, after = 0): Promise<string> {
    return said(await this.broker.authenticate(asPassword(token), NOW + after));
  }
}

function said(verdict: Verdict): string {
  if (verdict.type !== "refused") return verdict.type;
  return `0x${verdict.reason.toString(16)} ${verdict.detail}`;
}

const keys = (...pairs: Pair[]) => new Response(keySet(...pairs.map(({ jwk }) => jwk)));
const down = () => Promise.reject(new TypeError("connection refused"));
const UNAVAILABLE = /^0x88 token: the keys cannot be had: /;

test("they are fetched once, without following redirects, and again when they are ten minutes old", async () => {
  const site = new Site(() => keys(one, two));
  for (const after of [0, 1, MINUTE, 10 * MINUTE - 1]) expect(await site.judge(tokenOne, after)).toBe("accepted");
  expect(await site.judge(tokenTwo, 10 * MINUTE - 1)).toBe("accepted");
  expect(site.requests).toHaveLength(1);
  expect(site.requests[0]).toMatchObject({ url: TOKEN_JWKS_URL, request: { redirect: "manual" } });
  expect(await site.judge(tokenOne, 10 * MINUTE)).toBe("accepted");
  expect(site.requests).toHaveLength(2);
  expect(site.kept).toHaveLength(2);
});

test("a hundred connections at once make one fetch", async () => {
  const site = new Site(() => keys(one));
  const all = await Promise.all(Array.from({ length: 100 }, () => site.judge(tokenOne)));
  expect(new Set(all)).toEqual(new Set(["accepted"]));
  expect(site.requests).toHaveLength(1);
});

test("a new key is fetched when a token names it, and an old one is gone with the next fetch", async () => {
  const site = new Site(() => keys(one));
  expect(await site.judge(tokenOne)).toBe("accepted");
  site.answer = () => keys(two);
  expect(await site.judge(tokenTwo, MINUTE)).toBe("accepted");
  expect(await site.judge(tokenOne, MINUTE)).toMatch(/^0x86 token: there is no such key/);
  expect(site.requests).toHaveLength(2);
});

test("made-up key ids make one fetch in each cool-down, at once and in a row", async () => {
  const site = new Site(() => keys(one));
  await site.judge(tokenOne);
  const made = await Promise.all(
    Array.from({ length: 50 }, (_, i) => signed(two.privateKey, "ES256", {}, { kid: `k${i}` })),
  );
  for (const after of [0, 10_000, 29_999]) {
    for (const token of made) expect(await site.judge(token, after)).toMatch(/^0x86 token: there is no such key/);
  }
  expect(site.requests).toHaveLength(1);
  await Promise.all(made.map((token) => site.judge(token, 30_000)));
  for (const token of made) await site.judge(token, 59_999);
  expect(site.requests).toHaveLength(2);
  expect(await site.judge(tokenOne, 59_999)).toBe("accepted");
});

test("TOKEN_JWKS_SECONDS and TOKEN_JWKS_COOLDOWN_SECONDS are kept", async () => {
  const site = new Site(() => keys(one), { TOKEN_JWKS_SECONDS: "60", TOKEN_JWKS_COOLDOWN_SECONDS: "5" });
  await site.judge(tokenOne);
  await site.judge(tokenTwo, 4_999);
  expect(site.requests).toHaveLength(1);
  await site.judge(tokenTwo, 5_000);
  expect(site.requests).toHaveLength(2);
  await site.judge(tokenOne, 5_000 + MINUTE);
  expect(site.requests).toHaveLength(3);
});

test("a token that no key could verify is refused without a fetch", async () => {
  const site = new Site(() => keys(one));
  const hs = await signed(new Uint8Array(32), "HS256", {}, { kid: "one" });
  expect(await site.judge(hs)).toMatch(/^0x86 token: TOKEN_ALGORITHMS/);
  const [, payload] = tokenOne.split(".");
  expect(await site.judge(`${base64url('{"alg":"none"}')}.${payload}.`)).toMatch(/^0x86/);
  expect(await site.judge("hunter2")).toBe("passed");
  expect(site.requests).toHaveLength(0);
});

test("down from the start: nobody comes in, and nobody asks again within the cool-down", async () => {
  const site = new Site(down);
  for (const after of [0, 1, 29_999]) expect(await site.judge(tokenOne, after)).toMatch(UNAVAILABLE);
  expect(site.requests).toHaveLength(1);
  site.answer = () => keys(one);
  expect(await site.judge(tokenOne, 30_000)).toBe("accepted");
  expect(site.requests).toHaveLength(2);
});

test("down later: known keys are used for a day, and then nobody comes in", async () => {
  const site = new Site(() => keys(one));
  await site.judge(tokenOne);
  site.answer = down;
  expect(await site.judge(tokenOne, 10 * MINUTE)).toBe("accepted");
  expect(await site.judge(tokenOne, 10 * MINUTE + 29_999)).toBe("accepted");
  expect(site.requests).toHaveLength(2);
  expect(await site.judge(tokenTwo, 10 * MINUTE + 29_999)).toMatch(UNAVAILABLE);
  expect(await site.judge(tokenOne, 24 * HOUR - 1)).toBe("accepted");
  expect(await site.judge(tokenOne, 24 * HOUR)).toMatch(UNAVAILABLE);
  site.answer = () => keys(one);
  expect(await site.judge(tokenOne, 25 * HOUR)).toBe("accepted");
});

test("TOKEN_JWKS_STALE_SECONDS of 0 uses no key that is not fresh", async () => {
  const site = new Site(() => keys(one), { TOKEN_JWKS_STALE_SECONDS: "0" });
  await site.judge(tokenOne);
  site.answer = down;
  expect(await site.judge(tokenOne, 10 * MINUTE - 1)).toBe("accepted");
  expect(await site.judge(tokenOne, 10 * MINUTE)).toMatch(UNAVAILABLE);
});

const answers: [string, () => Response, RegExp][] = [
  ["status 500", () => new Response(keySet(one.jwk), { status: 500 }), /answers 500/],
  [
    "a redirect",
    () => new Response(null, { status: 302, headers: { location: "https://evil.example" } }),
    /answers 302/,
  ],
  ["201 with keys", () => new Response(keySet(one.jwk), { status: 201 }), /answers 201/],
  ["HTML", () => new Response("<html>Welcome</html>", { headers: { "content-type": "text/html" } }), /not JSON/],
  ["nothing", () => new Response(null), /not JSON/],
  ["JSON cut off", () => new Response(keySet(one.jwk).slice(0, -2)), /not JSON/],
  ["null", () => new Response("null"), /not a JSON Web Key Set/],
  ["a list", () => new Response("[]"), /not a JSON Web Key Set/],
  ["keys that is no list", () => new Response('{"keys":{}}'), /not a JSON Web Key Set/],
  ["keys that are no objects", () => new Response('{"keys":[null]}'), /not a JSON Web Key Set/],
  ["65 keys", () => new Response(keySet(...Array.from({ length: 65 }, () => one.jwk))), /more than 64 keys/],
];

test.each(answers)("%s is as good as no answer", async (_name, answer, detail) => {
  const site = new Site(answer);
  expect(await site.judge(tokenOne)).toMatch(UNAVAILABLE);
  expect(await site.judge(tokenOne)).toMatch(detail);
  expect(site.requests).toHaveLength(1);
});

test("10 MB are not read to their end", async () => {
  let chunks = 0;
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      chunks += 1;
      if (chunks > 160) controller.close();
      else controller.enqueue(new Uint8Array(65_536).fill(0x20));
    },
    cancel() {
      cancelled = true;
    },
  });
  const site = new Site(() => new Response(body));
  expect(await site.judge(tokenOne)).toMatch(/more than 262144 bytes/);
  expect(chunks).toBeLessThan(10);
  expect(cancelled).toBe(true);
});

test.each([
  ["no answer", (): Promise<Response> => new Promise(() => undefined)],
  ["a body that never ends", (): Response => new Response(new ReadableStream({}))],
])("%s: after the deadline nobody waits", async (_name, answer) => {
  const site = new Site(answer);
  const first = site.judge(tokenOne);
  await Promise.resolve();
  expect(site.requests).toHaveLength(1);
  expect(site.requests[0]!.request.signal).toBe(site.deadlines[0]!.signal);
  site.deadlines[0]!.abort();
  expect(await first).toMatch(/^0x88 .*does not answer in time/);
});

test("a connection that waits for another's fetch has a deadline of its own, and known keys", async () => {
  const site = new Site(() => keys(one));
  await site.judge(tokenOne);
  let late: (response: Response) => void = () => undefined;
  site.answer = () => new Promise((resolve) => (late = resolve));
  const first = site.judge(tokenOne, 10 * MINUTE);
  await Promise.resolve();
  const second = site.judge(tokenOne, 10 * MINUTE + 1_000);
  await Promise.resolve();
  site.deadlines[2]!.abort();
  expect(await second).toBe("accepted");
  // The first has not heard of its own: its connection may be gone, and with it its fetch. The next begins anew.
  site.answer = () => keys(one, two);
  expect(await site.judge(tokenTwo, 10 * MINUTE + 5_000)).toBe("accepted");
  expect(site.requests).toHaveLength(3);
  // An answer that comes too late does not bring back older keys.
  late(keys(one));
  expect(await first).toBe("accepted");
  expect(await site.judge(tokenTwo, 10 * MINUTE + 6_000)).toBe("accepted");
});

test("an emptied set is taken at its word", async () => {
  const site = new Site(() => keys(one));
  await site.judge(tokenOne);
  site.answer = () => keys();
  expect(await site.judge(tokenOne, 10 * MINUTE)).toMatch(/^0x86 token: there is no such key/);
});

test("what else is in a set harms nothing: secrets, private keys, other uses, unknown and broken ones", async () => {
  const broken = { kty: "EC", crv: "P-256", x: "AA", y: "AA", kid: "broken" };
  const others = [
    { kty: "oct", k: "AAAA", kid: "oct" },
    { kty: "new", kid: "new" },
    { ...two.jwk, kid: "enc", use: "enc" },
    broken,
    {},
    one.jwk,
  ];
  const site = new Site(() => new Response(JSON.stringify({ keys: others })));
  expect(await site.judge(tokenOne)).toBe("accepted");
  for (const kid of ["oct", "new", "enc", "broken"]) {
    const token = await signed(two.privateKey, "ES256", {}, { kid });
    expect((await site.judge(token)).slice(0, 4)).toBe("0x86");
  }
  const unnamed = await signed(one.privateKey, "ES256");
  expect(await site.judge(unnamed)).toBe("accepted");
});

test("a weak RSA key verifies nothing", async () => {
  const weak = generateKeyPairSync("rsa", { modulusLength: 1024 });
  const jwk = { ...weak.publicKey.export({ format: "jwk" }), kid: "weak" };
  const site = new Site(() => new Response(JSON.stringify({ keys: [jwk] })));
  const head = `${base64url('{"alg":"RS256","kid":"weak"}')}.${base64url(`{"sub":"m","exp":${SECONDS + 60}}`)}`;
  const token = `${head}.${createSign("sha256").update(head).sign(weak.privateKey).toString("base64url")}`;
  expect(await site.judge(token)).toMatch(/^0x86 token: its key cannot be used/);
});

test("what a token is refused for while the keys are away is no one's password", async () => {
  const site = new Site(down);
  const verdict = await site.broker.authenticate(asPassword(tokenOne), NOW);
  expect(verdict).toMatchObject({ reason: Reason.ServerUnavailable });
});
