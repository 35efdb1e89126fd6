/** Who signs tokens in tests, the network that its keys come over, and a broker's side that reads them. */

import { encodeBase64 } from "../../src/core/authentication/base64.ts";
import { generateKeyPair, exportJWK, SignJWT, type CryptoKey, type JWK, type JWTPayload } from "jose";
import type { Network } from "../../src/access/network.ts";
import { TokenAuthenticator } from "../../src/access/token-authenticator.ts";
import type { TokenSettings } from "../../src/access/token-settings.ts";
import { readConfig } from "../../src/config.ts";
import type { Credentials, Identity, Verdict } from "../../src/core/authentication/identity.ts";
import { encodeUtf8 } from "../../src/mqtt/utf8.ts";

/** In milliseconds since 1970, at the full second. */
export const NOW = 1_800_000_000_000;
export const SECONDS = NOW / 1000;

export interface Pair {
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

export async function pair(alg: string, more: JWK = {}): Promise<Pair> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { privateKey, jwk: { ...(await exportJWK(publicKey)), ...more } };
}

/** Valid for a minute unless the claims say otherwise; a claim that is undefined is left out. */
export async function signed(
  key: CryptoKey | Uint8Array,
  alg: string,
  claims: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
): Promise<string> {
  const payload = { sub: "meter-7", exp: SECONDS + 60, ...claims } as JWTPayload;
  return await new SignJWT(payload).setProtectedHeader({ alg, ...header }).sign(key);
}

export function base64url(text: string | Uint8Array): string {
  const bytes = typeof text === "string" ? encodeUtf8(text) : text;
  return encodeBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export function settings(variables: Record<string, string>): TokenSettings {
  const { tokens } = readConfig(variables).access;
  if (tokens === undefined) throw new Error("no tokens in these settings");
  return tokens;
}

export function keySet(...keys: JWK[]): string {
  return JSON.stringify({ keys });
}

/** For tests in which nothing may be fetched. */
const noNetwork: Network = {
  fetch: () => Promise.reject(new Error("nobody may fetch here")),
  deadline: () => new AbortController().signal,
  keep: () => undefined,
};

export function authenticator(variables: Record<string, string>, network: Network = noNetwork): TokenAuthenticator {
  return new TokenAuthenticator(settings(variables), network);
}

export function asPassword(token: string | Uint8Array, username?: string): Credentials {
  const arrival = { address: undefined, token: undefined, certificate: undefined, tenant: undefined };
  return { arrival, clientId: "c", username, password: typeof token === "string" ? encodeUtf8(token) : token };
}

export function atUpgrade(token: string, username?: string): Credentials {
  const arrival = { address: undefined, token, certificate: undefined, tenant: undefined };
  return { arrival, clientId: "c", username, password: undefined };
}

export function identity(verdict: Verdict): Identity {
  if (verdict.type !== "accepted") throw new Error(`not accepted: ${JSON.stringify(verdict)}`);
  return verdict.identity;
}
