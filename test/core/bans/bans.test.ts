/** Who may not connect: what is banned by client id, user and address, for how long, and who connects too often. */
import { describe, expect, test } from "vitest";
import { readAddress, readNetwork } from "../../../src/core/bans/address.ts";
import { type Ban, Bans } from "../../../src/core/bans/bans.ts";
import { Flapping } from "../../../src/core/bans/flapping.ts";
import { readConfig } from "../../../src/config.ts";

function ban(type: Ban["type"], value: string, until?: number): Ban {
  return { type, value, until, why: undefined };
}

describe("an address", () => {
  test.each([
    ["192.0.2.1", "192.0.2.1", true],
    ["192.0.2.1", "192.0.2.2", false],
    ["192.0.2.1", "::ffff:192.0.2.1", true],
    ["192.0.2.1", "::ffff:c000:201", true],
    ["::ffff:192.0.2.0/120", "192.0.2.77", true],
    ["192.0.2.0/24", "192.0.2.255", true],
    ["192.0.2.77/24", "192.0.2.1", true],
    ["192.0.2.0/24", "192.0.3.0", false],
    ["192.0.2.128/25", "192.0.2.127", false],
    ["0.0.0.0/0", "203.0.113.9", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["::/0", "2001:db8::1", true],
    ["::/0", "203.0.113.9", false],
    ["2001:db8::/32", "2001:DB8:ffff::1", true],
    ["2001:db8::/32", "2001:db9::1", false],
    ["2001:db8::1", "2001:0db8:0:0:0:0:0:1", true],
    ["fe80::1", "fe80::1%eth0", true],
    ["::1", "::1", true],
  ])("%s has %s: %s", (banned, address, found) => {
    expect(new Bans([ban("address", banned)]).find({ address }, 0) !== undefined).toBe(found);
  });

  test.each([
    "",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.-4",
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "g::",
  ])("%j is none", (text) => expect(readAddress(text)).toBeUndefined());

  test.each([
    "1.2.3.4/33",
    "1.2.3.4/",
    "1.2.3.4/8/8",
    "::/129",
    "::ffff:1.2.3.4/95",
    "1.2.3.4/-1",
    "localhost",
    "::1/x",
  ])("%j is no network", (text) => {
    expect(readNetwork(text)).toBeUndefined();
    expect(() => new Bans([ban("address", text)])).toThrow(RangeError);
  });

  test("that cannot be read is not banned", () => {
    expect(new Bans([ban("address", "::/0"), ban("address", "0.0.0.0/0")]).find({ address: "?" }, 0)).toBeUndefined();
  });
});

describe("bans", () => {
  test("are of what they name and nothing else, letter by letter", () => {
    const bans = new Bans([ban("clientId", "a b"), ban("user", "mallory")]);
    expect(bans.find({ clientId: "a b" }, 0)).toMatchObject({ type: "clientId" });
    expect(bans.find({ clientId: "mallory", user: "a b", address: "mallory" }, 0)).toBeUndefined();
    expect(bans.find({ clientId: "A b" }, 0)).toBeUndefined();
    expect(bans.find({ user: "mallory", clientId: "x" }, 0)).toMatchObject({ type: "user" });
    expect(bans.find({}, 0)).toBeUndefined();
  });

  test("end, and are taken out when they are met then", () => {
    const bans = new Bans([ban("clientId", "c", 1_000), ban("address", "10.0.0.0/8", 1_000)]);
    expect(bans.find({ clientId: "c" }, 999)).toBeDefined();
    expect(bans.find({ clientId: "c", address: "10.1.1.1" }, 1_000)).toBeUndefined();
    expect(bans.size).toBe(0);
  });

  test("are replaced and lifted", () => {
    const bans = new Bans([ban("address", "10.0.0.0/8", 1)]);
    bans.add(ban("address", "10.9.9.9/8"));
    expect(bans.size).toBe(1);
    expect(bans.find({ address: "10.1.1.1" }, 5)).toMatchObject({ value: "10.9.9.9/8" });
    expect(bans.remove({ type: "address", value: "10.0.0.0/8" })).toBe(true);
    expect(bans.remove({ type: "address", value: "10.0.0.0/8" })).toBe(false);
    expect(bans.find({ address: "10.1.1.1" }, 5)).toBeUndefined();
  });

  test("of a network that is over hide no wider one", () => {
    const bans = new Bans([ban("address", "10.1.0.0/16", 1), ban("address", "10.0.0.0/8")]);
    expect(bans.find({ address: "10.1.2.3" }, 2)).toMatchObject({ value: "10.0.0.0/8" });
  });
});

describe("BANS", () => {
  test("is a list, as an operator writes it", () => {
    const text = JSON.stringify([
      { address: "192.0.2.0/24", until: "2026-12-31T00:00:00Z", why: "scanner" },
      { clientId: "old" },
      { user: "mallory" },
      { user: "mallory", tenant: "acme" },
    ]);
    expect(readConfig({ BANS: text }).bans).toEqual([
      { type: "address", value: "192.0.2.0/24", until: Date.parse("2026-12-31T00:00:00Z"), why: "scanner" },
      { type: "clientId", value: "old", until: undefined, why: undefined },
      { type: "user", value: "mallory", until: undefined, why: undefined },
      { type: "user", value: "mallory", tenant: "acme", until: undefined, why: undefined },
    ]);
    expect(readConfig({}).bans).toEqual([]);
  });

  test.each([
    ["{", "must be a JSON array"],
    ["{}", "must be a JSON array"],
    ["[1]", "has an error in its entry 1: it must be an object"],
    ['[{"user":"a"},{"ip":"1.2.3.4"}]', "has an error in its entry 2: it must have one of clientId, user, address"],
    ['[{"user":"a","clientId":"b"}]', "has an error in its entry 1: it must have one of clientId, user, address"],
    ['[{"user":""}]', "has an error in its entry 1: it must have one of clientId, user, address"],
    ['[{"address":"1.2.3"}]', 'has an error in its entry 1: "1.2.3" is not an address or a network'],
    ['[{"user":"a","until":"soon"}]', "has an error in its entry 1: until must be a time like 2026-12-31T23:59:59Z"],
    [
      '[{"user":"a","tenant":"a/b"}]',
      "has an error in its entry 1: tenant must be the name of one, with clientId or user",
    ],
    [
      '[{"user":"a","tenant":""}]',
      "has an error in its entry 1: tenant must be the name of one, with clientId or user",
    ],
    ['[{"address":"1.2.3.4","tenant":"a"}]', "has an error in its entry 1: tenant must be the name of one"],
    ['[{"user":"a","why":1}]', "has an error in its entry 1: why must be text"],
  ])("%s %s", (text, message) => {
    expect(() => readConfig({ BANS: text })).toThrow(`BANS is wrong: it ${message}`);
  });
});

describe("FLAPPING_CONNECTS within FLAPPING_SECONDS, and FLAPPING_BAN_SECONDS: flapping", () => {
  const config = { connects: 3, seconds: 60, banSeconds: 300 };

  test("is one connect more than allowed in the time, and lasts as long as it is set", () => {
    const flapping = new Flapping(config);
    for (const at of [0, 1, 2]) expect(flapping.connects("s", at)).toBeUndefined();
    expect(flapping.connects("s", 3)).toBe(300_003);
    expect(flapping.connects("other", 3)).toBeUndefined();
    expect(flapping.connects("s", 300_002)).toBe(300_003);
    expect(flapping.connects("s", 300_003)).toBeUndefined();
  });

  test("is not what comes in its time", () => {
    const flapping = new Flapping(config);
    for (let at = 0; at < 10 * 60_000; at += 20_000) expect(flapping.connects("s", at)).toBeUndefined();
  });

  test("is counted for a bounded number of sessions", () => {
    const flapping = new Flapping(config);
    for (let session = 0; session < 50_000; session++) flapping.connects(`${session}`, session);
    expect(flapping.size).toBe(10_000);
  });

  test("0 is nobody", () => {
    const flapping = new Flapping({ ...config, connects: 0 });
    for (let at = 0; at < 100; at++) expect(flapping.connects("s", at)).toBeUndefined();
    expect(flapping.size).toBe(0);
  });
});
