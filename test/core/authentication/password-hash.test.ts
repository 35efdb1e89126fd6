import { createHash, pbkdf2Sync } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  hashPassword,
  isOutdated,
  ITERATIONS,
  matches,
  readPasswordHash,
  writePasswordHash,
} from "../../../src/core/authentication/password-hash.ts";
import { cryptography } from "../../../src/edge/cryptography.ts";
import { MOSQUITTO, PASSWORD } from "../../support/mosquitto-passwords.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const accepts = (written: string, password: Uint8Array): boolean =>
  matches(readPasswordHash(written), password, cryptography);

describe("what mosquitto_passwd wrote", () => {
  test.each([
    ["SHA-512, once", MOSQUITTO.once],
    ["as many iterations as Mosquitto 2.0 does by itself", MOSQUITTO.default],
    ["1,000 iterations, as Mosquitto 2.1 does by itself", MOSQUITTO.thousand],
    ["10,000 iterations", MOSQUITTO.today],
    ["as many iterations as the platform does", MOSQUITTO.most],
  ])("%s: the password is right and others are not, and it is written as it was", (_what, written) => {
    expect(accepts(written, bytes(PASSWORD))).toBe(true);
    for (const wrong of ["", "pencils", "Pencil", " pencil"]) expect(accepts(written, bytes(wrong))).toBe(false);
    expect(writePasswordHash(readPasswordHash(written))).toBe(written);
  });

  test("passwords are bytes: neither UTF-8 nor SASLprep", () => {
    expect(accepts(MOSQUITTO.bytes, Uint8Array.of(0xff, 0xfe))).toBe(true);
    expect(accepts(MOSQUITTO.bytes, Uint8Array.of(0xff, 0xff))).toBe(false);
    expect(accepts(MOSQUITTO.spaced, bytes("grün µ€ "))).toBe(true);
    // The accent of its own; the space at the end gone.
    expect(accepts(MOSQUITTO.spaced, bytes("gru\u0308n µ€ "))).toBe(false);
    expect(accepts(MOSQUITTO.spaced, bytes("grün µ€"))).toBe(false);
  });

  test("with salts of 64 bytes, as Mosquitto 2.1 makes them", () => {
    const salt = Buffer.alloc(64, 7);
    const hash = pbkdf2Sync(PASSWORD, salt, 1000, 64, "sha512").toString("base64");
    expect(accepts(`$7$1000$${salt.toString("base64")}$${hash}`, bytes(PASSWORD))).toBe(true);
    const once = createHash("sha512").update(PASSWORD).update(salt).digest("base64");
    expect(accepts(`$6$${salt.toString("base64")}$${once}`, bytes(PASSWORD))).toBe(true);
  });
});

describe("what is not read", () => {
  const [, , , salt, hash] = MOSQUITTO.default.split("$") as [string, string, string, string, string];
  const broken = "is not hashed as mosquitto_passwd does it";

  test.each([
    ["plain text", "pencil", "is plain text: mosquitto_passwd has to hash it"],
    ["nothing", "", "is plain text: mosquitto_passwd has to hash it"],
    ["plain text with a dollar", "$ecret", broken],
    ["another kind", `$5$${salt}$${hash}`, broken],
    ["no iterations", `$7$${salt}$${hash}`, broken],
    ["iterations with SHA-512", `$6$101$${salt}$${hash}`, broken],
    ["no iteration", `$7$0$${salt}$${hash}`, broken],
    ["fewer than none", `$7$-1$${salt}$${hash}`, broken],
    ["iterations that are no number", `$7$1e3$${salt}$${hash}`, broken],
    ["iterations that begin with a zero", `$7$0101$${salt}$${hash}`, broken],
    ["no salt", `$7$101$$${hash}`, broken],
    ["a short salt", `$7$101$AAAA$${hash}`, broken],
    ["a salt that is not base 64", `$7$101$****************$${hash}`, broken],
    ["no hash", `$7$101$${salt}$`, broken],
    ["a short hash", `$7$101$${salt}$${salt}`, broken],
    ["a hash without padding", `$7$101$${salt}$${hash.replace("==", "")}`, broken],
    ["more after the hash", `$7$101$${salt}$${hash}$`, broken],
  ])("%s", (_what, written, message) => {
    expect(() => readPasswordHash(written)).toThrow(new RangeError(message));
  });

  test("Argon2, which is named with the way out of it", () => {
    expect(() => readPasswordHash("$argon2id$v=19$m=47104,t=1,p=1$c2FsdA$aGFzaA")).toThrow(
      "is hashed with Argon2, which the platform does not have: hash it again with mosquitto_passwd -H sha512-pbkdf2",
    );
  });

  test.each([
    ["OWASP's", MOSQUITTO.owasp],
    ["one too many", `$7$100001$${salt}$${hash}`],
    ["more than a number holds", `$7$${"9".repeat(400)}$${salt}$${hash}`],
  ])("more iterations than the platform does: %s", (_what, written) => {
    expect(() => readPasswordHash(written)).toThrow(
      "is hashed with more iterations than the 100000 that the platform does: hash it again with mosquitto_passwd -H sha512-pbkdf2 -I 100000",
    );
  });
});

describe("a new one", () => {
  test("has today's iterations, or as many as it is told, and a salt of its own", () => {
    const kept = hashPassword(bytes(PASSWORD), cryptography);
    expect(writePasswordHash(kept)).toMatch(/^\$7\$10000\$[A-Za-z0-9+/]{16}\$[A-Za-z0-9+/]{86}==$/);
    expect(matches(kept, bytes(PASSWORD), cryptography)).toBe(true);
    expect(hashPassword(bytes(PASSWORD), cryptography).salt).not.toEqual(kept.salt);
    expect(hashPassword(bytes(PASSWORD), cryptography, 100_000)).toMatchObject({ iterations: 100_000 });
  });

  test.each([0, -1, 1.5, Number.NaN, 100_001, 210_000])("has not %s iterations", (iterations) => {
    expect(() => hashPassword(bytes(PASSWORD), cryptography, iterations)).toThrow(
      new RangeError("iterations must be a whole number from 1 to 100000"),
    );
  });
});

test.each([
  [MOSQUITTO.once, ITERATIONS, true],
  [MOSQUITTO.once, 1, true],
  [MOSQUITTO.default, ITERATIONS, true],
  [MOSQUITTO.today, ITERATIONS, false],
  [MOSQUITTO.most, ITERATIONS, false],
  [MOSQUITTO.today, 10_001, true],
  [MOSQUITTO.default, 101, false],
])("%s is outdated where %s iterations are today's: %s", (written, iterations, outdated) => {
  expect(isOutdated(readPasswordHash(written), iterations)).toBe(outdated);
});
