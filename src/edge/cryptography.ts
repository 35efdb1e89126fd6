/** Hashes and chance for authentication. Node's module and not WebCrypto, whose answers are promises. */

import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from "node:crypto";
import type { Cryptography } from "../core/ports.ts";

export const cryptography: Cryptography = {
  sha256: (bytes) => createHash("sha256").update(bytes).digest(),
  hmacSha256: (key, bytes) => createHmac("sha256", key).update(bytes).digest(),
  pbkdf2Sha256: (password, salt, iterations) => pbkdf2Sync(password, salt, iterations, 32, "sha256"),
  sha512: (bytes) => createHash("sha512").update(bytes).digest(),
  pbkdf2Sha512: (password, salt, iterations, bytes) => pbkdf2Sync(password, salt, iterations, bytes, "sha512"),
  equal: (one, other) => one.length === other.length && timingSafeEqual(one, other),
  randomBytes: (count) => randomBytes(count),
};
