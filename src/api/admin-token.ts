/** Is this an admin? Whoever brings the token of the settings is. */

import type { Cryptography } from "../core/ports.ts";
import { encodeUtf8 } from "../mqtt/utf8.ts";

/** 32 bits: enough to tell some tokens apart in a log, and nothing to find one by. */
const FINGERPRINT_BYTES = 4;

export class AdminToken {
  readonly #hash: Uint8Array;
  readonly #cryptography: Cryptography;

  constructor(token: string, cryptography: Cryptography) {
    this.#cryptography = cryptography;
    this.#hash = cryptography.sha256(encodeUtf8(token));
  }

  /** What the token is called in the audit log. */
  get fingerprint(): string {
    return [...this.#hash.subarray(0, FINGERPRINT_BYTES)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  /**
   * Whether an `Authorization` header brings the token. Hashes are compared, so that the time tells neither where it is wrong
   * nor how long it is.
   */
  isIn(header: string | undefined): boolean {
    const token = /^Bearer +([!-~]+)$/i.exec(header ?? "")?.[1];
    return token !== undefined && this.#cryptography.equal(this.#cryptography.sha256(encodeUtf8(token)), this.#hash);
  }
}
