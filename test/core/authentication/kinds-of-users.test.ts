/** Users with verifiers, with hashes, with both, and names that nobody has: what each can be told apart by. */
import { describe, expect, test } from "vitest";
import { readPasswordHash } from "../../../src/core/authentication/password-hash.ts";
import { type User, Users } from "../../../src/core/authentication/users.ts";
import { verifierOf } from "../../../src/core/authentication/verifier.ts";
import type { Cryptography } from "../../../src/core/ports.ts";
import { cryptography } from "../../../src/edge/cryptography.ts";
import { MOSQUITTO, PASSWORD } from "../../support/mosquitto-passwords.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const hash = readPasswordHash;
const verifier = (iterations: number, saltBytes = 16, password = PASSWORD) =>
  verifierOf(password, new Uint8Array(saltBytes).fill(saltBytes), iterations, cryptography);

/** What was computed, by kind and size; the times of the real thing would say less. */
class Work {
  #done: string[] = [];

  readonly cryptography: Cryptography = {
    ...cryptography,
    sha256: (of) => this.#do("sha256", () => cryptography.sha256(of)),
    sha512: (of) => this.#do(`sha512 of ${of.length}`, () => cryptography.sha512(of)),
    hmacSha256: (key, of) => this.#do("hmacSha256", () => cryptography.hmacSha256(key, of)),
    pbkdf2Sha256: (password, salt, iterations) =>
      this.#do(`pbkdf2Sha256 of ${iterations}`, () => cryptography.pbkdf2Sha256(password, salt, iterations)),
    pbkdf2Sha512: (password, salt, iterations, count) =>
      this.#do(`pbkdf2Sha512 of ${iterations}`, () => cryptography.pbkdf2Sha512(password, salt, iterations, count)),
    equal: (one, other) => this.#do(`equal of ${one.length}`, () => cryptography.equal(one, other)),
  };

  of(body: () => unknown): string {
    this.#done = [];
    body();
    return this.#done.join(", ");
  }

  #do<T>(what: string, compute: () => T): T {
    this.#done.push(what);
    return compute();
  }
}

const MIXED: Record<string, User> = {
  alice: { verifier: verifier(4096) },
  bob: { verifier: verifier(5000, 24) },
  carol: { hash: hash(MOSQUITTO.default) },
  dave: { hash: hash(MOSQUITTO.once) },
  erin: { verifier: verifier(4096), hash: hash(MOSQUITTO.default) },
  frank: { hash: hash(MOSQUITTO.thousand) },
};

function mixed(of: Cryptography = cryptography, users = MIXED, secret?: Uint8Array): Users {
  return new Users(new Map(Object.entries(users)), of, secret ? { secret } : {});
}

const NOBODY = Array.from({ length: 2_000 }, (_, at) => `nobody-${at}`);

/** How often each. */
function tally(answers: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const answer of answers) counts.set(answer, (counts.get(answer) ?? 0) + 1);
  return counts;
}

describe("a password", () => {
  test.each(Object.keys(MIXED))("is right for %s, and another is not", (name) => {
    expect(mixed().accepts(name, bytes(PASSWORD))).toMatchObject({ user: name });
    expect(mixed().accepts(name, bytes("eraser"))).toBeUndefined();
  });

  test("is never right for a name that nobody has, although such a name is checked like somebody's", () => {
    const users = mixed();
    expect(NOBODY.filter((name) => users.accepts(name, bytes(PASSWORD)))).toEqual([]);
  });

  test("is text as SASLprep leaves it for a verifier, and bytes for a hash", () => {
    const users = mixed(cryptography, {
      text: { verifier: verifier(4096, 16, "grün µ€ ") },
      bytes: { hash: hash(MOSQUITTO.spaced) },
      raw: { hash: hash(MOSQUITTO.bytes) },
    });
    const apart = bytes("gru\u0308n µ€ ");
    expect(users.accepts("text", apart)).toBeDefined();
    expect(users.accepts("bytes", apart)).toBeUndefined();
    expect(users.accepts("bytes", bytes("grün µ€ "))).toBeDefined();
    expect(users.accepts("raw", Uint8Array.of(0xff, 0xfe))).toBeDefined();
    expect(users.accepts("text", Uint8Array.of(0xff, 0xfe))).toBeUndefined();
  });

  test("is checked by the verifier of a user who has both", () => {
    const work = new Work();
    const done = work.of(() => mixed(work.cryptography).accepts("erin", bytes(PASSWORD)));
    expect(done).toContain("pbkdf2Sha256 of 4096");
    expect(done).not.toContain("pbkdf2Sha512");
  });
});

describe("a right password tells whether its hash should be made anew", () => {
  const users = new Users(
    new Map<string, User>([
      ["once", { hash: hash(MOSQUITTO.once) }],
      ["default", { hash: hash(MOSQUITTO.default) }],
      ["today", { hash: hash(MOSQUITTO.today) }],
      ["both", { verifier: verifier(4096), hash: hash(MOSQUITTO.default) }],
      ["verifier", { verifier: verifier(4096) }],
    ]),
    cryptography,
  );

  test.each([
    ["once", true],
    ["default", true],
    ["today", false],
    ["both", true],
    ["verifier", false],
  ])("%s: %s", (user, outdated) => {
    expect(users.accepts(user, bytes(PASSWORD))).toEqual({ user, outdated });
  });

  test("against the iterations that it is given", () => {
    const of = (iterations: number) =>
      new Users(new Map([["a", { hash: hash(MOSQUITTO.today) }]]), cryptography, { iterations });
    expect(of(10_000).accepts("a", bytes(PASSWORD))!.outdated).toBe(false);
    expect(of(10_001).accepts("a", bytes(PASSWORD))!.outdated).toBe(true);
  });
});

describe("a name that nobody has", () => {
  test.each([
    ["a right password", bytes(PASSWORD)],
    ["a wrong one", bytes("eraser")],
    ["one that no text is", Uint8Array.of(0xff, 0xfe)],
  ])("costs exactly what one of the users costs, and each as often: %s", (_what, password) => {
    const work = new Work();
    const users = mixed(work.cryptography);
    users.accepts("nobody", password);
    const known = Object.keys(MIXED).map((name) => work.of(() => users.accepts(name, password)));
    const unknown = tally(NOBODY.slice(0, 600).map((name) => work.of(() => users.accepts(name, password))));
    expect(new Set(unknown.keys())).toEqual(new Set(known));
    for (const [cost, count] of tally(known)) {
      const expected = (count / known.length) * 600;
      expect(unknown.get(cost)).toBeGreaterThan(expected * 0.6);
      expect(unknown.get(cost)).toBeLessThan(expected * 1.4);
    }
  });

  test("is answered in SCRAM with what one of the users is, for as much work", () => {
    const work = new Work();
    const users = mixed(work.cryptography);
    users.find("nobody");
    expect(new Set([...Object.keys(MIXED), ...NOBODY].map((name) => work.of(() => users.find(name)))).size).toBe(1);
    for (const name of ["nobody", "carol", "dave", "frank"]) expect(users.find(name).known).toBe(false);
    for (const name of ["alice", "bob", "erin"]) {
      expect(users.find(name)).toEqual({ verifier: MIXED[name]!.verifier, known: true });
    }
  });

  test("is like a user in both ways at once: what a password costs goes with what SCRAM says", () => {
    const work = new Work();
    // Each with a cost of its own, so that whom a name is like can be seen; half of them have verifiers.
    const four: Record<string, User> = {
      alice: { verifier: verifier(4096) },
      bob: { verifier: verifier(5000, 24) },
      carol: { hash: hash(MOSQUITTO.default) },
      dave: { hash: hash(MOSQUITTO.once) },
    };
    const users = mixed(work.cryptography, four);
    const seen = (name: string): string => {
      const cost = /(?:pbkdf2Sha|sha512 )[^,]*/.exec(work.of(() => users.accepts(name, bytes("eraser"))))![0];
      const { iterations, salt } = users.find(name).verifier;
      return `${cost}: ${iterations}, ${salt.length}`;
    };
    const pairs = tally(NOBODY.slice(0, 800).map(seen));
    // A verifier's own, always; for who has a hash one or the other, as often whatever the hash is.
    expect(new Set(pairs.keys())).toEqual(
      new Set([
        "pbkdf2Sha256 of 4096: 4096, 16",
        "pbkdf2Sha256 of 5000: 5000, 24",
        "pbkdf2Sha512 of 101: 4096, 16",
        "pbkdf2Sha512 of 101: 5000, 24",
        "sha512 of 18: 4096, 16",
        "sha512 of 18: 5000, 24",
      ]),
    );
    for (const [pair, count] of pairs) {
      const expected = pair.startsWith("pbkdf2Sha256") ? 200 : 100;
      expect(count, pair).toBeGreaterThan(expected * 0.6);
      expect(count, pair).toBeLessThan(expected * 1.4);
    }
  });

  test("is like any verifier where no user has one", () => {
    const users = mixed(cryptography, { carol: MIXED["carol"]! });
    for (const name of ["carol", "nobody"]) {
      expect(users.find(name)).toMatchObject({ known: false, verifier: { iterations: 10_000 } });
      expect(users.find(name).verifier.salt).toHaveLength(16);
    }
    expect(users.find("carol").verifier.salt).not.toEqual(users.find("nobody").verifier.salt);
  });

  test("keeps its salt when hashes are made anew, if the users have a secret", () => {
    const anew = { ...MIXED, carol: { hash: hash(MOSQUITTO.today) } };
    const secret = new Uint8Array(32).fill(1);
    expect(mixed(cryptography, anew, secret).find("nobody")).toEqual(mixed(cryptography, MIXED, secret).find("nobody"));
    expect(mixed(cryptography, anew).find("nobody")).not.toEqual(mixed(cryptography, MIXED).find("nobody"));
    expect(mixed().find("nobody")).toEqual(mixed().find("nobody"));
  });
});
