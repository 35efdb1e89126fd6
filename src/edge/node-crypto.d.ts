/** As much of Node's module as is used, in workerd's version of it; `@types/node` would bring all of Node's globals. */
declare module "node:crypto" {
  export function createHash(algorithm: "sha256" | "sha512"): {
    update(bytes: Uint8Array): { digest(): Uint8Array };
  };
  export function createHmac(
    algorithm: "sha256",
    key: Uint8Array,
  ): {
    update(bytes: Uint8Array): { digest(): Uint8Array };
  };
  export function pbkdf2Sync(
    password: Uint8Array,
    salt: Uint8Array,
    iterations: number,
    keyBytes: number,
    digest: "sha256" | "sha512",
  ): Uint8Array;
  export function timingSafeEqual(one: Uint8Array, other: Uint8Array): boolean;
  export function randomBytes(count: number): Uint8Array;
}
