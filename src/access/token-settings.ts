/**
 * What an operator says of tokens, and how it is read. What contradicts itself is an error: a broker that ignored half of it
 * would let in other clients than was meant.
 */

import { createPublicKey } from "node:crypto";
import type { JSONWebKeySet, JWK } from "jose";
import * as z from "zod/mini";
import { ConfigError } from "../config-error.ts";
import { decodeBase64 } from "../core/authentication/base64.ts";
import { encodeUtf8 } from "../mqtt/utf8.ts";
import { whole } from "../whole.ts";
import { isSafeUrl } from "./safe-url.ts";
import { type Algorithm, ALGORITHMS, family, type Family, isAlgorithm, secretBytesMin } from "./algorithm.ts";
import type { JwksSettings } from "./jwks.ts";

const PLACES = ["upgrade", "password"] as const;
export type Place = (typeof PLACES)[number];

export interface TokenSettings {
  /** Where a token may come. */
  readonly places: readonly Place[];
  readonly tokenBytesMax: number;
  readonly algorithms: readonly Algorithm[];
  readonly secret: Uint8Array | undefined;
  /** At most one of the two. */
  readonly publicKeys: JSONWebKeySet | undefined;
  readonly jwks: JwksSettings | undefined;
  readonly issuers: readonly string[] | undefined;
  readonly audiences: readonly string[] | undefined;
  readonly leewaySeconds: number;
  readonly expiryRequired: boolean;
  readonly usernameMatches: boolean;
  readonly userClaim: string;
  readonly clientIdClaim: string | undefined;
  readonly tenantClaim: string | undefined;
  readonly aclClaim: string;
}

const RSA_BITS_MIN = 2048;
const LEEWAY_SECONDS_MAX = 300;

const claim = z.optional(z.string().check(z.regex(/^[^\0]{1,128}$/u, "must be the name of a claim")));

function list<T extends string>(what: string, isMember: (item: string) => item is T) {
  return z.optional(
    z.pipe(
      z.pipe(
        z.string(),
        z.transform((text: string) => text.split(",").map((item) => item.trim())),
      ),
      z.custom<T[]>((items) => (items as string[]).every(isMember), `must be ${what}, with commas between them`),
    ),
  );
}

const isWord = (item: string): item is string => item !== "";

/** For the shape of all settings. */
export const TOKEN_VARIABLES = {
  TOKEN_JWKS_URL: z.optional(
    z
      .string()
      .check(z.refine(isSafeUrl, "must be an https URL, or an http one of this machine, without user and fragment")),
  ),
  TOKEN_JWKS_SECONDS: whole(1, 86_400, 600),
  TOKEN_JWKS_COOLDOWN_SECONDS: whole(1, 3600, 30),
  TOKEN_JWKS_STALE_SECONDS: whole(0, 7 * 86_400, 86_400),
  TOKEN_PUBLIC_KEY: z.optional(
    z.pipe(
      z.string(),
      z.transform((text: string, context): JSONWebKeySet => {
        const read = publicKeys(text);
        if (typeof read !== "string") return read;
        context.issues.push({ code: "custom", message: read, input: text });
        return { keys: [] };
      }),
    ),
  ),
  TOKEN_SECRET: z.optional(z.string()),
  TOKEN_SECRET_ENCODING: z.optional(z.enum(["utf8", "base64"], 'must be "utf8" or "base64"')),
  TOKEN_ALGORITHMS: list(`some of ${ALGORITHMS.join(", ")}`, isAlgorithm),
  TOKEN_ISSUER: list("one or more issuers", isWord),
  TOKEN_AUDIENCE: list("one or more audiences", isWord),
  TOKEN_LEEWAY_SECONDS: whole(0, LEEWAY_SECONDS_MAX, 30),
  TOKEN_EXPIRY: z.optional(z.enum(["required", "optional"], 'must be "required" or "optional"')),
  TOKEN_BYTES_MAX: whole(256, 65_535, 8192),
  TOKEN_FROM: list(`some of ${PLACES.join(", ")}`, (item): item is Place => PLACES.includes(item as Place)),
  TOKEN_USERNAME: z.optional(z.enum(["match", "ignore"], 'must be "match" or "ignore"')),
  TOKEN_USER_CLAIM: claim,
  TOKEN_CLIENT_ID_CLAIM: claim,
  TOKEN_TENANT_CLAIM: claim,
  TOKEN_ACL_CLAIM: claim,
};

/**
 * Those that nobody is shown, not even when they are wrong: whoever reaches the broker reads what is wrong. A public key and
 * a URL are no secrets, but what was put there by mistake may be one.
 */
export const TOKEN_SECRETS: readonly string[] = ["TOKEN_SECRET", "TOKEN_PUBLIC_KEY", "TOKEN_JWKS_URL"];

const Variables = z.object(TOKEN_VARIABLES);

/**
 * Undefined: there are no tokens here.
 *
 * @param v as {@link TOKEN_VARIABLES} reads them
 * @throws ConfigError when they contradict each other
 */
export function readTokenSettings(v: z.infer<typeof Variables>): TokenSettings | undefined {
  const sources = {
    TOKEN_JWKS_URL: v.TOKEN_JWKS_URL,
    TOKEN_PUBLIC_KEY: v.TOKEN_PUBLIC_KEY,
    TOKEN_SECRET: v.TOKEN_SECRET,
  };
  if (Object.values(sources).every((source) => source === undefined)) {
    const idle = Object.keys(TOKEN_VARIABLES).find((name) => {
      const value = v[name as keyof typeof v];
      return value !== undefined && typeof value !== "number";
    });
    if (idle === undefined) return undefined;
    throw new ConfigError(`${idle} is set: it needs ${Object.keys(sources).join(", ")} to verify tokens with`);
  }
  if (v.TOKEN_JWKS_URL !== undefined && v.TOKEN_PUBLIC_KEY !== undefined) {
    throw new ConfigError("TOKEN_PUBLIC_KEY is set: it must not be with TOKEN_JWKS_URL, which has the keys");
  }
  const secret = readSecret(v.TOKEN_SECRET, v.TOKEN_SECRET_ENCODING);
  return {
    places: v.TOKEN_FROM ?? PLACES,
    tokenBytesMax: v.TOKEN_BYTES_MAX,
    algorithms: algorithms(v.TOKEN_ALGORITHMS, secret, v.TOKEN_PUBLIC_KEY, v.TOKEN_JWKS_URL !== undefined),
    secret,
    publicKeys: v.TOKEN_PUBLIC_KEY,
    jwks:
      v.TOKEN_JWKS_URL === undefined
        ? undefined
        : {
            url: v.TOKEN_JWKS_URL,
            freshSeconds: v.TOKEN_JWKS_SECONDS,
            coolDownSeconds: v.TOKEN_JWKS_COOLDOWN_SECONDS,
            staleSeconds: Math.max(v.TOKEN_JWKS_STALE_SECONDS, v.TOKEN_JWKS_SECONDS),
          },
    issuers: v.TOKEN_ISSUER,
    audiences: v.TOKEN_AUDIENCE,
    leewaySeconds: v.TOKEN_LEEWAY_SECONDS,
    expiryRequired: v.TOKEN_EXPIRY !== "optional",
    usernameMatches: v.TOKEN_USERNAME !== "ignore",
    userClaim: v.TOKEN_USER_CLAIM ?? "sub",
    clientIdClaim: v.TOKEN_CLIENT_ID_CLAIM,
    tenantClaim: v.TOKEN_TENANT_CLAIM,
    aclClaim: v.TOKEN_ACL_CLAIM ?? "acl",
  };
}

/** Those that are named, or else all that the keys can do. Each must have a key that fits, and each key one of them. */
function algorithms(
  named: readonly Algorithm[] | undefined,
  secret: Uint8Array | undefined,
  publicKeys: JSONWebKeySet | undefined,
  published: boolean,
): readonly Algorithm[] {
  const held = new Set<Family>(publicKeys?.keys.map(keyFamily));
  const isPublic = (algorithm: Algorithm): boolean =>
    family(algorithm) !== "HMAC" && (published || held.has(family(algorithm)));
  const isSecret = (algorithm: Algorithm): boolean =>
    family(algorithm) === "HMAC" && secret !== undefined && secret.length >= secretBytesMin(algorithm);

  for (const algorithm of named ?? []) {
    if (isPublic(algorithm) || isSecret(algorithm)) continue;
    const wrong = `TOKEN_ALGORITHMS has ${algorithm}: it`;
    if (family(algorithm) !== "HMAC") {
      throw new ConfigError(`${wrong} needs ${publicKeys ? "another" : "TOKEN_JWKS_URL or a"} TOKEN_PUBLIC_KEY`);
    }
    if (secret === undefined) throw new ConfigError(`${wrong} needs TOKEN_SECRET`);
    throw new ConfigError(`${wrong} needs a TOKEN_SECRET of at least ${secretBytesMin(algorithm)} bytes`);
  }
  const all = (named ?? ALGORITHMS).filter((algorithm) => isPublic(algorithm) || isSecret(algorithm));
  if (secret !== undefined && !all.some(isSecret)) {
    throw new ConfigError("TOKEN_SECRET is of no use: TOKEN_ALGORITHMS has neither HS256, HS384 nor HS512");
  }
  const source = published ? "TOKEN_JWKS_URL" : "TOKEN_PUBLIC_KEY";
  if ((published || publicKeys !== undefined) && !all.some(isPublic)) {
    throw new ConfigError(`${source} is of no use: TOKEN_ALGORITHMS has nothing for it`);
  }
  return all;
}

function readSecret(text: string | undefined, encoding: "utf8" | "base64" | undefined): Uint8Array | undefined {
  if (text === undefined) {
    if (encoding === undefined) return undefined;
    throw new ConfigError("TOKEN_SECRET_ENCODING is set: it needs TOKEN_SECRET");
  }
  // Whoever signs with a key that everybody may read could be anybody.
  if (text.includes("-----BEGIN"))
    throw new ConfigError("TOKEN_SECRET is wrong: a key in PEM belongs in TOKEN_PUBLIC_KEY");
  const secret = encoding === "base64" ? decodeBase64(text) : encodeUtf8(text);
  if (secret === undefined) throw new ConfigError("TOKEN_SECRET is wrong: it must be base 64, with its padding");
  if (secret.length < secretBytesMin("HS256")) {
    throw new ConfigError(
      `TOKEN_SECRET is wrong: it must have at least ${secretBytesMin("HS256")} bytes (RFC 7518 §3.2)`,
    );
  }
  return secret;
}

/** The last value that was right: each object of an isolate reads the settings, and keys are slow to read. */
let latest: { readonly text: string; readonly keys: JSONWebKeySet } | undefined;

/** Or what is wrong with them. */
function publicKeys(text: string): JSONWebKeySet | string {
  if (latest?.text === text) return latest.keys;
  const keys: JWK[] = [];
  for (const [at, written] of keysIn(text).entries()) {
    const key = publicKey(written);
    if (typeof key === "string") return `has an error in its key ${at + 1}: it ${key}`;
    keys.push(key);
  }
  if (keys.length === 0) return "must be a public key in PEM (BEGIN PUBLIC KEY), a JSON Web Key or a JSON Web Key Set";
  latest = { text, keys: { keys } };
  return latest.keys;
}

function keysIn(text: string): readonly unknown[] {
  if (text.trimStart().startsWith("-----BEGIN")) return [text.trim()];
  try {
    const written: unknown = JSON.parse(text);
    if (typeof written !== "object" || written === null) return [];
    return "keys" in written && Array.isArray(written.keys) ? written.keys : [written];
  } catch {
    return [];
  }
}

/** Only what makes a public key of it, and what says what it is for; or what is wrong with it. */
function publicKey(written: unknown): JWK | string {
  const isText = typeof written === "string";
  if (isText && !written.startsWith("-----BEGIN PUBLIC KEY-----")) return "must begin with BEGIN PUBLIC KEY";
  if (!isText && (typeof written !== "object" || written === null)) return "must be an object";
  if (!isText && ("d" in written || "priv" in written || "k" in written))
    return "must be a public key, not a private one";
  let key: ReturnType<typeof createPublicKey>;
  let read: JWK;
  try {
    key = createPublicKey(
      (isText ? written : { key: written, format: "jwk" }) as Parameters<typeof createPublicKey>[0],
    );
    read = key.export({ format: "jwk" }) as JWK;
  } catch {
    return "cannot be read";
  }
  const { kty, crv, x, y, n, e } = read;
  const { kid, alg, use } = (isText ? {} : written) as JWK;
  if (kty === "RSA" && (key.asymmetricKeyDetails?.modulusLength ?? 0) < RSA_BITS_MIN) {
    return `must have at least ${RSA_BITS_MIN} bits`;
  }
  if (kty !== "RSA" && !["P-256", "P-384", "P-521", "Ed25519"].includes(crv ?? "")) {
    return "must be of RSA, P-256, P-384, P-521 or Ed25519";
  }
  if ([kid, alg, use].some((member) => member !== undefined && typeof member !== "string")) {
    return "must have text in kid, alg and use";
  }
  const parts = { kty, crv, x, y, n, e, kid, alg, use };
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined)) as JWK;
}

function keyFamily({ kty, crv }: JWK): Family {
  return kty === "RSA" ? "RSA" : (crv as Family);
}
