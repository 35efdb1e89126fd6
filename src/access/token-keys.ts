/** Which key a token is verified with: its own kind's, never what the token itself brings (`jwk`, `jku`, `x5c`, `x5u`). */

import { createLocalJWKSet, type CryptoKey, type JSONWebKeySet, type JWSHeaderParameters } from "jose";
import { family, isAlgorithm } from "./algorithm.ts";
import { Jwks } from "./jwks.ts";
import type { Network } from "./network.ts";
import type { TokenSettings } from "./token-settings.ts";

type Find = (header: JWSHeaderParameters, now: number) => Promise<CryptoKey>;

export class TokenKeys {
  readonly #secret: Uint8Array | undefined;
  readonly #public: Find | undefined;

  constructor(settings: TokenSettings, network: Network) {
    this.#secret = settings.secret;
    if (settings.jwks !== undefined) {
      const jwks = new Jwks(settings.jwks, network);
      this.#public = (header, now) => jwks.find(header, now);
    } else if (settings.publicKeys !== undefined) {
      this.#public = fixed(settings.publicKeys);
    }
  }

  /**
   * For a token whose algorithm is one of those that the settings allow.
   *
   * @throws KeysUnavailable, and what jose's `createLocalJWKSet` throws when none fits or several do
   */
  async find(header: JWSHeaderParameters, now: number): Promise<CryptoKey | Uint8Array> {
    const { alg } = header;
    if (alg === undefined || !isAlgorithm(alg)) throw new Error("an algorithm that nobody allowed");
    const key = family(alg) === "HMAC" ? this.#secret : await this.#public?.(header, now);
    if (key === undefined) throw new Error("an algorithm without a key");
    return key;
  }
}

/** A key id in a token means nothing where no key has one. */
function fixed(set: JSONWebKeySet): Find {
  const keys = createLocalJWKSet(set);
  const named = set.keys.some(({ kid }) => kid !== undefined);
  return ({ alg, kid }) =>
    keys(named && kid !== undefined ? ({ alg, kid } as JWSHeaderParameters) : ({ alg } as JWSHeaderParameters));
}
