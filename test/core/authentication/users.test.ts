/** `USERS` and `ALLOW_ANONYMOUS`, as `readConfig` takes them. */
import { describe, expect, test } from "vitest";
import { readConfig } from "../../../src/config.ts";
import { Reason } from "../../../src/mqtt/reason.ts";
import { identify } from "../../support/reception.ts";
import { usersSetting } from "../../support/users.ts";

const users = usersSetting({ alice: "pencil", zoë: "eraser" });
const password = (text: string): Uint8Array => new TextEncoder().encode(text);
const anonymous = { username: undefined, password: undefined };
const notAuthorized = expect.objectContaining({ reason: Reason.NotAuthorized }) as Error;
const badPassword = expect.objectContaining({ reason: Reason.BadUserNameOrPassword }) as Error;

describe("USERS", () => {
  test("names who may connect, and with what password", () => {
    expect(identify({ USERS: users }, { username: "alice", password: password("pencil") })).toBe("alice");
    expect(identify({ USERS: users }, { username: "zoe\u0308", password: password("eraser") })).toBe("zoë");
    expect(() => identify({ USERS: users }, { username: "alice", password: password("eraser") })).toThrow(badPassword);
    expect(() => identify({ USERS: users }, anonymous)).toThrow(notAuthorized);
  });

  test("absent, with all else that says who may connect, nobody may", () => {
    expect(() => identify({}, anonymous)).toThrow(notAuthorized);
    expect(() => identify({}, { username: "alice", password: password("x") })).toThrow(notAuthorized);
    expect(() => identify({ ALLOW_ANONYMOUS: "false" }, anonymous)).toThrow(notAuthorized);
    expect(() => identify({ ACL: "topic #" }, anonymous)).toThrow(notAuthorized);
  });

  const entry = JSON.parse(users).alice as Record<string, unknown>;
  const changed = (change: Record<string, unknown>): string =>
    JSON.stringify({ alice: entry, bob: { ...entry, ...change } });

  test.each([
    ["", "it must be a JSON object"],
    ["alice:pencil", "it must be a JSON object"],
    ["[]", "it must be a JSON object"],
    ["{}", "it must have at least one user"],
    ['{"alice":"pencil"}', "it has an error in its entry 1: it must be an object"],
    [changed({ salt: "AAAA" }), "it has an error in its entry 2: salt must be 8 to 32 bytes in base 64"],
    [changed({ salt: 7 }), "it has an error in its entry 2: salt must be a string"],
    [
      changed({ iterations: 4095 }),
      "it has an error in its entry 2: iterations must be a whole number from 4096 to 100000",
    ],
    [
      changed({ iterations: "4096" }),
      "it has an error in its entry 2: iterations must be a whole number from 4096 to 100000",
    ],
    [changed({ storedKey: undefined }), "it has an error in its entry 2: storedKey must be a string"],
    [changed({ serverKey: "no" }), "it has an error in its entry 2: serverKey must be 32 bytes in base 64"],
    [JSON.stringify({ "a:b": entry }), "it has an error in its entry 1: the name must not contain a colon"],
    [JSON.stringify({ "": entry }), "it has an error in its entry 1: the name must have 1 to 100 bytes"],
    [JSON.stringify({ ["x".repeat(101)]: entry }), "it has an error in its entry 1: the name must have 1 to 100 bytes"],
    [
      JSON.stringify({ "e\u0301": entry }),
      "it has an error in its entry 1: the name must be written as SASLprep (RFC 4013) leaves it",
    ],
  ])("%s is an error that shows neither name nor key", (value, message) => {
    expect(() => readConfig({ USERS: value })).toThrow(`USERS is wrong: ${message}`);
  });
});

describe("ALLOW_ANONYMOUS", () => {
  test("lets clients in that say nothing of themselves", () => {
    const env = { USERS: users, ALLOW_ANONYMOUS: "true" };
    expect(identify(env, anonymous)).toBeUndefined();
    expect(() => identify(env, { username: "alice", password: undefined })).toThrow(badPassword);
  });

  test("without users lets everybody in, whatever they say of themselves", () => {
    expect(identify({ ALLOW_ANONYMOUS: "true" }, anonymous)).toBeUndefined();
    expect(identify({ ALLOW_ANONYMOUS: "true" }, { username: "alice", password: password("x") })).toBeUndefined();
  });

  test("is false unless it is said", () => {
    expect(() => identify({ USERS: users }, anonymous)).toThrow(notAuthorized);
    expect(() => identify({ USERS: users, ALLOW_ANONYMOUS: "false" }, anonymous)).toThrow(notAuthorized);
  });

  test("is true or false", () => {
    expect(() => readConfig({ ALLOW_ANONYMOUS: "yes" })).toThrow(
      'ALLOW_ANONYMOUS is "yes": it must be "true" or "false"',
    );
  });
});
