/**
 * The keys that an issuer publishes at a URL (RFC 7517 §5).
 *
 * - They are fetched when a token needs them, and again when they are older than `freshSeconds`, or when a token names a key
 *   that is not among them, which is how a new key becomes known.
 * - One fetch at a time, which all wait for; and none within `coolDownSeconds` of the one before, whatever came of it. So
 *   tokens with made-up key ids make no more requests than that.
 * - While the URL gives nothing, what it gave last is used until it is `staleSeconds` old, and after that nothing is.
 *
 * jose's `createRemoteJWKSet` is not used: it asks a URL that is down once for each token and has no keys meanwhile, does
 * not bound the answer, reads the clock itself, and in a Worker lets every connection fetch for itself. Which key of a set is
 * meant, and whether it may be used so, is jose's decision (`createLocalJWKSet`).
 */

import { createLocalJWKSet, errors, type CryptoKey, type JSONWebKeySet, type JWSHeaderParameters } from "jose";
import { bodyText } from "./body.ts";
import { before } from "./deadline.ts";
import type { Network } from "./network.ts";

export interface JwksSettings {
  readonly url: string;
  readonly freshSeconds: number;
  readonly coolDownSeconds: number;
  readonly staleSeconds: number;
}

/** No telling whether a token is genuine: the keys are not to be had. The message is for the log. */
export class KeysUnavailable extends Error {
  override readonly name = "KeysUnavailable";
}

/** Less than a client's CONNECT may take by default. */
const FETCH_MILLISECONDS_MAX = 5_000;
/** Some forty times what large issuers publish. */
const BODY_BYTES_MAX = 256 * 1024;
/** A token that names no key is tried with each that fits. */
const KEYS_MAX = 64;

interface Attempt {
  /** In milliseconds since 1970. */
  readonly at: number;
  outcome: "under way" | "had" | "failed";
  why: string;
  /** Settles when the outcome is known, and never rejects. */
  over: Promise<void>;
}

type KeySet = ReturnType<typeof createLocalJWKSet>;

export class Jwks {
  readonly #settings: JwksSettings;
  readonly #network: Network;
  #known: { readonly keys: KeySet; readonly at: number } | undefined;
  #attempt: Attempt | undefined;

  constructor(settings: JwksSettings, network: Network) {
    this.#settings = settings;
    this.#network = network;
  }

  /**
   * The key for a token with this header.
   *
   * @throws KeysUnavailable, and what jose's `createLocalJWKSet` throws when none fits or several do
   */
  async find(header: JWSHeaderParameters, now: number): Promise<CryptoKey> {
    if (!this.#isYounger(this.#settings.freshSeconds, now)) await this.#refresh(now);
    try {
      return await this.#usable(now)(header);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await this.#refresh(now);
      if (this.#attempt?.outcome !== "had") throw this.#unavailable();
      return await this.#usable(now)(header);
    }
  }

  #usable(now: number): KeySet {
    if (this.#known === undefined || !this.#isYounger(this.#settings.staleSeconds, now)) throw this.#unavailable();
    return this.#known.keys;
  }

  #isYounger(seconds: number, now: number): boolean {
    return this.#known !== undefined && now - this.#known.at < seconds * 1000;
  }

  #unavailable(): KeysUnavailable {
    return new KeysUnavailable(`the keys cannot be had: ${this.#attempt?.why || "no answer in time"}`);
  }

  /** Begins a fetch if it may, and waits for one that is under way. */
  async #refresh(now: number): Promise<void> {
    const last = this.#attempt;
    if (last === undefined || now - last.at >= this.#pause(last)) {
      await this.#begin(now).over;
    } else if (last.outcome === "under way") {
      // Its own deadline is that of another connection, with which it may have ended.
      await before(this.#network.deadline(FETCH_MILLISECONDS_MAX), last.over, late).catch(() => undefined);
    }
  }

  #pause(last: Attempt): number {
    // One that has not ended by then has ended with its connection.
    return last.outcome === "under way" ? FETCH_MILLISECONDS_MAX : this.#settings.coolDownSeconds * 1000;
  }

  #begin(now: number): Attempt {
    const attempt: Attempt = { at: now, outcome: "under way", why: "", over: Promise.resolve() };
    this.#attempt = attempt;
    const deadline = this.#network.deadline(FETCH_MILLISECONDS_MAX);
    attempt.over = before(deadline, this.#load(deadline), late).then(
      (keys) => {
        attempt.outcome = "had";
        if (this.#known === undefined || this.#known.at <= now) this.#known = { keys, at: now };
      },
      (error: unknown) => {
        attempt.outcome = "failed";
        attempt.why = error instanceof KeysUnavailable ? error.message : "no connection";
      },
    );
    this.#network.keep(attempt.over);
    return attempt;
  }

  async #load(signal: AbortSignal): Promise<KeySet> {
    const response = await this.#network.fetch(this.#settings.url, {
      headers: { accept: "application/json, application/jwk-set+json" },
      // Who can redirect the URL could put keys of its own behind it.
      redirect: "manual",
      signal,
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new KeysUnavailable(`TOKEN_JWKS_URL answers ${response.status}`);
    }
    const written = await bodyText(response, BODY_BYTES_MAX);
    if (written === undefined)
      throw new KeysUnavailable(`TOKEN_JWKS_URL answers with more than ${BODY_BYTES_MAX} bytes`);
    return keySet(written);
  }
}

function late(): KeysUnavailable {
  return new KeysUnavailable("TOKEN_JWKS_URL does not answer in time");
}

function keySet(written: string): KeySet {
  let parsed: unknown;
  try {
    parsed = JSON.parse(written);
  } catch {
    throw new KeysUnavailable("TOKEN_JWKS_URL answers with something that is not JSON");
  }
  try {
    const keys = createLocalJWKSet(parsed as JSONWebKeySet);
    if ((parsed as JSONWebKeySet).keys.length <= KEYS_MAX) return keys;
  } catch {
    throw new KeysUnavailable("TOKEN_JWKS_URL answers with something that is not a JSON Web Key Set");
  }
  throw new KeysUnavailable(`TOKEN_JWKS_URL answers with more than ${KEYS_MAX} keys`);
}
