/** What tokens take of the platform is there in workerd: every algorithm, PEM, and a fetch that connections share. */

import { exportJWK, exportSPKI, generateKeyPair, SignJWT, type CryptoKey } from "jose";
import { expect, test } from "vitest";
import { TokenAuthenticator } from "../../src/access/token-authenticator.ts";
import { workersNetwork } from "../../src/access/workers-network.ts";
import { readConfig } from "../../src/config.ts";
import type { Credentials } from "../../src/core/authentication/identity.ts";
import { encodeUtf8 } from "../../src/mqtt/utf8.ts";

const NOW = 1_800_000_000_000;
const SECRET = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

function authenticator(variables: Record<string, string>, network = workersNetwork): TokenAuthenticator {
  return new TokenAuthenticator(readConfig(variables).access.tokens!, network);
}

function asPassword(token: string): Credentials {
  const arrival = { address: undefined, token: undefined, certificate: undefined, tenant: undefined };
  return { arrival, clientId: "c", username: undefined, password: encodeUtf8(token) };
}

function signed(key: CryptoKey | Uint8Array, alg: string): Promise<string> {
  return new SignJWT({ sub: "m", exp: NOW / 1000 + 60 }).setProtectedHeader({ alg, kid: "k" }).sign(key);
}

test.each(["HS256", "HS384", "HS512"])("%s", async (alg) => {
  const token = await signed(encodeUtf8(SECRET), alg);
  expect(await authenticator({ TOKEN_SECRET: SECRET }).authenticate(asPassword(token), NOW)).toMatchObject({
    identity: { user: "m" },
  });
});

test.each(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"])(
  "%s, with a key in PEM and a key at a URL",
  async (alg) => {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    const token = await signed(privateKey, alg);
    const pem = authenticator({ TOKEN_PUBLIC_KEY: await exportSPKI(publicKey) });
    expect(await pem.authenticate(asPassword(token), NOW)).toMatchObject({ identity: { user: "m" } });
    expect(await pem.authenticate(asPassword(`${token.slice(0, -8)}AAAAAAAA`), NOW)).toMatchObject({ type: "refused" });

    const keys = [{ ...(await exportJWK(publicKey)), kid: "k" }];
    let requests = 0;
    const fetch = (): Promise<Response> => {
      requests += 1;
      return Promise.resolve(Response.json({ keys }));
    };
    const url = authenticator({ TOKEN_JWKS_URL: "https://issuer.example" }, { ...workersNetwork, fetch });
    const verdicts = await Promise.all([1, 2, 3].map(() => url.authenticate(asPassword(token), NOW)));
    expect(verdicts.map(({ type }) => type)).toEqual(["accepted", "accepted", "accepted"]);
    expect(requests).toBe(1);
  },
);
