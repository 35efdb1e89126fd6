/** Tokens as an attacker makes them, and as an issuer does. */

import { createHmac, createPublicKey, type JsonWebKey } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import type { Verdict } from "../../src/core/authentication/identity.ts";
import { Reason } from "../../src/mqtt/reason.ts";
import {
  asPassword,
  atUpgrade,
  authenticator,
  base64url,
  identity,
  keySet,
  NOW,
  type Pair,
  pair,
  SECONDS,
  signed,
} from "./issuer.ts";

const SECRET = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const secret = new TextEncoder().encode(SECRET);

let ec: Pair;
let rsa: Pair;

beforeAll(async () => {
  ec = await pair("ES256", { kid: "ec" });
  rsa = await pair("RS256", { kid: "rsa" });
});

/** What a broker with these two keys, one secret and no more makes of a password. */
function judge(token: string | Uint8Array, more: Record<string, string> = {}, now = NOW): Promise<Verdict> {
  const variables = { TOKEN_PUBLIC_KEY: keySet(ec.jwk, rsa.jwk), TOKEN_SECRET: SECRET, ...more };
  return authenticator(variables).authenticate(asPassword(token), now);
}

const good = (claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}): Promise<string> =>
  signed(ec.privateKey, "ES256", claims, { kid: "ec", ...header });

const wrong = (detail: string, reason: Reason = Reason.BadUserNameOrPassword) =>
  expect.objectContaining({ type: "refused", reason, detail: expect.stringContaining(detail) as string });

describe("algorithms", () => {
  const algorithms = "HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519".split(" ");

  test.each(algorithms)("%s is verified, and a signature of another key is not", async (alg) => {
    if (alg.startsWith("HS")) {
      const token = await signed(secret, alg);
      expect(identity(await authenticator({ TOKEN_SECRET: SECRET }).authenticate(asPassword(token), NOW)).user).toBe(
        "meter-7",
      );
      const other = authenticator({ TOKEN_SECRET: SECRET.replace("0", "1") });
      expect(await other.authenticate(asPassword(token), NOW)).toEqual(wrong("signature"));
      return;
    }
    const [mine, others] = await Promise.all([pair(alg), pair(alg)]);
    const token = await signed(mine.privateKey, alg, {}, { kid: "any" });
    const broker = authenticator({ TOKEN_PUBLIC_KEY: JSON.stringify(mine.jwk) });
    expect(identity(await broker.authenticate(asPassword(token), NOW)).user).toBe("meter-7");
    const other = authenticator({ TOKEN_PUBLIC_KEY: JSON.stringify(others.jwk) });
    expect(await other.authenticate(asPassword(token), NOW)).toEqual(wrong("signature"));
  });

  test("one that the settings leave out is refused, though its key is there", async () => {
    const token = await signed(rsa.privateKey, "RS256", {}, { kid: "rsa" });
    expect((await judge(token)).type).toBe("accepted");
    expect(await judge(token, { TOKEN_ALGORITHMS: "PS256, ES256, HS256" })).toEqual(wrong("TOKEN_ALGORITHMS"));
  });

  test.each(["none", "None", "nOnE", "NONE", "", "HS1", "ES256K", "dir", "__proto__", "constructor"])(
    'alg "%s" is refused with and without a signature',
    async (alg) => {
      const [, payload, signature] = (await good()).split(".");
      const header = base64url(JSON.stringify({ alg, kid: "ec" }));
      for (const token of [`${header}.${payload}.`, `${header}.${payload}.${signature}`]) {
        expect(await judge(token)).toEqual(wrong(""));
      }
    },
  );

  test.each([[undefined], [null], [5], [["ES256"]], [{}]])("alg %j is refused", async (alg) => {
    const [, payload, signature] = (await good()).split(".");
    expect(await judge(`${base64url(JSON.stringify({ alg }))}.${payload}.${signature}`)).toEqual(wrong(""));
  });

  test("a public key is no HMAC secret, in any of its spellings", async () => {
    const key = createPublicKey({ key: rsa.jwk as JsonWebKey, format: "jwk" });
    const pem = key.export({ type: "spki", format: "pem" }) as string;
    const spellings = [pem, pem.trim(), JSON.stringify(rsa.jwk), keySet(ec.jwk, rsa.jwk), rsa.jwk.n!];
    const der = key.export({ type: "spki", format: "der" });
    for (const spelling of [...spellings, der]) {
      for (const kid of ["rsa", undefined]) {
        const head = `${base64url(JSON.stringify({ alg: "HS256", kid }))}.${base64url(`{"sub":"admin","exp":${SECONDS + 60}}`)}`;
        const token = `${head}.${createHmac("sha256", spelling).update(head).digest("base64url")}`;
        expect(await judge(token)).toEqual(wrong("signature"));
        const onlyPublic = authenticator({ TOKEN_PUBLIC_KEY: pem });
        expect(await onlyPublic.authenticate(asPassword(token), NOW)).toEqual(wrong("TOKEN_ALGORITHMS"));
      }
    }
  });

  test("the key of one family does not verify another's signature", async () => {
    const p384 = await pair("ES384");
    expect(await judge(await signed(p384.privateKey, "ES384", {}, { kid: "ec" }))).toEqual(wrong("TOKEN_ALGORITHMS"));
    expect(await judge(await signed(rsa.privateKey, "RS256", {}, { kid: "ec" }))).toEqual(wrong("no such key"));
  });

  test("a key that says its algorithm is for no other", async () => {
    const TOKEN_PUBLIC_KEY = JSON.stringify({ ...rsa.jwk, alg: "PS256" });
    const broker = authenticator({ TOKEN_PUBLIC_KEY });
    const token = await signed(rsa.privateKey, "RS256", {}, { kid: "rsa" });
    expect(await broker.authenticate(asPassword(token), NOW)).toEqual(wrong("no such key"));
  });
});

describe("headers", () => {
  test.each([
    ["jwk", () => ({ jwk: ec.jwk })],
    ["jku", () => ({ jku: "https://evil.example/keys" })],
    ["x5u", () => ({ x5u: "https://evil.example/cert" })],
    ["x5c", () => ({ x5c: ["MIIB"] })],
  ])("%s in a token is not looked at, and nothing is fetched", async (_name, header) => {
    const evil = await pair("ES256");
    expect(await judge(await signed(evil.privateKey, "ES256", {}, { kid: "ec", ...header(), jwk: evil.jwk }))).toEqual(
      wrong("signature"),
    );
    expect((await judge(await good({}, header()))).type).toBe("accepted");
  });

  test("an unknown kid is refused", async () => {
    expect(await judge(await good({}, { kid: "other" }))).toEqual(wrong("no such key"));
  });

  test.each([[5], [null], [["ec"]], [{ a: 1 }]])("kid %j is refused", async (kid) => {
    const token = await good({}, { kid });
    expect((await judge(token)).type).toBe("refused");
  });

  test("with the same kid twice, either key verifies, and a third does not", async () => {
    const [one, two, three] = await Promise.all([pair("ES256"), pair("ES256"), pair("ES256")]);
    const TOKEN_PUBLIC_KEY = keySet({ ...one.jwk, kid: "k" }, { ...two.jwk, kid: "k" });
    const broker = authenticator({ TOKEN_PUBLIC_KEY });
    for (const { privateKey } of [one, two]) {
      for (const header of [{ kid: "k" }, {}]) {
        const token = await signed(privateKey, "ES256", {}, header);
        expect((await broker.authenticate(asPassword(token), NOW)).type).toBe("accepted");
      }
    }
    const token = await signed(three.privateKey, "ES256", {}, { kid: "k" });
    expect(await broker.authenticate(asPassword(token), NOW)).toEqual(wrong("signature"));
    const late = await signed(two.privateKey, "ES256", { exp: SECONDS - 60 }, { kid: "k" });
    expect(await broker.authenticate(asPassword(late), NOW)).toEqual(wrong("expired"));
  });

  test("crit with what nobody here knows is refused, and so is an unencoded payload", async () => {
    const [, payload] = (await good()).split(".");
    for (const header of [
      { alg: "HS256", crit: ["http://example.com/x"], "http://example.com/x": 1 },
      { alg: "HS256", crit: ["exp"], exp: 1 },
      { alg: "HS256", crit: [] },
      { alg: "HS256", crit: "b64", b64: false },
      { alg: "HS256", crit: ["b64"], b64: false },
    ]) {
      const head = `${base64url(JSON.stringify(header))}.${payload}`;
      const token = `${head}.${createHmac("sha256", SECRET).update(head).digest("base64url")}`;
      expect((await judge(token)).type).toBe("refused");
    }
  });
});

describe("shapes", () => {
  test.each([
    "",
    "hunter2",
    "a.b.c",
    "foo.bar.baz",
    "eyJ",
    "eyJ.eyJ",
    "eyJhbGciOiJub25lIn0.e30.a.b.c",
    "ey J.e30.x",
    "eyJ.é.x",
  ])('the password "%s" is somebody else\'s', async (password) => {
    expect(await judge(password)).toEqual({ type: "passed" });
  });

  test("a password of any bytes is somebody else's", async () => {
    expect(await judge(Uint8Array.of(0xff, 0xfe, 0))).toEqual({ type: "passed" });
    expect(await judge(new Uint8Array(65_535).fill(0x65))).toEqual({ type: "passed" });
    expect(await judge(Uint8Array.from([0xef, 0xbb, 0xbf, ...new TextEncoder().encode(await good())]))).toEqual({
      type: "passed",
    });
  });

  test.each(["", "opaque", "a.b.c", "eyJhbGciOiJub25lIn0.e30.a.b.c", "eyJ"])(
    '"%s" at the upgrade is refused',
    async (token) => {
      const broker = authenticator({ TOKEN_SECRET: SECRET });
      expect(await broker.authenticate(atUpgrade(token), NOW)).toEqual(
        wrong("not a signed token", Reason.NotAuthorized),
      );
    },
  );

  test("nothing at all passes", async () => {
    const { arrival, clientId } = asPassword("");
    const broker = authenticator({ TOKEN_SECRET: SECRET });
    expect(await broker.authenticate({ arrival, clientId, username: "u", password: undefined }, NOW)).toEqual({
      type: "passed",
    });
  });

  test("each part cut, changed or moved is refused", async () => {
    const token = await good();
    const [header, payload, signature] = token.split(".") as [string, string, string];
    const evil = base64url(JSON.stringify({ sub: "admin", exp: SECONDS + 60 }));
    const all = [
      `${header}.${evil}.${signature}`,
      `${header}.${payload}.${signature.slice(0, -4)}`,
      `${header}.${payload}.`,
      `${header}..${signature}`,
      `${header}.${signature}.${payload}`,
      `${header}.${payload}.${base64url(new Uint8Array(64))}`,
      `${header}.${payload}.${base64url(new Uint8Array(63))}`,
      `${header}.${payload}.${base64url(new Uint8Array(65))}`,
      `${header}.${payload}.${base64url(new Uint8Array(0))}`,
      `${header.slice(0, -1)}.${payload}.${signature}`,
      `${header}.${payload.slice(0, -1)}.${signature}`,
      `${base64url("{}")}.${payload}.${signature}`,
      `${base64url("{")}.${payload}.${signature}`,
      `${base64url('{"alg":"ES256"')}.${payload}.${signature}`,
    ];
    for (const one of all) expect([one, (await judge(one)).type]).toEqual([one, "refused"]);
    // Cut down to no signature part at all, it is no token any more.
    expect(await judge(`${header}.${payload}`)).toEqual({ type: "passed" });
  });

  test("one longer than TOKEN_BYTES_MAX is refused before anything is read of it", async () => {
    const token = await good({ junk: "x".repeat(9000) });
    expect(await judge(token)).toEqual({
      type: "refused",
      reason: Reason.BadUserNameOrPassword,
      detail: "token: it is longer than TOKEN_BYTES_MAX",
    });
    expect((await judge(token, { TOKEN_BYTES_MAX: "65535" })).type).toBe("accepted");
    const broker = authenticator({ TOKEN_SECRET: SECRET });
    expect(await broker.authenticate(atUpgrade(`eyJ.${"a".repeat(2 ** 20)}.b`), NOW)).toEqual(
      wrong("longer than TOKEN_BYTES_MAX", Reason.NotAuthorized),
    );
  });

  test("brackets without end, in header and payload, are an ordinary refusal", async () => {
    const deep = "[".repeat(20_000);
    const large = { TOKEN_BYTES_MAX: "65535" };
    expect((await judge(`${base64url(`{"alg":${deep}`)}.${base64url(deep)}.AA`, large)).type).toBe("refused");
    const head = `${base64url('{"alg":"HS256"}')}.${base64url(`{"sub":"m","exp":${SECONDS + 9},"a":${deep}${"]".repeat(20_000)}}`)}`;
    const token = `${head}.${createHmac("sha256", SECRET).update(head).digest("base64url")}`;
    expect(identity(await judge(token, large)).user).toBe("m");
  });

  test("a payload that is no object is refused", async () => {
    for (const text of ["", "null", "5", "[]", '"sub"', "{", "\u0000"]) {
      const head = `${base64url('{"alg":"HS256"}')}.${base64url(text)}`;
      const token = `${head}.${createHmac("sha256", SECRET).update(head).digest("base64url")}`;
      expect(await judge(token)).toEqual(wrong("not well-formed"));
    }
  });
});

describe("times", () => {
  test("it holds until exp and the leeway, and says so", async () => {
    const token = await good({ exp: SECONDS + 60 });
    expect(identity(await judge(token)).expiresAt).toBe(NOW + 90_000);
    expect((await judge(token, {}, NOW + 89_999)).type).toBe("accepted");
    expect(await judge(token, {}, NOW + 90_000)).toEqual(wrong("expired"));
    expect(await judge(token, { TOKEN_LEEWAY_SECONDS: "0" }, NOW + 60_000)).toEqual(wrong("expired"));
  });

  test.each([[`${SECONDS + 60}`], [null], [true], [[]], [{}], ["never"]])("exp %j is refused", async (exp) => {
    expect(await judge(await good({ exp }))).toEqual(wrong("its exp is wrong"));
  });

  test.each([1e308, 253_402_300_800, SECONDS * 1000])("exp %d is no date", async (exp) => {
    expect(await judge(await good({ exp }))).toEqual(wrong("exp is not a date", Reason.NotAuthorized));
  });

  test("exp 1e999, which JSON makes infinite, is no date", async () => {
    const head = `${base64url('{"alg":"HS256"}')}.${base64url('{"sub":"m","exp":1e999}')}`;
    const token = `${head}.${createHmac("sha256", SECRET).update(head).digest("base64url")}`;
    expect(await judge(token)).toEqual(wrong("exp is not a date", Reason.NotAuthorized));
  });

  test.each([0, -1, -1e308])("exp %d is past", async (exp) => {
    expect(await judge(await good({ exp }))).toEqual(wrong("expired"));
  });

  test("a part of a second counts", async () => {
    const token = await good({ exp: SECONDS + 0.5 });
    expect(identity(await judge(token)).expiresAt).toBe(NOW + 30_500);
    expect(await judge(token, {}, NOW + 30_600)).toEqual(wrong("expired"));
  });

  test("without exp it is refused, unless TOKEN_EXPIRY says otherwise", async () => {
    const token = await good({ exp: undefined });
    expect(await judge(token)).toEqual(wrong("it has no exp"));
    expect(identity(await judge(token, { TOKEN_EXPIRY: "optional" })).expiresAt).toBeUndefined();
  });

  test("nbf and iat may be ahead by the leeway", async () => {
    expect((await judge(await good({ nbf: SECONDS + 30, iat: SECONDS + 30 }))).type).toBe("accepted");
    expect(await judge(await good({ nbf: SECONDS + 31 }))).toEqual(wrong("its nbf is wrong"));
    expect(await judge(await good({ iat: SECONDS + 31 }))).toEqual(wrong("from the future"));
    expect((await judge(await good({ iat: `${SECONDS}` }))).type).toBe("refused");
    expect((await judge(await good({ nbf: "0" }))).type).toBe("refused");
  });
});

describe("issuer and audience", () => {
  const ours = { TOKEN_ISSUER: "https://one.example, https://two.example", TOKEN_AUDIENCE: "mqtt,broker" };

  test("one of each has to be right", async () => {
    for (const aud of ["mqtt", ["broker"], ["web", "mqtt"]]) {
      expect((await judge(await good({ iss: "https://two.example", aud }), ours)).type).toBe("accepted");
    }
    for (const aud of ["web", ["web"], [], "", "mqtt,broker", [["mqtt"]], { mqtt: 1 }, 5, null]) {
      expect(await judge(await good({ iss: "https://two.example", aud }), ours)).toEqual(wrong("its aud is wrong"));
    }
    for (const iss of ["https://three.example", "https://one.example/", ["https://one.example"], "", 5, null]) {
      expect(await judge(await good({ iss, aud: "mqtt" }), ours)).toEqual(wrong("its iss is wrong"));
    }
    expect(await judge(await good({ aud: "mqtt" }), ours)).toEqual(wrong("it has no iss"));
    expect(await judge(await good({ iss: "https://one.example" }), ours)).toEqual(wrong("it has no aud"));
  });

  test("a token for an audience is refused where there is none [RFC 7519 §4.1.3]", async () => {
    expect(await judge(await good({ aud: "elsewhere" }))).toEqual(wrong("no TOKEN_AUDIENCE"));
    expect((await judge(await good({ iss: "anybody" }))).type).toBe("accepted");
  });
});

describe("who it is", () => {
  test.each([
    "a:b",
    "",
    "a\u0000b",
    "\u0007",
    "ａdmin",
    "e\u0301",
    "admin\u200d",
    "x".repeat(101),
    "x".repeat(5000),
    "\ud800",
  ])("sub %.20j is no user's name", async (sub) => {
    expect(await judge(await good({ sub }))).toEqual(wrong("its claim sub", Reason.NotAuthorized));
  });

  test.each([[undefined], [null], [5], [["a"]], [{ a: 1 }]])("sub %j is no text", async (sub) => {
    expect((await judge(await good({ sub }))).type).toBe("refused");
  });

  test("letters of another alphabet are another user", async () => {
    expect(identity(await judge(await good({ sub: "аdmin" }))).user).toBe("\u0430dmin");
  });

  test("the user may be in another claim, which no prototype has", async () => {
    expect(
      identity(await judge(await good({ "https://x/user": "m" }), { TOKEN_USER_CLAIM: "https://x/user" })).user,
    ).toBe("m");
    expect(await judge(await good(), { TOKEN_USER_CLAIM: "toString" })).toEqual(
      wrong("toString", Reason.NotAuthorized),
    );
  });

  test("another user name in CONNECT is refused, unless TOKEN_USERNAME says otherwise", async () => {
    const TOKEN_PUBLIC_KEY = keySet(ec.jwk);
    const token = await good({ sub: "é" });
    const broker = authenticator({ TOKEN_PUBLIC_KEY });
    for (const name of [undefined, "", "é", "e\u0301"]) {
      expect((await broker.authenticate(asPassword(token, name), NOW)).type).toBe("accepted");
      expect((await broker.authenticate(atUpgrade(token, name), NOW)).type).toBe("accepted");
    }
    expect(await broker.authenticate(asPassword(token, "admin"), NOW)).toEqual(wrong("another user name"));
    expect(await broker.authenticate(atUpgrade(token, "admin"), NOW)).toEqual(
      wrong("another user name", Reason.NotAuthorized),
    );
    const lax = authenticator({ TOKEN_PUBLIC_KEY, TOKEN_USERNAME: "ignore" });
    expect(identity(await lax.authenticate(asPassword(token, "admin"), NOW)).user).toBe("é");
  });

  test("client id and tenant are read where settings name their claims", async () => {
    const claims = { client_id: "c-1", org: "acme" };
    expect(identity(await judge(await good(claims)))).toMatchObject({ clientId: undefined, tenant: undefined });
    const more = { TOKEN_CLIENT_ID_CLAIM: "client_id", TOKEN_TENANT_CLAIM: "org" };
    expect(identity(await judge(await good(claims), more))).toMatchObject({ clientId: "c-1", tenant: "acme" });
    expect(identity(await judge(await good({ org: "acme" }), more)).clientId).toBeUndefined();
    for (const org of [undefined, "", "a/b", "a:b", "..", 5, null, "x".repeat(65), "a\n"]) {
      expect(await judge(await good({ org }), more)).toEqual(wrong("its claim org", Reason.NotAuthorized));
    }
    for (const client_id of ["", 5, null, ["c"], "a\u0000", "\ud800"]) {
      expect(await judge(await good({ client_id, org: "a" }), more)).toEqual(
        wrong("its claim client_id", Reason.NotAuthorized),
      );
    }
  });

  test("claims are kept as text, within bounds", async () => {
    const claims = {
      role: "op",
      floor: -3,
      ratio: 1.5,
      on: true,
      huge: 1e21,
      tiny: 1e-9,
      long: "x".repeat(257),
      ["n".repeat(65)]: "x",
      list: ["a"],
      nested: { a: 1 },
      nothing: null,
      zero: "\u0000",
    };
    expect(Object.fromEntries(identity(await judge(await good(claims))).claims)).toEqual({
      sub: "meter-7",
      exp: `${SECONDS + 60}`,
      role: "op",
      floor: "-3",
      ratio: "1.5",
      on: "true",
    });
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`c${i}`, i]));
    expect(await judge(await good(many))).toEqual(wrong("more than 64 claims", Reason.NotAuthorized));
  });

  test("__proto__ is a claim like another", async () => {
    const head = `${base64url('{"alg":"HS256"}')}.${base64url(`{"sub":"m","exp":${SECONDS + 9},"__proto__":{"acl":{"all":["#"]}}}`)}`;
    const token = `${head}.${createHmac("sha256", SECRET).update(head).digest("base64url")}`;
    expect(identity(await judge(token)).rules).toEqual([]);
  });
});

describe("places", () => {
  test("TOKEN_FROM says where a token is looked for", async () => {
    const token = await signed(secret, "HS256");
    const password = authenticator({ TOKEN_SECRET: SECRET, TOKEN_FROM: "password" });
    expect(await password.authenticate(atUpgrade("wrong"), NOW)).toEqual({ type: "passed" });
    expect((await password.authenticate(asPassword(token), NOW)).type).toBe("accepted");
    const upgrade = authenticator({ TOKEN_SECRET: SECRET, TOKEN_FROM: "upgrade" });
    expect(await upgrade.authenticate(asPassword("eyJ.a.b"), NOW)).toEqual({ type: "passed" });
    expect((await upgrade.authenticate(atUpgrade(token), NOW)).type).toBe("accepted");
  });

  test("a wrong token at the upgrade is not mended by a right password", async () => {
    const broker = authenticator({ TOKEN_SECRET: SECRET });
    const both = { ...asPassword(await signed(secret, "HS256")), arrival: atUpgrade("eyJ.a.b").arrival };
    expect(await broker.authenticate(both, NOW)).toEqual(wrong("", Reason.NotAuthorized));
  });
});

test("the log has no token, no secret and nothing else of the payload", async () => {
  const kid = `k"\n${"k".repeat(1000)}`;
  const claims = { sub: "meter-7", iss: "i", pin: "pin-4711", aud: "x" };
  const tokens = [
    await good(claims),
    await good({ ...claims, aud: undefined, exp: 1 }),
    await good({ ...claims, aud: undefined, acl: "pin-4711" }),
    await good(claims, { kid }),
    await signed((await pair("ES256")).privateKey, "ES256", claims, { kid: "ec" }),
    await good({ ...claims, aud: undefined, sub: `${"s".repeat(3000)}` }),
  ];
  for (const token of tokens) {
    const verdict = await judge(token);
    if (verdict.type !== "refused") throw new Error(verdict.type);
    for (const part of [token, ...token.split("."), SECRET, "4711"]) expect(verdict.detail).not.toContain(part);
    expect(verdict.detail).not.toContain("\n");
    expect(verdict.detail.length).toBeLessThan(400);
  }
  expect(await judge(tokens[0]!)).toEqual(wrong(', alg "ES256", kid "ec", sub "meter-7", iss "i"'));
  // Before the signature is right, who it says it is stays out of the log.
  expect((await judge(tokens[4]!)) as object).toMatchObject({
    detail: expect.not.stringContaining("meter-7") as string,
  });
});
