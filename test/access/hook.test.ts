/** What a hook may say of a client, and what becomes of a client of whom it says anything else. */

import { describe, expect, test } from "vitest";
import { Hook } from "../../src/access/hook.ts";
import { HookAuthenticator } from "../../src/access/hook-authenticator.ts";
import { HookAuthorizer } from "../../src/access/hook-authorizer.ts";
import type { Network } from "../../src/access/network.ts";
import { readConfig } from "../../src/config.ts";
import type { Decide } from "../../src/core/authentication/asking.ts";
import type { Credentials, Verdict } from "../../src/core/authentication/identity.ts";
import { Reason } from "../../src/mqtt/reason.ts";
import { NO_ARRIVAL, NO_NETWORK } from "../support/reception.ts";

const NOW = 1_800_000_000_000;
const CREDENTIALS: Credentials = {
  arrival: NO_ARRIVAL,
  clientId: "client",
  username: "meter-7",
  password: new Uint8Array([0, 0xff]),
};

const authorize = () => Promise.reject(new Error("nobody may ask that"));

/** What a broker makes of this answer of a Worker that is bound to it. */
async function judged(answer: unknown, more: Partial<Credentials> = {}): Promise<Verdict> {
  const service = { authenticate: () => Promise.resolve(answer), authorize };
  const hook = new Hook({ at: { service }, secondsMax: 3 }, NO_NETWORK);
  return await new HookAuthenticator(hook, "main").authenticate({ ...CREDENTIALS, ...more }, NOW);
}

const accepted = (identity: object) =>
  expect.objectContaining({ type: "accepted", identity: expect.objectContaining(identity) as object });
const wrong = (detail: string) => ({
  type: "refused",
  reason: Reason.ServerUnavailable,
  detail: expect.stringContaining(detail) as string,
});

describe("an answer", () => {
  test("that allows says who it is, for how long and what it may", async () => {
    const answer = {
      result: "allow",
      user: "mill",
      clientId: "client",
      expiresAt: NOW + 1,
      rules: { pub: ["a/${username}/#"] },
      claims: { site: "north", floor: 7, open: true },
    };
    expect(await judged(answer)).toEqual({
      type: "accepted",
      identity: {
        user: "mill",
        clientId: "client",
        expiresAt: NOW + 1,
        tenant: undefined,
        rules: [{ effect: "allow", actions: ["publish", "retain", "will"], filter: "a/%u/#" }],
        claims: new Map([
          ["site", "north"],
          ["floor", "7"],
          ["open", "true"],
        ]),
      },
    });
  });

  test("without a user is about who the client says it is", async () => {
    expect(await judged({ result: "allow" })).toEqual(accepted({ user: "meter-7" }));
    expect(await judged({ result: "allow" }, { username: undefined })).toEqual(accepted({ user: undefined }));
    expect(await judged({ result: "allow" }, { username: "ade\u0301le" })).toEqual(accepted({ user: "adéle" }));
    expect(await judged({ result: "allow" }, { username: "a:b" })).toEqual(wrong("it has no user"));
  });

  test("that denies is what the client is told, and why is in the log", async () => {
    expect(await judged({ result: "deny", reason: 'not "paid"\n' })).toEqual({
      type: "refused",
      reason: Reason.BadUserNameOrPassword,
      detail: String.raw`hook: denied: "not \"paid\"\n"`,
    });
    expect(await judged({ result: "deny" }, { password: undefined })).toMatchObject({ reason: Reason.NotAuthorized });
    expect(await judged({ result: "deny", reason: "x".repeat(1000) })).toMatchObject({
      detail: `hook: denied: "${"x".repeat(200)}"`,
    });
  });

  test("that ignores leaves the client to others", async () => {
    expect(await judged({ result: "ignore" })).toEqual({ type: "passed" });
  });

  test("about what is over refuses", async () => {
    expect(await judged({ result: "allow", expiresAt: NOW })).toMatchObject({ reason: Reason.NotAuthorized });
  });

  test.each<[unknown]>([
    [undefined],
    [null],
    [true],
    ["allow"],
    [[]],
    [{}],
    [{ result: "Allow" }],
    [{ result: true }],
    [{ result: "allow", admin: true }],
    [{ result: "allow", expires: NOW + 1 }],
    [{ result: "allow", user: "" }],
    [{ result: "allow", user: 7 }],
    [{ result: "allow", user: null }],
    [{ result: "allow", user: "a:b" }],
    [{ result: "allow", user: "ａｄｍｉｎ" }],
    [{ result: "allow", user: "u".repeat(101) }],
    [{ result: "allow", clientId: "" }],
    [{ result: "allow", clientId: "a\0" }],
    [{ result: "allow", clientId: "\ud800" }],
    [{ result: "allow", expiresAt: "2027-01-01" }],
    [{ result: "allow", expiresAt: -1 }],
    [{ result: "allow", expiresAt: Number.NaN }],
    [{ result: "allow", expiresAt: Infinity }],
    [{ result: "allow", expiresAt: 1e300 }],
    [{ result: "allow", rules: { pub: ["a/#/b"] } }],
    [{ result: "allow", rules: { publish: ["a"] } }],
    [{ result: "allow", rules: null }],
    [
      {
        result: "allow",
        rules: Array.from({ length: 101 }, () => ({ permission: "allow", action: "all", topic: "a" })),
      },
    ],
    [{ result: "allow", claims: { a: { b: "c" } } }],
    [{ result: "allow", claims: Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`c${at}`, "x"])) }],
    [{ result: "deny", reason: 7 }],
    [{ result: "deny", user: "a" }],
    [{ result: "ignore", user: "a" }],
  ])("of another form refuses: %j", async (answer) => {
    expect(await judged(answer)).toEqual(wrong("its answer is wrong"));
  });

  test("that is thrown refuses, without its words", async () => {
    const service = { authenticate: () => Promise.reject(new TypeError("the password is pencil")), authorize };
    const hook = new HookAuthenticator(new Hook({ at: { service }, secondsMax: 3 }, NO_NETWORK), "main");
    expect(await hook.authenticate(CREDENTIALS, NOW)).toEqual({
      ...wrong("it throws TypeError"),
      detail: "hook: it throws TypeError",
    });
  });

  test("that does not come refuses in time", async () => {
    const waited: number[] = [];
    const network: Network = {
      ...NO_NETWORK,
      deadline: (milliseconds) => {
        waited.push(milliseconds);
        return AbortSignal.timeout(1);
      },
    };
    const service = { authenticate: () => new Promise(() => {}), authorize };
    const hook = new HookAuthenticator(new Hook({ at: { service }, secondsMax: 7 }, network), "main");
    expect(await hook.authenticate(CREDENTIALS, NOW)).toEqual(wrong("within 7 s"));
    expect(waited).toEqual([7000]);
  });
});

test("it is told all that is known of a client, in members that are always there", async () => {
  const asked: object[] = [];
  const service = {
    authenticate: (request: object) => {
      asked.push(request);
      return Promise.resolve({ result: "ignore" });
    },
    authorize,
  };
  const hook = new HookAuthenticator(new Hook({ at: { service }, secondsMax: 3 }, NO_NETWORK), "acme");
  await hook.authenticate(CREDENTIALS, NOW);
  const certificate = { commonName: undefined, fingerprint: "ab", expiresAt: NOW };
  const arrival = { address: "192.0.2.1", token: "t", certificate, tenant: "acme" };
  await hook.authenticate({ arrival, clientId: "c", username: undefined, password: undefined }, NOW);
  expect(asked).toEqual([
    {
      tenant: "acme",
      username: "meter-7",
      password: "AP8=",
      clientId: "client",
      address: null,
      token: null,
      certificate: null,
    },
    {
      tenant: "acme",
      username: null,
      password: null,
      clientId: "c",
      address: "192.0.2.1",
      token: "t",
      certificate: { commonName: null, fingerprint: "ab", expiresAt: NOW },
    },
  ]);
});

describe("settings", () => {
  const SECRET = "0123456789abcdef";

  test.each<[Record<string, unknown>, string]>([
    [{ HOOK_URL: "http://auth.example/" }, "HOOK_URL is wrong: it must be an https URL"],
    [{ HOOK_URL: "https://u:p@auth.example/" }, "HOOK_URL is wrong: it must be an https URL"],
    [{ HOOK_URL: "auth.example" }, "HOOK_URL is wrong: it must be an https URL"],
    [{ HOOK_URL: "https://auth.example", HOOK_SECRET: "short" }, "HOOK_SECRET is wrong: it must be 16 to 1024"],
    [{ HOOK_URL: "https://auth.example", HOOK_SECRET: `${SECRET}\n` }, "HOOK_SECRET is wrong: it must be 16 to 1024"],
    [{ HOOK_SECRET: SECRET }, "HOOK_SECRET is set: it needs HOOK_URL"],
    [{ HOOK: { authenticate() {} }, HOOK_SECRET: SECRET }, "HOOK_SECRET is set: it needs HOOK_URL"],
    [{ HOOK: { authenticate() {} }, HOOK_URL: "https://auth.example" }, "HOOK_URL is set: it must not be with HOOK"],
    [{ HOOK_AUTHORIZE: "true" }, "HOOK_AUTHORIZE is set: it needs HOOK_URL or HOOK"],
    [{ HOOK_URL: "https://auth.example", HOOK_AUTHORIZE: "yes" }, 'it must be "true" or "false"'],
    [{ HOOK_URL: "https://auth.example", HOOK_CACHE_SECONDS: "3601" }, "HOOK_CACHE_SECONDS"],
    [{ HOOK: "a name" }, "it must be a service binding"],
    [{ HOOK_URL: "https://auth.example", HOOK_SECONDS_MAX: "0" }, "HOOK_SECONDS_MAX"],
    [{ HOOK_URL: "https://auth.example", HOOK_SECONDS_MAX: "31" }, "HOOK_SECONDS_MAX"],
  ])("%o are an error", (env, message) => {
    expect(() => readConfig(env)).toThrow(message);
  });

  test("that say nothing of a hook have none", () => {
    expect(readConfig({}).access.hook).toBeUndefined();
    expect(readConfig({ HOOK_URL: "http://127.0.0.1:1/hook" }).access.hook).toEqual({
      at: { url: "http://127.0.0.1:1/hook", secret: undefined },
      secondsMax: 3,
      authorizes: false,
      cacheSeconds: 60,
    });
  });
});

describe("what it says of topics", () => {
  const question: Decide = {
    type: "decide",
    tenant: "acme",
    client: { user: undefined, clientId: "c", claims: new Map([["site", "north"]]) },
    needs: [
      { action: "publish", filter: "a" },
      { action: "subscribe", filter: "b/#" },
    ],
  };

  async function decided(answer: unknown): Promise<unknown> {
    const service = { authenticate: authorize, authorize: () => Promise.resolve(answer) };
    return await new HookAuthorizer(new Hook({ at: { service }, secondsMax: 3 }, NO_NETWORK), 60).authorize(question);
  }

  test("is one word for each", async () => {
    expect(await decided({ results: ["deny", "allow"] })).toEqual({
      type: "decided",
      allowed: [false, true],
      seconds: 60,
    });
  });

  test.each<[unknown]>([
    [undefined],
    [{}],
    [{ results: [] }],
    [{ results: ["allow"] }],
    [{ results: ["allow", "allow", "allow"] }],
    [{ results: ["allow", true] }],
    [{ results: "allow" }],
    [{ results: { 0: "allow", 1: "allow", length: 2 } }],
    [{ results: ["allow", "allow"], more: 1 }],
    [{ result: "allow" }],
  ])("allows nothing in another form: %j", async (answer) => {
    expect(await decided(answer)).toEqual({
      type: "decided",
      allowed: [],
      seconds: 5,
      problem: "hook: its answer is wrong",
    });
  });

  test("is asked with who the client is and all that it wants", async () => {
    let asked: object | undefined;
    const service = {
      authenticate: authorize,
      authorize: (request: object) => {
        asked = request;
        return Promise.reject(new Error("x"));
      },
    };
    const authorizer = new HookAuthorizer(new Hook({ at: { service }, secondsMax: 3 }, NO_NETWORK), 60);
    expect(await authorizer.authorize(question)).toMatchObject({ allowed: [], problem: "hook: it throws Error" });
    expect(asked).toEqual({
      tenant: "acme",
      user: null,
      clientId: "c",
      claims: { site: "north" },
      requests: [
        { action: "publish", topic: "a" },
        { action: "subscribe", topic: "b/#" },
      ],
    });
  });
});
