/** The directory as an object: what a call resolves with is stored, whatever becomes of the instance. */
import { abortAllDurableObjects } from "cloudflare:test";
import { describe, expect, test } from "vitest";
import { keep } from "../../src/core/directory/keeping.ts";
import { cryptography } from "../../src/edge/cryptography.ts";
import { directoryName } from "../../src/names.ts";
import { countRows, crash, env, freshObjects, hibernate, instanceOf } from "./inside.ts";

freshObjects();

const stub = () => env.DIRECTORIES.getByName(directoryName("main"));
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const hex = (some: Uint8Array): string => Buffer.from(some).toString("hex");

async function put(name: string): Promise<void> {
  const { verifier } = await stub().find(name);
  const user = keep(bytes("pencil"), verifier.salt, cryptography);
  expect(await stub().change({ type: "putUser", name, user }, "me")).toMatchObject({ type: "done" });
}

test("a user goes to the object and comes back as it was", async () => {
  await put("alice");
  const found = await stub().find("alice");
  expect(found).toMatchObject({ known: true, provable: true, version: 1, passwordVersion: 1 });
  expect(found.verifier.storedKey).toHaveLength(32);
  expect(found.user.hash).toMatchObject({ type: "pbkdf2", iterations: 10_000 });
  expect(await stub().users("", 9)).toMatchObject([{ name: "alice" }]);
});

const ENDS: readonly { name: string; end: () => Promise<void> }[] = [
  { name: "was evicted", end: () => hibernate(stub()) },
  { name: "has crashed", end: () => crash(stub()) },
  { name: "was restarted with all other objects", end: () => abortAllDurableObjects() },
];

describe.each(ENDS)("an instance that $name", ({ end }) => {
  test("leaves users, rules, bans, version, secret and audit log as they were", async () => {
    await put("alice");
    const rule = { effect: "allow", actions: ["publish"], filter: "a/#" } as const;
    await stub().change({ type: "addRule", rule }, "me");
    const ban = { type: "address", value: "192.0.2.0/24", until: Date.now() + 3_600_000, why: "scanner" } as const;
    await stub().change({ type: "addBan", ban }, "me");
    const nobody = hex((await stub().find("nobody")).verifier.salt);
    const before = await instanceOf(stub());
    await end();
    expect(await stub().find("alice")).toMatchObject({ known: true, version: 3 });
    expect(await instanceOf(stub())).not.toBe(before);
    expect(hex((await stub().find("nobody")).verifier.salt)).toBe(nobody);
    expect(await stub().since(0)).toMatchObject({
      version: 3,
      rules: [{ id: 1, rule }],
      bans: [ban],
      users: [{ name: "alice", version: 1 }],
    });
    expect(await stub().bans(0, 9)).toMatchObject([{ id: 1, ban }]);
    expect(await stub().since(3)).toEqual({ version: 3, rules: undefined, users: [] });
    expect((await stub().audit(Infinity, 9)).map(({ what }) => what)).toEqual(["addBan", "addRule", "putUser"]);
    await stub().change({ type: "deleteUser", name: "alice" }, "me");
    expect(await stub().since(3)).toEqual({ version: 4, rules: undefined, users: [{ name: "alice", version: 4 }] });
  });
});

test("rows are written by changes alone", async () => {
  await put("alice");
  const counted = await countRows(stub());
  const cost = async (what: () => Promise<unknown>): Promise<number> => {
    const before = counted.written;
    await what();
    return counted.written - before;
  };
  const user = (name: string) => cost(() => put(name));
  const rule = { effect: "allow", actions: ["publish"], filter: "a/#" } as const;
  const ban = { type: "clientId", value: "c", until: undefined, why: undefined } as const;
  expect(await cost(() => Promise.all([stub().find("alice"), stub().since(0), stub().users("", 9)]))).toBe(0);
  // The user with its two places, and one row each of version, change and audit log.
  expect(await user("bob")).toBe(6);
  const learned = (await stub().user("alice"))!;
  expect({
    changed: await user("bob"),
    rule: await cost(() => stub().change({ type: "addRule", rule }, "me")),
    ban: await cost(() => stub().change({ type: "addBan", ban }, "me")),
    rebanned: await cost(() => stub().change({ type: "putBan", id: 1, ban: { ...ban, value: "d" } }, "me")),
    lifted: await cost(() => stub().change({ type: "deleteBan", id: 1 }, "me")),
    learned: await cost(() => stub().learn("alice", learned.version, learned.user)),
    deleted: await cost(() => stub().change({ type: "deleteUser", name: "bob" }, "me")),
  }).toEqual({ changed: 5, rule: 3, ban: 4, rebanned: 4, lifted: 3, learned: 2, deleted: 4 });
  expect(counted.alarms).toBe(0);
});
