/** Which tenants there are, who comes to which, and who is known in each. */
import { describe, expect, test } from "vitest";
import type { DirectorySource } from "../../src/access/directory.ts";
import { receptionOf } from "../../src/access/receptions.ts";
import type { Reception } from "../../src/access/reception.ts";
import { readConfig } from "../../src/config.ts";
import type { Recognition } from "../../src/core/authentication/asking.ts";
import type { Credentials } from "../../src/core/authentication/identity.ts";
import { Directory as Kept } from "../../src/core/directory/directory.ts";
import { DirectoryStore } from "../../src/core/directory/store.ts";
import { readPasswordHash } from "../../src/core/authentication/password-hash.ts";
import { cryptography } from "../../src/edge/cryptography.ts";
import { tenantAt } from "../../src/edge/tenant.ts";
import { Reason } from "../../src/mqtt/reason.ts";
import { MOSQUITTO, PASSWORD } from "../support/mosquitto-passwords.ts";
import { nodeSql } from "../support/node-sql.ts";
import { NO_ARRIVAL, NO_NETWORK } from "../support/reception.ts";
import { usersSetting } from "../support/users.ts";
import { NOW, signed } from "./issuer.ts";

const SECRET = "a secret that is known to the issuer and to the broker alone";
const KEY = new TextEncoder().encode(SECRET);

describe("settings", () => {
  test("name tenants, and hosts that are theirs", () => {
    expect(readConfig({}).tenants).toEqual({ names: new Set(), hosts: new Map() });
    const { tenants } = readConfig({
      TENANTS: "acme, Rival-2,x.y_z",
      TENANT_HOSTS: '{"acme.example":"acme","xn--mhle-0ra.example":"acme","[::1]":"main"}',
    });
    expect([...tenants.names]).toEqual(["acme", "Rival-2", "x.y_z"]);
    expect(Object.fromEntries(tenants.hosts)).toEqual({
      "acme.example": "acme",
      "xn--mhle-0ra.example": "acme",
      "[::1]": "main",
    });
  });

  test.each<[string]>([
    [""],
    ["acme,"],
    ["main"],
    ["acme,main"],
    ["-acme"],
    ["a/b"],
    ["a b"],
    ["é"],
    ["x".repeat(65)],
    ["acme rival"],
  ])("TENANTS %j is an error", (text) => {
    expect(() => readConfig({ TENANTS: text })).toThrow("it must be names with commas between them: 1 to 64 of");
  });

  test("there may be a thousand", () => {
    const names = (count: number): string => Array.from({ length: count }, (_, at) => `t${at}`).join();
    expect(readConfig({ TENANTS: names(1000) }).tenants.names.size).toBe(1000);
    expect(() => readConfig({ TENANTS: names(1001) })).toThrow("it must have at most 1000 names");
  });

  test.each<[string, string]>([
    ["acme", "it must be a JSON object"],
    ["[]", "it must be a JSON object"],
    ["null", "it must be a JSON object"],
    ['{"a.example":7}', "it must be a JSON object of tenants by host"],
    ['{"":"acme"}', "it must have hosts as URLs have them"],
    ['{"A.example":"acme"}', "it must have hosts as URLs have them"],
    ['{"a.example:8787":"acme"}', "it must have hosts as URLs have them"],
    ['{"a.example.":"acme"}', "it must have hosts as URLs have them"],
    ['{"a.example/mqtt":"acme"}', "it must have hosts as URLs have them"],
    ['{"mühle.example":"acme"}', "it must have hosts as URLs have them"],
    ['{"a.example":"rival"}', 'TENANT_HOSTS has the tenant "rival": it must be one of TENANTS, or main'],
  ])("TENANT_HOSTS %s is an error", (text, message) => {
    expect(() => readConfig({ TENANTS: "acme", TENANT_HOSTS: text })).toThrow(message);
  });

  test("names of objects have room for a tenant's", () => {
    const longest = { CLIENT_ID_BYTES_MAX: "851" };
    expect(readConfig(longest).limits.clientIdBytesMax).toBe(851);
    for (const more of [{ TENANTS: "acme" }, { TOKEN_SECRET: SECRET, TOKEN_TENANT_CLAIM: "org" }]) {
      expect(() => readConfig({ ...longest, ...more })).toThrow(
        "CLIENT_ID_BYTES_MAX is 851: where there are tenants it must be at most 850",
      );
      expect(readConfig({ CLIENT_ID_BYTES_MAX: "850", ...more }).limits.clientIdBytesMax).toBe(850);
    }
  });
});

describe("the tenant of a URL", () => {
  const { tenants } = readConfig({
    TENANTS: "acme,rival",
    TENANT_HOSTS: '{"acme.example":"acme","mqtt.example":"main"}',
  });

  test.each<[host: string, path: string | undefined, tenant: string | undefined]>([
    ["any.example", undefined, undefined],
    ["any.example", "acme", "acme"],
    ["acme.example", undefined, "acme"],
    ["ACME.example.:8443", undefined, "acme"],
    ["acme.example", "acme", "acme"],
    ["mqtt.example", undefined, "main"],
    ["x.acme.example", undefined, undefined],
  ])("%s and path %s: %s", (host, path, tenant) => {
    expect(tenantAt(`https://${host}/mqtt`, path, tenants)).toEqual({ tenant });
  });

  test.each([
    ["any.example", "nobody"],
    ["any.example", "main"],
    ["any.example", "Acme"],
    ["any.example", ""],
    ["any.example", "__proto__"],
    ["acme.example", "rival"],
    ["mqtt.example", "acme"],
  ])("%s and path %s: there is none", (host, path) => {
    expect(tenantAt(`https://${host}/mqtt`, path, tenants)).toBeUndefined();
  });
});

/** Directories of all tenants, and an isolate that knows of them. */
class Site {
  readonly kept = new Map<string, Kept>();
  readonly asked: string[] = [];
  readonly main: Reception;

  constructor(env: Readonly<Record<string, unknown>>) {
    const { access, tenants } = readConfig({ TENANTS: "acme,rival", ...env });
    this.main = receptionOf(access, NO_NETWORK, (tenant) => this.#source(tenant), tenants.names);
  }

  directory(tenant: string): Kept {
    const store = () => new DirectoryStore(nodeSql(), () => cryptography.randomBytes(32));
    const kept = this.kept.get(tenant) ?? new Kept(store(), cryptography);
    this.kept.set(tenant, kept);
    return kept;
  }

  #source(tenant: string): DirectorySource {
    const answer = <T>(what: string, from: (kept: Kept) => T): Promise<T> => {
      this.asked.push(`${tenant} ${what}`);
      return Promise.resolve(from(this.directory(tenant)));
    };
    return {
      find: (name) => answer("find", (kept) => kept.find(name)),
      since: (version) => answer("since", (kept) => kept.since(version)),
      learn: (name, version, user) => answer("learn", (kept) => kept.learn(name, version, user)),
    };
  }

  /** The tenant and the user that a client turns out to be of, or why it does not come in. */
  async comes(to: string | undefined, said: Partial<Credentials>): Promise<unknown> {
    const credentials = {
      arrival: { ...NO_ARRIVAL, tenant: to },
      clientId: "c",
      username: undefined,
      password: undefined,
      ...said,
    };
    const answer = (await this.main.of(to ?? "main").answer({ type: "identify", credentials }, NOW)) as Recognition;
    if (answer.type === "refused") return answer.reason;
    return answer.type === "accepted" ? [answer.identity.tenant, answer.identity.user] : answer.type;
  }
}

function login(username: string, password: string): Partial<Credentials> {
  return { username, password: new TextEncoder().encode(password) };
}

describe("who is known", () => {
  test("users of the settings are the main tenant's alone, also to SCRAM", async () => {
    const site = new Site({ USERS: usersSetting({ alice: "pencil" }) });
    const alice = login("alice", "pencil");
    expect(await site.comes(undefined, alice)).toEqual([undefined, "alice"]);
    expect(await site.comes("main", alice)).toEqual([undefined, "alice"]);
    for (const tenant of ["acme", "rival"]) {
      expect(await site.comes(tenant, alice)).toBe(Reason.BadUserNameOrPassword);
      expect(await site.comes(tenant, {})).toBe(Reason.NotAuthorized);
      expect(site.main.of(tenant).mechanism("SCRAM-SHA-256")).toBeUndefined();
    }
  });

  test("certificates too", async () => {
    const site = new Site({ CERTIFICATE_USERS: "common-name" });
    const certificate = { commonName: "alice", fingerprint: "ab", expiresAt: NOW + 1 };
    expect(await site.comes(undefined, { arrival: { ...NO_ARRIVAL, certificate } })).toEqual([undefined, "alice"]);
    const arrival = { ...NO_ARRIVAL, certificate, tenant: "acme" };
    expect(await site.comes("acme", { arrival })).toBe(Reason.NotAuthorized);
  });

  test("a tenant has users and rules of its own, and what was heard of them is kept apart", async () => {
    const site = new Site({ DIRECTORY: "true", USERS: usersSetting({ root: "eraser" }) });
    const hash = readPasswordHash(MOSQUITTO.once);
    site.directory("acme").change({ type: "putUser", name: "root", user: { hash } }, "admin", NOW);
    site
      .directory("acme")
      .change({ type: "addRule", rule: { effect: "allow", actions: ["publish"], filter: "a" } }, "admin", NOW);
    expect(await site.comes("acme", login("root", PASSWORD))).toEqual([undefined, "root"]);
    expect(site.asked.every((what) => what.startsWith("acme "))).toBe(true);
    for (const to of ["rival", undefined])
      expect(await site.comes(to, login("root", PASSWORD))).toBe(Reason.BadUserNameOrPassword);
    expect(await site.comes("acme", login("root", "eraser"))).toBe(Reason.BadUserNameOrPassword);
    expect(await site.comes(undefined, login("root", "eraser"))).toEqual([undefined, "root"]);
    const may = (tenant: string) =>
      site.main
        .of(tenant)
        .policy.of({ user: "root", clientId: "c", claims: new Map(), rules: [] })
        .mayPublish("a", false);
    expect(["acme", "rival", "main"].map(may)).toEqual([true, false, false]);
  });

  test("a token is good for the tenant that it names, and by a path for no other's directory", async () => {
    const site = new Site({ DIRECTORY: "true", TOKEN_SECRET: SECRET, TOKEN_TENANT_CLAIM: "org" });
    const token = login("meter-7", await signed(KEY, "HS256", { org: "acme" }));
    expect(await site.comes(undefined, token)).toEqual(["acme", "meter-7"]);
    // Whose rules it is judged by has been heard, and nothing else.
    expect(site.asked).toEqual(["acme since"]);
    // The connection refuses it (test/core/connection/tenants.test.ts).
    expect(await site.comes("rival", token)).toEqual(["acme", "meter-7"]);
  });

  test("without TOKEN_TENANT_CLAIM tokens are good for the main tenant alone", async () => {
    const site = new Site({ TOKEN_SECRET: SECRET });
    const token = await signed(KEY, "HS256", {});
    expect(await site.comes(undefined, login("meter-7", token))).toEqual([undefined, "meter-7"]);
    expect(await site.comes("acme", login("meter-7", token))).toBe(Reason.BadUserNameOrPassword);
    expect(site.main.of("acme").mechanism("JWT")).toBeUndefined();
    const arrival = { ...NO_ARRIVAL, token, tenant: "acme" };
    expect(await site.comes("acme", { arrival })).toBe(Reason.BadUserNameOrPassword);
  });

  test("a tenant that only tokens name has no directory, and one receives for all of those", async () => {
    const site = new Site({ DIRECTORY: "true", TOKEN_SECRET: SECRET, TOKEN_TENANT_CLAIM: "org" });
    const rule = { effect: "allow", actions: ["publish"], filter: "#" } as const;
    site.directory("main").change({ type: "addRule", rule }, "admin", NOW);
    expect(await site.comes(undefined, login("m", await signed(KEY, "HS256", { org: "o", sub: "m" })))).toEqual([
      "o",
      "m",
    ]);
    expect(site.asked).toEqual([]);
    const { policy, freshUntil } = site.main.of("o");
    expect(policy.of({ user: "m", clientId: "c", claims: new Map(), rules: [] }).mayPublish("a", false)).toBe(false);
    expect(freshUntil).toBe(Infinity);
    expect(site.main.of("another")).toBe(site.main.of("o"));
    expect(site.main.of("acme")).not.toBe(site.main.of("rival"));
    expect(site.main.of("acme")).toBe(site.main.of("rival").of("acme"));
  });

  test("the hook is told which tenant it is", async () => {
    const told: unknown[] = [];
    const service = {
      authenticate: (request: { tenant: string }) => {
        told.push(request.tenant);
        return Promise.resolve({ result: "allow" });
      },
      authorize: () => Promise.resolve({}),
    };
    const site = new Site({ HOOK: service });
    for (const to of [undefined, "main", "acme"]) {
      expect(await site.comes(to, login("alice", "pencil"))).toEqual([undefined, "alice"]);
    }
    expect(told).toEqual(["main", "main", "acme"]);
  });

  test("nobody in particular is let into every tenant, or into none; who says something has to prove it", async () => {
    const site = new Site({ ALLOW_ANONYMOUS: "true", USERS: usersSetting({ alice: "pencil" }), ACL: "topic read a" });
    for (const to of [undefined, "acme"]) {
      expect(await site.comes(to, {})).toEqual([undefined, undefined]);
      expect(await site.comes(to, login("alice", "wrong"))).toBe(Reason.BadUserNameOrPassword);
    }
    expect(await site.comes("acme", login("alice", "pencil"))).toBe(Reason.BadUserNameOrPassword);
  });

  test("rules of ACL hold in every tenant", () => {
    const site = new Site({ ALLOW_ANONYMOUS: "true", ACL: "topic write a" });
    for (const tenant of ["main", "acme", "elsewhere"]) {
      const may = site.main.of(tenant).policy.of({ user: undefined, clientId: "c", claims: new Map(), rules: [] });
      expect([may.mayPublish("a", false), may.mayPublish("b", false)], tenant).toEqual([true, false]);
    }
  });
});
