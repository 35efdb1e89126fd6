/** What an operator can get wrong about tokens is said by the name of the setting, without the secret. */

import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { readConfig } from "../../src/config.ts";
import { settings } from "./issuer.ts";

const URL = "https://issuer.example/keys";
const SECRET = "0123456789abcdef0123456789abcdef";
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const weak = generateKeyPairSync("rsa", { modulusLength: 1024 });
const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" });
const koblitz = generateKeyPairSync("ec", { namedCurve: "secp256k1" });
const ed = generateKeyPairSync("ed25519");
const x25519 = generateKeyPairSync("x25519");

const pem = ({ publicKey }: typeof rsa): string => publicKey.export({ type: "spki", format: "pem" }) as string;
const privatePem = rsa.privateKey.export({ type: "pkcs8", format: "pem" }) as string;
const jwk = ({ publicKey }: typeof rsa): object => publicKey.export({ format: "jwk" });

test("without any there are no tokens", () => {
  expect(readConfig({}).access.tokens).toBeUndefined();
});

test("what is not said is the safe choice", () => {
  expect(settings({ TOKEN_JWKS_URL: URL })).toEqual({
    places: ["upgrade", "password"],
    tokenBytesMax: 8192,
    algorithms: "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519".split(" "),
    secret: undefined,
    publicKeys: undefined,
    jwks: { url: URL, freshSeconds: 600, coolDownSeconds: 30, staleSeconds: 86_400 },
    issuers: undefined,
    audiences: undefined,
    leewaySeconds: 30,
    expiryRequired: true,
    usernameMatches: true,
    userClaim: "sub",
    clientIdClaim: undefined,
    tenantClaim: undefined,
    aclClaim: "acl",
  });
});

test.each([
  [{ TOKEN_SECRET: SECRET }, "HS256"],
  [{ TOKEN_SECRET: SECRET + SECRET.slice(0, 16) }, "HS256 HS384"],
  [{ TOKEN_SECRET: SECRET + SECRET }, "HS256 HS384 HS512"],
  [{ TOKEN_PUBLIC_KEY: pem(rsa) }, "RS256 RS384 RS512 PS256 PS384 PS512"],
  [{ TOKEN_PUBLIC_KEY: pem(p256) }, "ES256"],
  [{ TOKEN_PUBLIC_KEY: pem(ed) }, "EdDSA Ed25519"],
  [{ TOKEN_PUBLIC_KEY: JSON.stringify({ keys: [jwk(p256), jwk(ed)] }) }, "ES256 EdDSA Ed25519"],
  [{ TOKEN_PUBLIC_KEY: pem(p256), TOKEN_SECRET: SECRET }, "HS256 ES256"],
  [{ TOKEN_JWKS_URL: URL, TOKEN_ALGORITHMS: " ES256 , RS256" }, "ES256 RS256"],
] as [Record<string, string>, string][])("algorithms are those that the keys can do: %#", (variables, algorithms) => {
  expect(settings(variables).algorithms).toEqual(algorithms.split(" "));
});

test("a secret may be written in base 64", () => {
  const TOKEN_SECRET = Buffer.from(SECRET).toString("base64");
  expect(settings({ TOKEN_SECRET, TOKEN_SECRET_ENCODING: "base64" }).secret).toEqual(new TextEncoder().encode(SECRET));
});

test.each(["http://localhost:8080/k", "http://127.0.0.1/k", "http://[::1]:1/k", "https://a.example/k?v=1"])(
  "%s can be TOKEN_JWKS_URL",
  (url) => {
    expect(settings({ TOKEN_JWKS_URL: url }).jwks?.url).toBe(url);
  },
);

test("of a key only its public parts are kept", () => {
  const TOKEN_PUBLIC_KEY = JSON.stringify({ ...jwk(p256), kid: "a", x5c: ["AA"], ext: true, key_ops: ["sign"] });
  expect(settings({ TOKEN_PUBLIC_KEY }).publicKeys).toEqual({ keys: [{ ...jwk(p256), kid: "a" }] });
});

test.each([
  [{ TOKEN_ISSUER: "i" }, /^TOKEN_ISSUER is set: it needs TOKEN_JWKS_URL, TOKEN_PUBLIC_KEY, TOKEN_SECRET/],
  [{ TOKEN_ALGORITHMS: "HS256" }, /^TOKEN_ALGORITHMS is set: it needs/],
  [{ TOKEN_JWKS_URL: URL, TOKEN_PUBLIC_KEY: pem(rsa) }, /^TOKEN_PUBLIC_KEY is set: it must not be with TOKEN_JWKS_URL/],
  [{ TOKEN_JWKS_URL: URL, TOKEN_ALGORITHMS: "HS256" }, /^TOKEN_ALGORITHMS has HS256: it needs TOKEN_SECRET/],
  [
    { TOKEN_PUBLIC_KEY: pem(rsa), TOKEN_ALGORITHMS: "RS256,ES256" },
    /^TOKEN_ALGORITHMS has ES256: it needs another TOKEN_PUBLIC_KEY/,
  ],
  [
    { TOKEN_SECRET: SECRET, TOKEN_ALGORITHMS: "HS256,RS256" },
    /^TOKEN_ALGORITHMS has RS256: it needs TOKEN_JWKS_URL or a TOKEN_PUBLIC_KEY/,
  ],
  [
    { TOKEN_SECRET: SECRET, TOKEN_ALGORITHMS: "HS512" },
    /^TOKEN_ALGORITHMS has HS512: it needs a TOKEN_SECRET of at least 64 bytes/,
  ],
  [{ TOKEN_SECRET: SECRET, TOKEN_JWKS_URL: URL, TOKEN_ALGORITHMS: "RS256" }, /^TOKEN_SECRET is of no use/],
  [{ TOKEN_SECRET: SECRET, TOKEN_JWKS_URL: URL, TOKEN_ALGORITHMS: "HS256" }, /^TOKEN_JWKS_URL is of no use/],
  [{ TOKEN_SECRET: SECRET, TOKEN_ALGORITHMS: "none" }, /^TOKEN_ALGORITHMS is "none": it must be some of HS256/],
  [{ TOKEN_SECRET: SECRET, TOKEN_ALGORITHMS: "hs256" }, /^TOKEN_ALGORITHMS is "hs256"/],
  [{ TOKEN_SECRET: SECRET, TOKEN_ALGORITHMS: "" }, /^TOKEN_ALGORITHMS is ""/],
  [{ TOKEN_SECRET: "s3cret" }, /^TOKEN_SECRET is wrong: it must have at least 32 bytes/],
  [{ TOKEN_SECRET: SECRET.slice(1) }, /^TOKEN_SECRET is wrong: it must have at least 32 bytes/],
  [{ TOKEN_SECRET: SECRET.slice(1), TOKEN_SECRET_ENCODING: "base64" }, /^TOKEN_SECRET is wrong: it must be base 64/],
  [{ TOKEN_SECRET: pem(rsa) }, /^TOKEN_SECRET is wrong: a key in PEM belongs in TOKEN_PUBLIC_KEY/],
  [{ TOKEN_JWKS_URL: URL, TOKEN_SECRET_ENCODING: "base64" }, /^TOKEN_SECRET_ENCODING is set: it needs TOKEN_SECRET/],
  [{ TOKEN_JWKS_URL: "http://issuer.example/keys" }, /^TOKEN_JWKS_URL is wrong: it must be an https URL/],
  [{ TOKEN_JWKS_URL: "http://127.0.0.1.example/keys" }, /^TOKEN_JWKS_URL is wrong/],
  [{ TOKEN_JWKS_URL: "http://localhost.example/keys" }, /^TOKEN_JWKS_URL is wrong/],
  [{ TOKEN_JWKS_URL: "https://u:p@issuer.example/keys" }, /^TOKEN_JWKS_URL is wrong/],
  [{ TOKEN_JWKS_URL: "file:///keys" }, /^TOKEN_JWKS_URL is wrong/],
  [{ TOKEN_JWKS_URL: "keys" }, /^TOKEN_JWKS_URL is wrong/],
  [
    { TOKEN_PUBLIC_KEY: privatePem },
    /^TOKEN_PUBLIC_KEY is wrong: it has an error in its key 1: it must begin with BEGIN PUBLIC KEY/,
  ],
  [
    { TOKEN_PUBLIC_KEY: JSON.stringify(rsa.privateKey.export({ format: "jwk" })) },
    /^TOKEN_PUBLIC_KEY is wrong: .* not a private one/,
  ],
  [{ TOKEN_PUBLIC_KEY: '{"kty":"oct","k":"c2VjcmV0"}' }, /^TOKEN_PUBLIC_KEY is wrong: .* not a private one/],
  [{ TOKEN_PUBLIC_KEY: pem(weak) }, /^TOKEN_PUBLIC_KEY is wrong: .* at least 2048 bits/],
  [{ TOKEN_PUBLIC_KEY: pem(koblitz) }, /^TOKEN_PUBLIC_KEY is wrong: .* must be of RSA, P-256/],
  [{ TOKEN_PUBLIC_KEY: pem(x25519) }, /^TOKEN_PUBLIC_KEY is wrong: .* must be of RSA, P-256/],
  [{ TOKEN_PUBLIC_KEY: pem(rsa).slice(0, 200) }, /^TOKEN_PUBLIC_KEY is wrong: .* cannot be read/],
  [
    { TOKEN_PUBLIC_KEY: JSON.stringify({ keys: [jwk(p256), {}] }) },
    /^TOKEN_PUBLIC_KEY is wrong: it has an error in its key 2/,
  ],
  [{ TOKEN_PUBLIC_KEY: JSON.stringify({ keys: [5] }) }, /^TOKEN_PUBLIC_KEY is wrong: .* must be an object/],
  [{ TOKEN_PUBLIC_KEY: JSON.stringify({ ...jwk(p256), kid: 5 }) }, /^TOKEN_PUBLIC_KEY is wrong: .* text in kid/],
  [{ TOKEN_PUBLIC_KEY: '{"keys":[]}' }, /^TOKEN_PUBLIC_KEY is wrong: it must be a public key in PEM/],
  [{ TOKEN_PUBLIC_KEY: "hello" }, /^TOKEN_PUBLIC_KEY is wrong: it must be a public key in PEM/],
  [{ TOKEN_SECRET: SECRET, TOKEN_LEEWAY_SECONDS: "301" }, /^TOKEN_LEEWAY_SECONDS is "301": it must be at most 300/],
  [{ TOKEN_SECRET: SECRET, TOKEN_AUDIENCE: "a,,b" }, /^TOKEN_AUDIENCE is "a,,b"/],
  [{ TOKEN_SECRET: SECRET, TOKEN_FROM: "cookie" }, /^TOKEN_FROM is "cookie": it must be some of upgrade, password/],
  [{ TOKEN_SECRET: SECRET, TOKEN_EXPIRY: "no" }, /^TOKEN_EXPIRY is "no"/],
  [{ TOKEN_SECRET: SECRET, TOKEN_USERNAME: "no" }, /^TOKEN_USERNAME is "no"/],
  [{ TOKEN_SECRET: SECRET, TOKEN_USER_CLAIM: "" }, /^TOKEN_USER_CLAIM is "": it must be the name of a claim/],
] as [Record<string, string>, RegExp][])("%#: what is wrong is named", (variables, message) => {
  let said = "";
  try {
    readConfig(variables);
  } catch (error) {
    said = (error as Error).message;
  }
  expect(said).toMatch(message);
  for (const name of ["TOKEN_SECRET", "TOKEN_PUBLIC_KEY", "TOKEN_JWKS_URL"]) {
    if (variables[name] && variables[name] !== "") expect(said).not.toContain(variables[name]);
  }
});
