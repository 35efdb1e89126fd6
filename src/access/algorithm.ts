/**
 * How a token may be signed.
 *
 * An algorithm belongs to one family, and a family to one kind of key. So the name that a token puts in its header never
 * decides what kind of key it is verified with: a public key, which anybody has, is no HMAC secret here.
 */

export type Family = "HMAC" | "RSA" | "P-256" | "P-384" | "P-521" | "Ed25519";

const families = {
  HS256: "HMAC",
  HS384: "HMAC",
  HS512: "HMAC",
  RS256: "RSA",
  RS384: "RSA",
  RS512: "RSA",
  PS256: "RSA",
  PS384: "RSA",
  PS512: "RSA",
  ES256: "P-256",
  ES384: "P-384",
  ES512: "P-521",
  EdDSA: "Ed25519",
  Ed25519: "Ed25519",
} as const satisfies Record<string, Family>;

export type Algorithm = keyof typeof families;

export const ALGORITHMS = Object.keys(families) as readonly Algorithm[];

export function isAlgorithm(name: string): name is Algorithm {
  return Object.hasOwn(families, name);
}

export function family(algorithm: Algorithm): Family {
  return families[algorithm];
}

/** A secret has at least as many bytes as the hash that it is used with (RFC 7518 §3.2). */
export function secretBytesMin(algorithm: Algorithm): number {
  return Number(algorithm.slice(2)) / 8;
}
