/** Users, rules and bans that are kept: what is found, what is said to have changed, what a change does and leaves behind. */
import { describe, expect, test } from "vitest";
import { accepts } from "../../../src/core/authentication/candidate.ts";
import { ITERATIONS, readPasswordHash } from "../../../src/core/authentication/password-hash.ts";
import type { Rule } from "../../../src/core/authorization/rule.ts";
import type { Ban } from "../../../src/core/bans/bans.ts";
import {
  AUDIT_MAX,
  BANS_MAX,
  CHANGES_MAX,
  Directory,
  type Found,
  RULES_MAX,
} from "../../../src/core/directory/directory.ts";
import { keep } from "../../../src/core/directory/keeping.ts";
import { DirectoryStore } from "../../../src/core/directory/store.ts";
import { SCHEMA_VERSION } from "../../../src/core/schema.ts";
import { cryptography } from "../../../src/edge/cryptography.ts";
import { MOSQUITTO, PASSWORD } from "../../support/mosquitto-passwords.ts";
import { nodeSql, type NodeSql } from "../../support/node-sql.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const rule = (filter: string): Rule => ({ effect: "allow", actions: ["publish"], filter });
const HASHED = { hash: readPasswordHash(MOSQUITTO.default) };

/** What SCRAM shows of a name before anything is proven. */
function shown({ verifier: { salt, iterations } }: Found): string {
  return `${Buffer.from(salt).toString("hex")} ${iterations}`;
}

class Site {
  readonly sql: NodeSql = nodeSql();
  directory = this.#open();

  restart(): void {
    this.directory = this.#open();
  }

  put(name: string, password: string, only?: "create" | "replace") {
    const { salt } = this.directory.find(name).verifier;
    const user = keep(bytes(password), salt, cryptography);
    return this.directory.change({ type: "putUser", name, user, ...(only && { only }) }, "me", 1_000);
  }

  login(found: Found, password: string): boolean {
    return accepts(found, bytes(password), cryptography, ITERATIONS) !== undefined;
  }

  #open(): Directory {
    return new Directory(new DirectoryStore(this.sql, () => cryptography.randomBytes(32)), cryptography);
  }
}

describe("a user", () => {
  test("is found with what is kept of the password, also after a restart", () => {
    const site = new Site();
    expect(site.put("alice", "pencil")).toEqual({ type: "done", created: 1, replaced: 0, id: undefined });
    site.restart();
    const found = site.directory.find("alice");
    expect(found).toMatchObject({ name: "alice", known: true, provable: true, version: 1, passwordVersion: 1 });
    expect(site.login(found, "pencil")).toBe(true);
    expect(site.login(found, "eraser")).toBe(false);
  });

  test("is there once, is changed only if it is there, and goes", () => {
    const { directory, ...site } = new Site();
    const change = (only?: "create" | "replace") =>
      directory.change({ type: "putUser", name: "alice", user: HASHED, ...(only && { only }) }, "me", 5);
    expect(change("replace")).toEqual({ type: "absent" });
    expect(change("create")).toMatchObject({ created: 1 });
    expect(change("create")).toEqual({ type: "present" });
    expect(change("replace")).toMatchObject({ created: 0, replaced: 1 });
    expect(directory.user("alice")).toMatchObject({ version: 2, createdAt: 5, changedAt: 5 });
    expect(directory.change({ type: "deleteUser", name: "alice" }, "me", 6)).toMatchObject({ type: "done" });
    expect(directory.change({ type: "deleteUser", name: "alice" }, "me", 7)).toEqual({ type: "absent" });
    expect(directory.find("alice")).toMatchObject({ known: false, version: 3 });
    site.sql.close();
  });

  test("of a hash alone learns a verifier of the password that was right, and keeps its version", () => {
    const site = new Site();
    const { directory } = site;
    directory.change({ type: "putUser", name: "carol", user: HASHED }, "me", 0);
    const before = directory.find("carol");
    expect(before).toMatchObject({ known: true, provable: false });
    expect(site.login(before, PASSWORD)).toBe(true);
    const learned = keep(bytes(PASSWORD), before.verifier.salt, cryptography);
    expect(directory.learn("carol", before.passwordVersion, learned)).toBe(true);
    const after = directory.find("carol");
    expect(after).toMatchObject({ provable: true, version: before.version, passwordVersion: before.passwordVersion });
    expect(shown(after)).toEqual(shown(before));
    expect(site.login(after, PASSWORD)).toBe(true);
    expect(directory.since(before.version)).toEqual({ version: before.version, rules: undefined, users: [] });
  });

  test("that has another password meanwhile, or is gone, learns nothing", () => {
    const site = new Site();
    const { directory } = site;
    directory.change({ type: "putUser", name: "carol", user: HASHED }, "me", 0);
    const { passwordVersion } = directory.find("carol");
    site.put("carol", "new");
    expect(directory.learn("carol", passwordVersion, HASHED)).toBe(false);
    expect(site.login(directory.find("carol"), "new")).toBe(true);
    directory.change({ type: "deleteUser", name: "carol" }, "me", 0);
    expect(directory.learn("carol", 2, HASHED)).toBe(false);
    expect(directory.user("carol")).toBeUndefined();
  });
});

describe("a name that nobody has", () => {
  test("looks like a user, the same each time, and nobody has its password", () => {
    const site = new Site();
    site.put("alice", "pencil");
    const once = site.directory.find("nobody");
    site.restart();
    const again = site.directory.find("nobody");
    expect(again).toMatchObject({ known: false, provable: false, passwordVersion: 0 });
    expect(shown(again)).toEqual(shown(once));
    expect(once.verifier.salt).toHaveLength(16);
    expect(site.login(again, "pencil")).toBe(false);
    expect(shown(site.directory.find("nobody else"))).not.toEqual(shown(once));
  });

  test("shows SCRAM the same before a user has it, with each password, and after", () => {
    const site = new Site();
    const present = () => shown(site.directory.find("alice"));
    const never = present();
    site.put("alice", "pencil");
    expect(present()).toEqual(never);
    site.put("alice", "eraser");
    expect(present()).toEqual(never);
    site.directory.change({ type: "deleteUser", name: "alice" }, "me", 0);
    expect(present()).toEqual(never);
  });

  test("is like any of the users, each about as often", () => {
    const site = new Site();
    const users = Array.from({ length: 40 }, (_, at) => [`user-${at}`, at % 2 ? HASHED : keepOnce()] as const);
    site.directory.change({ type: "importUsers", users }, "me", 0);
    const names = Array.from({ length: 400 }, (_, at) => `nobody-${at}`);
    const hashed = names.filter((name) => site.directory.find(name).user.verifier === undefined).length;
    // Places of users are drawn: half of the circle belongs to either kind, give or take.
    expect(hashed).toBeGreaterThan(40);
    expect(hashed).toBeLessThan(360);
  });
});

let kept: ReturnType<typeof keep> | undefined;
function keepOnce(): ReturnType<typeof keep> {
  return (kept ??= keep(bytes("x"), new Uint8Array(16), cryptography));
}

describe("what is new", () => {
  test("is everything to who knows nothing, and nothing to who is up to date", () => {
    const { directory } = new Site();
    expect(directory.since(undefined)).toEqual({ version: 0, rules: [], bans: [], users: undefined });
    expect(directory.since(0)).toEqual({ version: 0, rules: undefined, users: [] });
  });

  test("is the users that changed or went, and the rules if they are others", () => {
    const { directory } = new Site();
    const put = (name: string) => directory.change({ type: "putUser", name, user: HASHED }, "me", 0);
    put("alice");
    put("bob");
    put("alice");
    directory.change({ type: "deleteUser", name: "bob" }, "me", 0);
    expect(directory.since(4)).toEqual({ version: 4, rules: undefined, users: [] });
    expect(directory.since(2).users).toEqual([
      { name: "alice", version: 3 },
      { name: "bob", version: 4 },
    ]);
    expect(directory.since(0).users).toEqual([
      { name: "alice", version: 3 },
      { name: "bob", version: 4 },
    ]);
    directory.change({ type: "addRule", rule: rule("a") }, "me", 0);
    expect(directory.since(4)).toMatchObject({ version: 5, rules: [{ id: 1, rule: rule("a") }], users: [] });
    expect(directory.since(5).rules).toBeUndefined();
  });

  test("may be any user for who was away for long, or knows a version that never was", () => {
    const { directory } = new Site();
    const users = Array.from({ length: CHANGES_MAX + 2 }, (_, at) => [`user-${at}`, HASHED] as const);
    directory.change({ type: "importUsers", users }, "me", 0);
    const { version } = directory.since(0);
    expect(version).toBe(users.length);
    expect(directory.since(0).users).toBeUndefined();
    expect(directory.since(version - CHANGES_MAX).users).toHaveLength(CHANGES_MAX);
    expect(directory.since(version - 1).users).toEqual([{ name: `user-${CHANGES_MAX + 1}`, version }]);
    expect(directory.since(version + 1)).toMatchObject({ rules: [], users: undefined });
  });
});

describe("rules", () => {
  test("have ids that are never given again", () => {
    const { directory } = new Site();
    expect(directory.change({ type: "addRule", rule: rule("a") }, "me", 1)).toMatchObject({ created: 1, id: 1 });
    expect(directory.change({ type: "addRule", rule: rule("b") }, "me", 2)).toMatchObject({ id: 2 });
    directory.change({ type: "deleteRule", id: 2 }, "me", 3);
    expect(directory.change({ type: "addRule", rule: rule("c") }, "me", 4)).toMatchObject({ id: 3 });
    expect(directory.change({ type: "putRule", id: 2, rule: rule("d") }, "me", 5)).toEqual({ type: "absent" });
    expect(directory.change({ type: "deleteRule", id: 2 }, "me", 5)).toEqual({ type: "absent" });
    directory.change({ type: "putRule", id: 1, rule: rule("e") }, "me", 6);
    expect(directory.rules(0, 10)).toEqual([
      { id: 1, rule: rule("e"), createdAt: 1, changedAt: 6 },
      { id: 3, rule: rule("c"), createdAt: 4, changedAt: 4 },
    ]);
    expect(directory.rules(1, 10).map(({ id }) => id)).toEqual([3]);
    expect(directory.rule(3)?.rule).toEqual(rule("c"));
  });

  test("are imported beside the others or in their place, and are not too many", () => {
    const { directory } = new Site();
    const filters = () => directory.rules(0, 9).map((kept) => kept.rule.filter);
    const load = (replacing: boolean, ...names: string[]) =>
      directory.change({ type: "importRules", rules: names.map(rule), replacing }, "me", 0);
    expect(load(false, "a", "b")).toMatchObject({ created: 2, replaced: 0 });
    expect(load(true, "c")).toMatchObject({ created: 1, replaced: 2 });
    expect(filters()).toEqual(["c"]);
    const many = Array.from({ length: RULES_MAX }, (_, at) => `${at}`);
    expect(load(false, ...many)).toEqual({ type: "full", most: RULES_MAX });
    expect(load(true, ...many, "one")).toEqual({ type: "full", most: RULES_MAX });
    expect(filters()).toEqual(["c"]);
  });
});

describe("bans", () => {
  const ban = (value: string, until?: number, type: Ban["type"] = "clientId"): Ban => ({
    type,
    value,
    until,
    why: undefined,
  });
  const add = ({ directory }: Site, what: Ban, now = 0) => directory.change({ type: "addBan", ban: what }, "me", now);

  test("come, are changed and go, with ids that are never given again, also after a restart", () => {
    const site = new Site();
    expect(add(site, { ...ban("a"), why: "spam" }, 1)).toMatchObject({ created: 1, id: 1 });
    expect(add(site, ban("mallory", 9_000, "user"), 2)).toMatchObject({ id: 2 });
    site.directory.change({ type: "deleteBan", id: 2 }, "me", 3);
    expect(add(site, ban("b"), 4)).toMatchObject({ id: 3 });
    site.restart();
    expect(site.directory.change({ type: "putBan", id: 3, ban: ban("c") }, "me", 5)).toMatchObject({ replaced: 1 });
    expect(site.directory.bans(0, 9, 6)).toEqual([
      { id: 1, ban: { ...ban("a"), why: "spam" }, createdAt: 1, changedAt: 1 },
      { id: 3, ban: ban("c"), createdAt: 4, changedAt: 5 },
    ]);
    expect(site.directory.bans(1, 1, 6).map(({ id }) => id)).toEqual([3]);
    expect([site.directory.ban(2, 6), site.directory.ban(3, 6)?.ban]).toEqual([undefined, ban("c")]);
    expect(site.directory.change({ type: "deleteBan", id: 2 }, "me", 7)).toEqual({ type: "absent" });
    expect(site.directory.change({ type: "putBan", id: 2, ban: ban("d") }, "me", 7)).toEqual({ type: "absent" });
    const log = site.directory.audit(Infinity, 9).map(({ what, on }) => `${what} ${on}`);
    expect(log.toReversed()).toEqual([
      "addBan ban 1",
      "addBan ban 2",
      "deleteBan ban 2",
      "addBan ban 3",
      "putBan ban 3",
    ]);
  });

  test("are there once for each client id, user and network, however it is written", () => {
    const site = new Site();
    add(site, ban("10.0.0.0/8", undefined, "address"));
    expect(add(site, ban("10.9.9.9/8", undefined, "address"))).toEqual({ type: "present" });
    expect(add(site, ban("x"))).toMatchObject({ id: 2 });
    expect(add(site, ban("x", undefined, "user"))).toMatchObject({ id: 3 });
    const put = (id: number, value: string) => site.directory.change({ type: "putBan", id, ban: ban(value) }, "me", 0);
    expect(put(3, "x")).toEqual({ type: "present" });
    expect(put(2, "x")).toMatchObject({ type: "done" });
  });

  test("that are over are not there, are in nobody's place, and do not count", () => {
    const site = new Site();
    for (let at = 0; at < BANS_MAX; at++) add(site, ban(`${at}`, at === 7 ? 1_000 : undefined));
    expect(add(site, ban("one more"), 999)).toEqual({ type: "full", most: BANS_MAX });
    expect(site.directory.ban(8, 999)).toBeDefined();
    expect(site.directory.ban(8, 1_000)).toBeUndefined();
    expect(site.directory.bans(7, 1, 1_000).map(({ id }) => id)).toEqual([9]);
    expect(site.directory.change({ type: "putBan", id: 8, ban: ban("7") }, "me", 1_000)).toEqual({ type: "absent" });
    expect(add(site, ban("7", 2_000), 1_000)).toMatchObject({ id: BANS_MAX + 1 });
    expect(site.directory.since(undefined).bans).toHaveLength(BANS_MAX);
  });

  test("are new to who does not know them, and nothing else is", () => {
    const site = new Site();
    site.directory.change({ type: "addRule", rule: rule("a") }, "me", 0);
    add(site, ban("a"));
    expect(site.directory.since(1)).toEqual({ version: 2, rules: undefined, bans: [ban("a")], users: [] });
    expect(site.directory.since(2)).toEqual({ version: 2, rules: undefined, bans: undefined, users: [] });
    site.directory.change({ type: "deleteBan", id: 1 }, "me", 0);
    expect(site.directory.since(2)).toMatchObject({ version: 3, rules: undefined, bans: [] });
    site.directory.change({ type: "deleteRule", id: 1 }, "me", 0);
    expect(site.directory.since(3)).toMatchObject({ version: 4, rules: [], bans: undefined });
  });

  test("come to a directory that was made before there were any", () => {
    const site = new Site();
    site.put("alice", "pencil");
    site.sql.run("DROP TABLE ban");
    for (const column of ["bans_version", "last_ban"]) site.sql.run(`ALTER TABLE directory DROP COLUMN ${column}`);
    site.restart();
    expect(add(site, ban("a"))).toMatchObject({ id: 1 });
    site.restart();
    expect(site.directory.since(1)).toMatchObject({ version: 2, rules: undefined, bans: [ban("a")] });
    expect(site.login(site.directory.find("alice"), "pencil")).toBe(true);
  });
});

describe("the audit log", () => {
  test("says who did what on whom and when, of what changed something, and no secrets", () => {
    const site = new Site();
    site.put("alice", "pencil-sharp");
    site.put("alice", "pencil-sharp", "create");
    site.directory.change({ type: "addRule", rule: rule("a") }, "you", 2_000);
    site.directory.change({ type: "importUsers", users: [["bob", HASHED]] }, "you", 3_000);
    expect(site.directory.audit(Infinity, 9)).toEqual([
      { number: 3, at: 3_000, who: "you", what: "importUsers", on: "1 users" },
      { number: 2, at: 2_000, who: "you", what: "addRule", on: "rule 1" },
      { number: 1, at: 1_000, who: "me", what: "putUser", on: "alice" },
    ]);
    expect(site.directory.audit(3, 1).map(({ number }) => number)).toEqual([2]);
    const all = JSON.stringify(site.sql.rows("SELECT * FROM audit"));
    expect(all).not.toMatch(/pencil|\$7\$/);
  });

  test("keeps the newest", () => {
    const { directory, sql } = new Site();
    directory.change({ type: "addRule", rule: rule("a") }, "me", 0);
    sql.run("UPDATE audit SET number = ?", AUDIT_MAX);
    directory.change({ type: "putRule", id: 1, rule: rule("b") }, "me", 0);
    directory.change({ type: "putRule", id: 1, rule: rule("c") }, "me", 0);
    expect(directory.audit(Infinity, 9).map(({ number }) => number)).toEqual([AUDIT_MAX + 2, AUDIT_MAX + 1, AUDIT_MAX]);
    sql.run("UPDATE audit SET number = 2 WHERE number = ?", AUDIT_MAX);
    directory.change({ type: "deleteRule", id: 1 }, "me", 0);
    expect(sql.rows("SELECT min(number) AS least FROM audit")[0]!["least"]).toBe(AUDIT_MAX + 1);
  });
});

test("a change that cannot be stored changes nothing", () => {
  const site = new Site();
  site.put("alice", "pencil");
  site.sql.failWrites = (query) => query.includes("INTO audit");
  expect(() => site.put("alice", "eraser")).toThrow("storage failed");
  site.sql.failWrites = false;
  expect(site.directory.since(1)).toEqual({ version: 1, rules: undefined, users: [] });
  expect(site.login(site.directory.find("alice"), "pencil")).toBe(true);
});

test("what a later release stored is not touched", () => {
  const site = new Site();
  site.sql.wipe();
  site.sql.run(`CREATE TABLE user ( -- schema ${SCHEMA_VERSION + 1}\n name TEXT PRIMARY KEY)`);
  expect(() => site.restart()).toThrow("run a release that is as new");
});
