/** Who comes too often, with limiters that count as the platform's do. */
import { describe, expect, test } from "vitest";
import { type Answer, identityOf, type Question } from "../../../src/core/authentication/asking.ts";
import { type Limiter, type Limiters, SHUT_MS, Turnstile } from "../../../src/edge/turnstile.ts";
import { Reason } from "../../../src/mqtt/reason.ts";
import { NO_ARRIVAL } from "../../support/reception.ts";

class Counting implements Limiter {
  readonly keys: string[] = [];
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  limit({ key }: { readonly key: string }): Promise<{ success: boolean }> {
    this.keys.push(key);
    return Promise.resolve({ success: this.keys.filter((other) => other === key).length <= this.#limit });
  }
}

const BROKEN: Limiter = { limit: () => Promise.reject(new Error("away")) };
const WRONG: Answer = { type: "refused", reason: Reason.BadUserNameOrPassword, detail: "wrong" };
const RIGHT: Answer = { type: "accepted", identity: identityOf("alice") };

function identify(username: string | undefined): Question {
  return { type: "identify", credentials: { arrival: NO_ARRIVAL, clientId: "c", username, password: undefined } };
}

function scene(limiters: Limiters) {
  const turnstile = new Turnstile(limiters);
  let computed = 0;
  return {
    turnstile,
    get computed() {
      return computed;
    },
    async login(
      answer: Answer,
      now = 0,
      { username = "alice", address = "192.0.2.1", first = true, tenant = "main" } = {},
    ) {
      const said = await turnstile.pass(identify(username), { tenant, address, first }, now, () => {
        computed += 1;
        return answer;
      });
      return said.type === "refused" ? said.reason : said.type;
    },
  };
}

describe("without limiters", () => {
  test("everybody may pass", async () => {
    const s = scene({});
    for (let count = 0; count < 100; count++) expect(await s.login(WRONG)).toBe(Reason.BadUserNameOrPassword);
    expect(s.turnstile.address("192.0.2.1")).toBeUndefined();
    expect(s.turnstile.shut).toBe(0);
  });
});

describe("CONNECT_LIMITER_ADDRESS", () => {
  test("counts addresses, and of IPv6 their first 64 bits", async () => {
    const limiter = new Counting(1);
    const { turnstile } = scene({ CONNECT_LIMITER_ADDRESS: limiter });
    const addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::2"];
    const passed = [];
    for (const address of addresses) passed.push(await turnstile.address(address));
    expect(passed).toEqual([true, true, false, true, false, true]);
    // Nobody knows the address of a client that comes over TCP.
    expect(turnstile.address(undefined)).toBeUndefined();
  });
});

describe("CONNECT_LIMITER_USER", () => {
  test("counts users who have proved to be so, once in a connection", async () => {
    const s = scene({ CONNECT_LIMITER_USER: new Counting(2) });
    expect(await s.login(WRONG)).toBe(Reason.BadUserNameOrPassword);
    expect([await s.login(RIGHT), await s.login(RIGHT)]).toEqual(["accepted", "accepted"]);
    expect(await s.login(RIGHT, 0, { first: false })).toBe("accepted");
    expect(await s.login(RIGHT)).toBe(Reason.ConnectionRateExceeded);
    expect(await s.login({ type: "accepted", identity: identityOf(undefined) })).toBe("accepted");
  });

  test("counts a user of the same name in another tenant apart, by what it came to and by what its token says", async () => {
    const limiter = new Counting(1);
    const s = scene({ CONNECT_LIMITER_USER: limiter });
    expect([await s.login(RIGHT), await s.login(RIGHT, 0, { tenant: "acme" })]).toEqual(["accepted", "accepted"]);
    const claimed: Answer = { type: "accepted", identity: { ...identityOf("alice"), tenant: "acme" } };
    expect(await s.login(claimed)).toBe(Reason.ConnectionRateExceeded);
    expect(limiter.keys).toEqual(["main/alice", "acme/alice", "acme/alice"]);
  });
});

describe("LOGIN_LIMITER_…", () => {
  test.each(["LOGIN_LIMITER_ADDRESS", "LOGIN_LIMITER_USER"] as const)(
    "%s: after too many wrong passwords nothing is computed, and right ones are never counted",
    async (name) => {
      const limiter = new Counting(3);
      const s = scene({ [name]: limiter });
      for (let count = 0; count < 50; count++) expect(await s.login(RIGHT)).toBe("accepted");
      expect(limiter.keys).toEqual([]);
      for (let count = 0; count < 4; count++) expect(await s.login(WRONG)).toBe(Reason.BadUserNameOrPassword);
      const { computed } = s;
      for (let count = 0; count < 1000; count++) expect(await s.login(RIGHT, 1)).toBe(Reason.ConnectionRateExceeded);
      expect(s.computed).toBe(computed);
      const other = name === "LOGIN_LIMITER_USER" ? { username: "bob" } : { address: "192.0.2.2" };
      expect(await s.login(RIGHT, 1, other)).toBe("accepted");
      // One more is computed then, and shuts it again.
      expect(await s.login(WRONG, SHUT_MS)).toBe(Reason.BadUserNameOrPassword);
      expect(await s.login(RIGHT, SHUT_MS)).toBe(Reason.ConnectionRateExceeded);
      expect(limiter.keys).toHaveLength(5);
    },
  );

  test("LOGIN_LIMITER_USER: wrong passwords in one tenant shut nobody out of another", async () => {
    const s = scene({ LOGIN_LIMITER_USER: new Counting(0) });
    await s.login(WRONG, 0, { tenant: "acme" });
    expect(await s.login(RIGHT, 1, { tenant: "acme" })).toBe(Reason.ConnectionRateExceeded);
    expect(await s.login(RIGHT, 1)).toBe("accepted");
  });

  test("what is not the client's fault is not counted", async () => {
    const limiter = new Counting(0);
    const s = scene({ LOGIN_LIMITER_ADDRESS: limiter, LOGIN_LIMITER_USER: limiter });
    await s.login({ type: "refused", reason: Reason.ServerUnavailable, detail: "no keys" });
    await s.login({ type: "continue", data: undefined });
    expect(limiter.keys).toEqual([]);
  });

  test("who is known goes on, however many others at its address guess", async () => {
    const limiter = new Counting(0);
    const { turnstile, login } = scene({ LOGIN_LIMITER_ADDRESS: limiter, LOGIN_LIMITER_USER: limiter });
    await login(WRONG);
    const identity = identityOf("alice");
    const doubt = { type: "current", identity } as const;
    const current = { type: "current", doubt, identity } as const;
    const comer = { tenant: "main", address: "192.0.2.1", first: false };
    expect(await turnstile.pass(doubt, comer, 1, () => current)).toBe(current);
    const client = { user: "alice", clientId: "c", claims: new Map() };
    const decide = { type: "decide", tenant: "main", client, needs: [] } as const;
    const decided = { type: "decided", allowed: [], seconds: 0 } as const;
    expect(await turnstile.pass(decide, comer, 1, () => decided)).toBe(decided);
  });

  test("what is remembered of guessers is bounded, whatever names they make up", async () => {
    const limiter: Limiter = { limit: () => Promise.resolve({ success: false }) };
    const s = scene({ LOGIN_LIMITER_ADDRESS: limiter, LOGIN_LIMITER_USER: limiter });
    for (let name = 0; name < 15_000; name++) await s.login(WRONG, name, { username: `${name}`, address: `${name}` });
    expect(s.turnstile.shut).toBe(10_000);
    await s.login(WRONG, 20_000, { username: "x".repeat(65_535) });
    expect(s.turnstile.shut).toBe(10_000);
  });
});

describe("ADMIN_LIMITER: an address that brings wrong admin tokens", () => {
  test("is not looked at for a while, whatever it brings then; others are", async () => {
    const limiter = new Counting(2);
    const turnstile = new Turnstile({ ADMIN_LIMITER: limiter });
    let looks = 0;
    const bring = (isRight: boolean, now: number, address: string | undefined = "192.0.2.1") =>
      turnstile.admin(address, now, () => {
        looks += 1;
        return isRight;
      });
    expect(await bring(true, 0)).toBe(true);
    expect(limiter.keys).toEqual([]);
    for (const at of [1, 2, 3]) expect(await bring(false, at)).toBe(false);
    expect([await bring(false, 4), await bring(true, 4)]).toEqual([undefined, undefined]);
    expect(looks).toBe(4);
    expect([await bring(true, 5, "192.0.2.2"), await bring(false, 5, "192.0.2.2")]).toEqual([true, false]);
    expect(await bring(false, 3 + SHUT_MS)).toBe(false);
    expect(await bring(true, 3 + SHUT_MS)).toBeUndefined();
    expect(await bring(true, 4 + 2 * SHUT_MS)).toBe(true);
    // Of IPv6 the first 64 bits count.
    for (const host of [1, 2, 3]) await bring(false, 6, `2001:db8::${host}`);
    expect(await bring(true, 7, "2001:db8::4")).toBeUndefined();
    // On this machine there is none.
    const counted = limiter.keys.length;
    expect(await turnstile.admin(undefined, 8, () => false)).toBe(false);
    expect(limiter.keys).toHaveLength(counted);
  });

  test("is not counted where there is no limiter, or one that is away", async () => {
    for (const turnstile of [new Turnstile({}), new Turnstile({ ADMIN_LIMITER: BROKEN })]) {
      for (const at of [0, 1, 2]) expect(await turnstile.admin("192.0.2.1", at, () => false)).toBe(false);
      expect(await turnstile.admin("192.0.2.1", 3, () => true)).toBe(true);
    }
  });

  test("does not keep it from connecting, and wrong passwords do not keep its admin out", async () => {
    const s = scene({ ADMIN_LIMITER: new Counting(0), LOGIN_LIMITER_ADDRESS: new Counting(0) });
    await s.turnstile.admin("192.0.2.1", 0, () => false);
    expect(await s.login(RIGHT, 1)).toBe("accepted");
    await s.login(WRONG, 2, { address: "192.0.2.2" });
    expect(await s.turnstile.admin("192.0.2.2", 3, () => true)).toBe(true);
  });
});

test("a limiter that fails limits nothing", async () => {
  const all = { CONNECT_LIMITER_ADDRESS: BROKEN, CONNECT_LIMITER_USER: BROKEN, LOGIN_LIMITER_ADDRESS: BROKEN };
  const s = scene({ ...all, LOGIN_LIMITER_USER: BROKEN });
  expect(await s.turnstile.address("192.0.2.1")).toBe(true);
  expect([await s.login(WRONG), await s.login(RIGHT)]).toEqual([Reason.BadUserNameOrPassword, "accepted"]);
});
