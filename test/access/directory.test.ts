/** What an isolate knows of the directory: how often it asks, what it forgets, and what it does while nobody answers. */
import { describe, expect, test, vi } from "vitest";
import { Directory, type DirectoryConfig, type DirectorySource } from "../../src/access/directory.ts";
import { Reception } from "../../src/access/reception.ts";
import { DirectoryAuthenticator } from "../../src/access/directory-authenticator.ts";
import type { Network } from "../../src/access/network.ts";
import { readConfig } from "../../src/config.ts";
import { identityOf } from "../../src/core/authentication/asking.ts";
import type { Identity, Verdict } from "../../src/core/authentication/identity.ts";
import { readPasswordHash } from "../../src/core/authentication/password-hash.ts";
import { OPEN_POLICY } from "../../src/core/authorization/policy.ts";
import type { Rule } from "../../src/core/authorization/rule.ts";
import type { Ban } from "../../src/core/bans/bans.ts";
import { Admission } from "../../src/core/connection/admission.ts";
import type { Change } from "../../src/core/directory/change.ts";
import { CHANGES_MAX, Directory as Kept } from "../../src/core/directory/directory.ts";
import { DirectoryStore } from "../../src/core/directory/store.ts";
import { cryptography } from "../../src/edge/cryptography.ts";
import type { Connect } from "../../src/mqtt/codec.ts";
import { Reason } from "../../src/mqtt/reason.ts";
import { MOSQUITTO, PASSWORD } from "../support/mosquitto-passwords.ts";
import { nodeSql } from "../support/node-sql.ts";
import { NO_ARRIVAL } from "../support/reception.ts";
import { usersWith } from "../support/users.ts";

const NOW = 1_700_000_000_000;
const FRESH_MS = 30_000;
const HASH = { hash: readPasswordHash(MOSQUITTO.once) };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const unavailable = expect.objectContaining({ reason: Reason.ServerUnavailable }) as Error;

/** A directory that may be away or hang, what it was asked, and an isolate that knows of it. */
class Site implements Network, DirectorySource {
  readonly kept = new Kept(new DirectoryStore(nodeSql(), () => cryptography.randomBytes(32)), cryptography);
  readonly asked: string[] = [];
  readonly deadlines: AbortController[] = [];
  mode: "there" | "away" | "hangs" = "there";
  work: Promise<void>[] = [];
  readonly directory: Directory;
  readonly authenticator: DirectoryAuthenticator;

  constructor(rules: readonly Rule[] = [], more: Omit<DirectoryConfig, "freshSeconds"> = {}) {
    this.directory = new Directory(this, { freshSeconds: FRESH_MS / 1000, ...more }, this, rules);
    this.authenticator = new DirectoryAuthenticator(this.directory, usersWith({ root: "pencil" }));
  }

  find(name: string) {
    return this.#answer(`find ${name}`, () => this.kept.find(name));
  }

  since(version: number | undefined) {
    return this.#answer(`since ${version}`, () => this.kept.since(version));
  }

  learn(...args: Parameters<DirectorySource["learn"]>) {
    return this.#answer(`learn ${args[0]}`, () => this.kept.learn(...args));
  }

  async #answer<T>(what: string, answer: () => T): Promise<T> {
    this.asked.push(what);
    if (this.mode === "away") throw new Error("away");
    if (this.mode === "hangs") await new Promise(() => {});
    return answer();
  }

  fetch(): Promise<Response> {
    throw new Error("nothing is fetched");
  }

  deadline(): AbortSignal {
    const controller = new AbortController();
    this.deadlines.push(controller);
    return controller.signal;
  }

  /** Whoever still waits has waited for too long. */
  expire(): void {
    for (const controller of this.deadlines.splice(0)) controller.abort();
  }

  keep(work: Promise<void>): void {
    this.work.push(work);
  }

  change(change: Change): void {
    this.kept.change(change, "me", NOW);
  }

  put(name: string): void {
    this.change({ type: "putUser", name, user: HASH });
  }

  async login(username: string, password: string, after = 0): Promise<Verdict> {
    const credentials = { arrival: NO_ARRIVAL, clientId: "c", username, password: bytes(password) };
    return await this.authenticator.authenticate(credentials, NOW + after);
  }

  async identity(username: string, after = 0): Promise<Identity> {
    const verdict = await this.login(username, PASSWORD, after);
    if (verdict.type !== "accepted") throw new Error(`${username} is ${verdict.type}`);
    return verdict.identity;
  }

  mayPublish(topic: string): boolean | undefined {
    return this.directory.policy.of({ ...identityOf(undefined), clientId: "c" }).mayPublish(topic, false);
  }
}

function receptionOn({ directory, authenticator }: Site): Reception {
  return new Reception({
    authenticators: [authenticator],
    mechanisms: [],
    policy: OPEN_POLICY,
    directory,
    allowAnonymous: false,
    clientIdsPerUser: true,
  });
}

const allow = (filter: string): Rule => ({ effect: "allow", actions: ["publish"], filter });

describe("rules", () => {
  test("are asked for once in a period, by all together, and come only if they are others", async () => {
    const site = new Site([allow("own")]);
    await Promise.all([1, 2, 3].map(() => site.directory.ready(NOW)));
    await site.directory.ready(NOW + FRESH_MS - 1);
    expect(site.asked).toEqual(["since undefined"]);
    expect([site.mayPublish("own"), site.mayPublish("a")]).toEqual([true, false]);
    const { policy } = site.directory;
    await site.directory.ready(NOW + FRESH_MS);
    expect(site.directory.policy).toBe(policy);
    site.change({ type: "addRule", rule: allow("a") });
    await site.directory.ready(NOW + 2 * FRESH_MS - 1);
    expect(site.mayPublish("a")).toBe(false);
    await site.directory.ready(NOW + 2 * FRESH_MS);
    expect([site.mayPublish("own"), site.mayPublish("a")]).toEqual([true, true]);
    expect(site.asked).toEqual(["since undefined", "since 0", "since 0"]);
    expect(site.directory.freshUntil).toBe(NOW + 3 * FRESH_MS);
  });

  test("of a directory that is away let nobody new in if nothing is known, and soon somebody when it is back", async () => {
    const site = new Site();
    site.mode = "away";
    await expect(site.directory.ready(NOW)).rejects.toThrow(unavailable);
    await expect(site.directory.ready(NOW + 999)).rejects.toThrow(unavailable);
    expect(site.asked).toHaveLength(1);
    site.mode = "there";
    await site.directory.ready(NOW + 1_000);
  });

  test("that are known go on while it is away, for an hour", async () => {
    const site = new Site();
    await site.directory.ready(NOW);
    site.mode = "away";
    await site.directory.ready(NOW + FRESH_MS);
    await site.directory.ready(NOW + 3_599_999);
    await expect(site.directory.ready(NOW + 3_600_000)).rejects.toThrow(unavailable);
  });

  test("of a directory that hangs are waited for once, and then not for a while", async () => {
    const site = new Site();
    await site.directory.ready(NOW);
    site.mode = "hangs";
    const both = [site.directory.ready(NOW + FRESH_MS), site.directory.ready(NOW + FRESH_MS)];
    site.expire();
    await Promise.all(both);
    await site.directory.ready(NOW + FRESH_MS + 9_999);
    expect(site.asked).toHaveLength(2);
    const later = site.directory.ready(NOW + FRESH_MS + 10_000);
    site.expire();
    await later;
    expect(site.asked).toHaveLength(3);
  });
});

describe("bans", () => {
  const ban: Ban = { type: "clientId", value: "c", until: undefined, why: undefined };

  test("come with the rules, by the same question, and only if they are others", async () => {
    const site = new Site();
    expect(site.directory.bans).toBeUndefined();
    await site.directory.ready(NOW);
    const before = site.directory.bans;
    expect(before?.size).toBe(0);
    site.change({ type: "addRule", rule: allow("a") });
    await site.directory.ready(NOW + FRESH_MS);
    expect(site.directory.bans).toBe(before);
    site.change({ type: "addBan", ban });
    await site.directory.ready(NOW + 2 * FRESH_MS - 1);
    expect(site.directory.bans?.find({ clientId: "c" }, NOW)).toBeUndefined();
    await site.directory.ready(NOW + 2 * FRESH_MS);
    expect(site.directory.bans?.find({ clientId: "c" }, NOW)).toEqual(ban);
    site.change({ type: "deleteBan", id: 1 });
    await site.directory.ready(NOW + 3 * FRESH_MS);
    expect(site.directory.bans?.size).toBe(0);
    expect(site.asked).toEqual(["since undefined", "since 0", "since 1", "since 2"]);
  });

  test("cost a login no call of their own, and who is turned away by them costs none", async () => {
    const site = new Site();
    site.change({ type: "addBan", ban });
    for (const name of ["alice", "bob"]) site.put(name);
    const reception = receptionOn(site);
    const login = (username: string) => {
      const credentials = { arrival: NO_ARRIVAL, clientId: "other", username, password: bytes(PASSWORD) };
      return reception.answer({ type: "identify", credentials }, NOW);
    };
    expect(await login("alice")).toMatchObject({ type: "accepted" });
    expect(await login("bob")).toMatchObject({ type: "accepted" });
    const calls = site.asked.filter((what) => !what.startsWith("learn"));
    expect(calls).toEqual(["find alice", "since undefined", "find bob"]);
    site.asked.length = 0;
    const admission = new Admission({ access: reception, arrival: NO_ARRIVAL, tenant: "main" });
    const connect = { clientId: "c", version: 5 } as Connect;
    expect(() => admission.connect(connect, "", NOW)).toThrow(expect.objectContaining({ reason: Reason.Banned }));
    expect(site.asked).toEqual([]);
  });

  test("are asked for when somebody is refused, who does not wait for that", async () => {
    const site = new Site();
    const reception = receptionOn(site);
    const guess = (after: number) => {
      const credentials = { arrival: NO_ARRIVAL, clientId: "c", username: "alice", password: bytes("eraser") };
      return reception.answer({ type: "identify", credentials }, NOW + after);
    };
    expect(await guess(0)).toMatchObject({ type: "refused" });
    await Promise.all(site.work);
    expect(reception.bans?.size).toBe(0);
    site.change({ type: "addBan", ban });
    for (const after of [1, 2, FRESH_MS, FRESH_MS + 1]) expect(await guess(after)).toMatchObject({ type: "refused" });
    await Promise.all(site.work);
    expect(reception.bans?.size).toBe(1);
    expect(site.asked.filter((what) => what.startsWith("since"))).toEqual(["since undefined", "since 0"]);
  });
});

describe("a user", () => {
  test("is looked up once in a period, and each time that a password is wrong", async () => {
    const site = new Site();
    site.put("alice");
    await site.identity("alice");
    await Promise.all(site.work);
    site.asked.length = 0;
    await site.identity("alice", 1);
    await site.identity("alice", 2);
    expect(site.asked).toEqual(["find alice"]);
    expect((await site.login("alice", "eraser", 3)).type).toBe("refused");
    expect((await site.login("nobody", "eraser", 3)).type).toBe("passed");
    expect((await site.login("nobody", "eraser", 4)).type).toBe("passed");
    expect((await site.login("root", "eraser", 5)).type).toBe("refused");
    expect((await site.login("root", "pencil", 6)).type).toBe("accepted");
    expect(site.asked).toEqual(["find alice", "find alice", "find nobody", "find nobody", "find root"]);
  });

  test("that was looked up first is forgotten first, where only so many are kept", async () => {
    const site = new Site([], { keptMax: 2 });
    for (const name of ["alice", "bob", "carol"]) await site.directory.find(name, NOW);
    const known = ["alice", "bob", "carol"].map((name) => site.directory.known(name, NOW) !== undefined);
    expect(known).toEqual([false, true, true]);
  });

  test("that cannot be looked up is a line of the log, with the tenant", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const site = new Site([], { tenant: "acme" });
    site.mode = "away";
    await expect(site.directory.find("alice", NOW)).rejects.toEqual(unavailable);
    expect(warn.mock.calls).toEqual([['{"event":"directory away","tenant":"acme","detail":"away"}']]);
    warn.mockRestore();
  });

  test("who has just come, or has another password, is known at once", async () => {
    const site = new Site();
    expect((await site.login("alice", PASSWORD)).type).toBe("passed");
    site.put("alice");
    expect((await site.login("alice", PASSWORD, 1)).type).toBe("accepted");
    site.change({ type: "putUser", name: "alice", user: { hash: readPasswordHash(MOSQUITTO.spaced) } });
    expect((await site.login("alice", "grün µ€ ", 2)).type).toBe("accepted");
  });

  test("with an outdated hash gets another one and a verifier, once", async () => {
    const site = new Site();
    site.put("alice");
    await site.identity("alice");
    await Promise.all(site.work);
    expect(site.kept.user("alice")?.user).toMatchObject({ hash: { type: "pbkdf2" }, verifier: { iterations: 10_000 } });
    await site.identity("alice", 1);
    await site.identity("alice", FRESH_MS);
    expect(site.asked.filter((what) => what.startsWith("learn"))).toHaveLength(1);
  });

  test("who cannot be looked up is refused, if it is not known, and else comes in", async () => {
    const site = new Site();
    site.put("alice");
    await site.identity("alice");
    await Promise.all(site.work);
    await site.identity("alice", 1);
    site.mode = "away";
    await site.identity("alice", FRESH_MS + 1);
    await expect(site.login("bob", PASSWORD)).rejects.toThrow(unavailable);
    await expect(site.login("alice", PASSWORD, 3_600_001)).rejects.toThrow(unavailable);
    expect((await site.login("root", "pencil")).type).toBe("accepted");
    expect((await site.login("root", "eraser")).type).toBe("refused");
  });

  test.each(["a:b", "x".repeat(101), "", "\u0000"])("that cannot be is not asked for: %j", async (name) => {
    const site = new Site();
    expect((await site.login(name, "x")).type).toBe("passed");
    expect(site.asked).toEqual([]);
  });
});

describe("a client that is in", () => {
  async function inside() {
    const site = new Site();
    for (const name of ["alice", "bob"]) site.put(name);
    await site.directory.ready(NOW);
    const [alice, bob] = [await site.identity("alice"), await site.identity("bob")];
    await Promise.all(site.work);
    site.asked.length = 0;
    return { site, alice, bob };
  }

  test("is still who it was, and nobody is asked again within the period", async () => {
    const { site, alice, bob } = await inside();
    expect(await site.directory.current(alice, NOW + FRESH_MS)).toEqual(alice);
    expect(await site.directory.current(bob, NOW + FRESH_MS)).toEqual(bob);
    expect(site.asked).toEqual(["since 2"]);
  });

  test.each<[string, Change]>([
    ["has another password", { type: "putUser", name: "alice", user: HASH }],
    ["is gone", { type: "deleteUser", name: "alice" }],
  ])("is not if its user %s; others are", async (_what, change) => {
    const { site, alice, bob } = await inside();
    site.change(change);
    expect(await site.directory.current(alice, NOW + FRESH_MS)).toBeUndefined();
    expect(await site.directory.current(bob, NOW + FRESH_MS)).toMatchObject({ user: "bob", asOf: 3 });
    expect(site.asked).toEqual(["since 2"]);
  });

  test("by a new password is, though the isolate hears of the change later", async () => {
    const { site, alice } = await inside();
    site.put("alice");
    site.put("bob");
    const again = await site.identity("alice", 1_000);
    expect(await site.directory.current(again, NOW + FRESH_MS)).toMatchObject({ user: "alice", asOf: 4 });
    expect(await site.directory.current(alice, NOW + FRESH_MS)).toBeUndefined();
  });

  test("is looked up where more changed than is remembered", async () => {
    const { site, alice, bob } = await inside();
    const many = Array.from({ length: CHANGES_MAX + 1 }, (_, at) => [`user-${at}`, HASH] as const);
    site.change({ type: "importUsers", users: [...many, ["bob", HASH]] });
    expect(await site.directory.current(alice, NOW + FRESH_MS)).toMatchObject({ asOf: CHANGES_MAX + 4 });
    expect(await site.directory.current(bob, NOW + FRESH_MS)).toBeUndefined();
    expect(site.asked).toEqual(["since 2", "find alice", "find bob"]);
  });

  test("goes on as it is while nobody answers", async () => {
    const { site, alice } = await inside();
    site.mode = "away";
    expect(await site.directory.current(alice, NOW + 100 * FRESH_MS)).toEqual(alice);
  });

  test("of the settings, or of a token, is nothing to the directory", async () => {
    const { site } = await inside();
    site.change({ type: "deleteUser", name: "alice" });
    const token = identityOf("alice");
    expect(await site.directory.current(token, NOW + FRESH_MS)).toBe(token);
  });
});

describe("the settings", () => {
  const token = "t".repeat(32);
  const directory = (env: Record<string, string>) => readConfig(env).access.directory;

  test("ask the directory where there is an admin, or as they say", () => {
    expect(directory({})).toBeUndefined();
    expect(directory({ ADMIN_TOKEN: token })).toEqual({ freshSeconds: 30 });
    expect(directory({ ADMIN_TOKEN: token, DIRECTORY: "false" })).toBeUndefined();
    expect(directory({ DIRECTORY: "true", POLICY_SECONDS: "5" })).toEqual({ freshSeconds: 5 });
  });

  test.each([
    ["ADMIN_TOKEN", "t".repeat(31)],
    ["ADMIN_TOKEN", `${token} x`],
    ["ADMIN_TOKEN", ""],
    ["ADMIN_TOKEN", "ü".repeat(32)],
  ])("%s %j is an error that does not show it", (name, value) => {
    expect(() => readConfig({ [name]: value })).toThrow(
      "ADMIN_TOKEN is wrong: it must have at least 32 characters, all of them of ASCII, and no blanks",
    );
  });

  test.each([
    ["POLICY_SECONDS", "0", "it must be at least 1"],
    ["POLICY_SECONDS", "3601", "it must be at most 3600"],
    ["DIRECTORY", "yes", 'it must be "true" or "false"'],
  ])("%s=%s is an error", (name, value, message) => {
    expect(() => readConfig({ [name]: value })).toThrow(`${name} is "${value}": ${message}`);
  });
});
