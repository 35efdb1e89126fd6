/** The admin API over HTTP: who may ask, what it does, and what it takes from nobody. */
import { describe, expect, test } from "vitest";
import { MOSQUITTO } from "../support/mosquitto-passwords.ts";
import { Admin, ADMIN_TOKEN } from "./support/admin.ts";
import { useBroker } from "./support/broker.ts";

describe("without a token", () => {
  const use = useBroker();

  test.each(["/api", "/api/v1", "/api/v1/users", "/api/v1/acl/test"])("%s is not there", async (path) => {
    const response = await fetch(use.broker.url + path, { headers: { Authorization: `Bearer ${ADMIN_TOKEN}` } });
    expect([response.status, response.headers.get("www-authenticate")]).toEqual([404, null]);
    await response.body?.cancel();
  });
});

describe("with a token", () => {
  const use = useBroker({ ADMIN_TOKEN });
  const admin = new Admin(() => use.broker);

  describe("who may ask", () => {
    const near = `${ADMIN_TOKEN.slice(0, -1)}x`;
    test.each<[string, Record<string, string>, string]>([
      ["nobody in particular", {}, ""],
      ["another token", { Authorization: `Bearer ${near}` }, ""],
      ["a longer one", { Authorization: `Bearer ${ADMIN_TOKEN}x` }, ""],
      ["two of them", { Authorization: `Bearer ${ADMIN_TOKEN} ${ADMIN_TOKEN}` }, ""],
      ["no scheme", { Authorization: ADMIN_TOKEN }, ""],
      ["another scheme", { Authorization: `Basic ${btoa(`admin:${ADMIN_TOKEN}`)}` }, ""],
      ["a cookie", { Cookie: `token=${ADMIN_TOKEN}; Authorization=Bearer ${ADMIN_TOKEN}` }, ""],
      ["the query", {}, `?token=${ADMIN_TOKEN}&access_token=${ADMIN_TOKEN}`],
    ])("%s: 401", async (_what, headers, query) => {
      const reply = await new Admin(() => use.broker, headers).get(`/users${query}`);
      expect([reply.status, reply.headers.get("www-authenticate")]).toEqual([401, 'Bearer realm="dormouse"']);
      expect(JSON.stringify(reply.json)).not.toContain(ADMIN_TOKEN);
    });

    test("the token: 200, and nothing is kept by what is between", async () => {
      const { status, headers, json } = await admin.get("/users");
      expect([status, json]).toEqual([200, { users: [], next: null }]);
      expect(headers.get("cache-control")).toBe("no-store");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("access-control-allow-origin")).toBeNull();
    });

    test("a page of another origin may not, even with the token; one of the broker's own may", async () => {
      expect((await admin.send("GET", "/users", undefined, { Origin: "https://evil.example" })).status).toBe(403);
      expect((await admin.send("GET", "/users", undefined, { Origin: "null" })).status).toBe(403);
      expect((await admin.send("GET", "/users", undefined, { Origin: use.broker.url })).status).toBe(200);
      const preflight = await admin.send("OPTIONS", "/users", undefined, { Origin: "https://evil.example" });
      expect([preflight.status, preflight.headers.get("access-control-allow-methods")]).toEqual([403, null]);
    });
  });

  describe("users", () => {
    test("come, are changed, are shown without what is kept of their password, and go", async () => {
      const created = await admin.post("/users", { name: "alice", password: "pencil" });
      expect([created.status, created.headers.get("location")]).toEqual([201, "/api/v1/users/alice"]);
      expect(created.json).toEqual({
        name: "alice",
        scram: true,
        hash: "pbkdf2",
        createdAt: expect.stringMatching(/^\d{4}-.*Z$/),
        changedAt: expect.any(String),
      });
      expect((await admin.post("/users", { name: "alice", password: "eraser" })).status).toBe(409);
      expect((await admin.put("/users/alice", { password: "brush" }, "PATCH")).status).toBe(200);
      const hashed = await admin.put("/users/alice", { hash: MOSQUITTO.default });
      expect([hashed.status, hashed.json]).toEqual([200, expect.objectContaining({ scram: false, hash: "pbkdf2" })]);
      expect((await admin.get("/users/alice")).json).toEqual(hashed.json);
      expect((await admin.delete("/users/alice")).status).toBe(204);
      for (const reply of [
        await admin.get("/users/alice"),
        await admin.delete("/users/alice"),
        await admin.put("/users/alice", { password: "x" }, "PATCH"),
      ]) {
        expect(reply.status).toBe(404);
      }
      expect((await admin.put("/users/alice", { password: "x" })).status).toBe(201);
      await admin.delete("/users/alice");
    });

    test("come in pages", async () => {
      for (const name of ["a", "b", "c", "ö"])
        await admin.put(`/users/${encodeURIComponent(name)}`, { hash: MOSQUITTO.once });
      const seen: string[] = [];
      let next: string | null = "";
      while (next !== null) {
        const { json } = await admin.get(`/users?limit=3&after=${encodeURIComponent(next)}`);
        const page = json as { users: { name: string }[]; next: string | null };
        expect(page.users.length).toBeLessThanOrEqual(3);
        seen.push(...page.users.map(({ name }) => name));
        next = page.next;
      }
      expect(seen).toEqual(["a", "b", "c", "ö"]);
      for (const name of seen) await admin.delete(`/users/${encodeURIComponent(name)}`);
    });

    test("are imported from Mosquitto's file, all or none", async () => {
      const file = `# from the old broker\nalice:${MOSQUITTO.default}\n\nbob:${MOSQUITTO.once}\n`;
      expect(await admin.load("/users/import", file)).toMatchObject({ status: 200, json: { created: 2, replaced: 0 } });
      expect(await admin.load("/users/import", file)).toMatchObject({ status: 200, json: { created: 0, replaced: 2 } });
      expect(await admin.load("/users/import", `carol:${MOSQUITTO.default}\ndave:secret\n`)).toMatchObject({
        status: 400,
        json: {
          error: {
            message: "the file has an error in its line 2: the password is plain text: mosquitto_passwd has to hash it",
          },
        },
      });
      expect((await admin.get("/users/carol")).status).toBe(404);
      expect((await admin.load("/users/import", "# nobody\n")).status).toBe(400);
      for (const name of ["alice", "bob"]) await admin.delete(`/users/${name}`);
    });

    test.each<[string, unknown, string]>([
      ["no name", { password: "x" }, "name"],
      ["a name that is none", { name: 7, password: "x" }, "name"],
      ["a colon in it", { name: "a:b", password: "x" }, "name"],
      ["a name of 101 bytes", { name: "x".repeat(101), password: "x" }, "name"],
      ["a name that no URL can have", { name: "..", password: "x" }, "name"],
      ["a full-width look-alike", { name: "ａlice", password: "x" }, "name"],
      ["an é of two characters", { name: "e\u0301", password: "x" }, "name"],
      ["a name with a hidden character", { name: "ali\u200bce", password: "x" }, "name"],
      ["neither password nor hash", { name: "x" }, "password"],
      ["both", { name: "x", password: "x", hash: MOSQUITTO.default }, "password"],
      ["an empty password", { name: "x", password: "" }, "password"],
      ["a password with a bell", { name: "x", password: "\u0007" }, "password"],
      ["a hash in plain text", { name: "x", hash: "secret" }, "hash"],
      ["Argon2", { name: "x", hash: "$argon2id$v=19$m=4096,t=3,p=1$c2FsdA$aGFzaA" }, "hash"],
      ["a member that is not known", { name: "x", password: "x", isAdmin: true }, "isAdmin"],
    ])("%s is an error that names the field", async (_what, body, field) => {
      expect(await admin.post("/users", body)).toMatchObject({ status: 400, json: { error: { field } } });
    });

    test("whose names look alike are not the same", async () => {
      await admin.put("/users/alice", { hash: MOSQUITTO.default });
      const cyrillic = "аlice";
      expect((await admin.get(`/users/${encodeURIComponent(cyrillic)}`)).status).toBe(404);
      expect((await admin.get(`/users/${encodeURIComponent("ａlice")}`)).status).toBe(400);
      expect((await admin.get("/users/Alice")).status).toBe(404);
      await admin.delete("/users/alice");
    });
  });

  describe("rules", () => {
    const rule = { effect: "allow", actions: ["publish", "subscribe"], filter: "devices/%c/#", user: "alice" };

    test("come, are changed, and go", async () => {
      const created = await admin.post("/acl", rule);
      expect(created).toMatchObject({ status: 201, json: rule });
      const { id } = created.json as { id: number };
      expect(created.headers.get("location")).toBe(`/api/v1/acl/${id}`);
      const changed = await admin.put(`/acl/${id}`, {
        effect: "deny",
        actions: ["will"],
        filter: "x",
        anonymous: true,
      });
      expect(changed).toMatchObject({ status: 200, json: { id, effect: "deny", anonymous: true } });
      expect((changed.json as { user?: string }).user).toBeUndefined();
      expect((await admin.get(`/acl/${id}`)).json).toEqual(changed.json);
      expect((await admin.get("/acl?limit=1")).json).toEqual({ rules: [changed.json], next: null });
      expect((await admin.delete(`/acl/${id}`)).status).toBe(204);
      expect((await admin.delete(`/acl/${id}`)).status).toBe(404);
      expect((await admin.put(`/acl/${id}`, rule)).status).toBe(404);
      for (const wrong of ["0", "1e1", "-1", "x", "99999999999999999999"]) {
        expect((await admin.get(`/acl/${wrong}`)).status, wrong).toBe(404);
      }
    });

    test("are imported from Mosquitto's file, beside the others or in their place", async () => {
      const file =
        "topic read news/#\n\nuser roger\ntopic readwrite rooms/#\ntopic deny rooms/attic\npattern write devices/%c/state\n";
      expect(await admin.load("/acl/import", file)).toMatchObject({ status: 200, json: { created: 4, replaced: 0 } });
      expect(await admin.load("/acl/import?replace=true", file)).toMatchObject({ json: { created: 4, replaced: 4 } });
      expect(await admin.load("/acl/import", "topic maybe a\ntopic a b c\n")).toMatchObject({ status: 400 });
      const { rules, next } = (await admin.get("/acl?limit=3")).json as { rules: { filter: string }[]; next: number };
      expect(rules.map(({ filter }) => filter)).toEqual(["news/#", "rooms/#", "rooms/attic"]);
      expect((await admin.get(`/acl?after=${next}`)).json).toMatchObject({
        rules: [{ filter: "devices/%c/state" }],
        next: null,
      });
      await admin.load("/acl/import?replace=true", "");
      expect((await admin.get("/acl")).json).toEqual({ rules: [], next: null });
    });

    test("say what they come to", async () => {
      const file =
        "topic read news/#\nuser roger\ntopic readwrite rooms/#\ntopic deny rooms/attic\npattern write devices/%c/state\n";
      await admin.load("/acl/import?replace=true", file);
      const judged = async (attempt: Record<string, unknown>) =>
        (await admin.post("/acl/test", { clientId: "c1", ...attempt })).json;
      const roger = { user: "roger", action: "publish" };
      expect(await judged({ ...roger, topic: "rooms/kitchen" })).toMatchObject({
        allowed: true,
        by: { from: "directory", id: expect.any(Number), effect: "allow", filter: "rooms/#" },
      });
      expect(await judged({ ...roger, topic: "rooms/attic" })).toMatchObject({
        allowed: false,
        by: { effect: "deny" },
      });
      expect(await judged({ ...roger, action: "subscribe", topic: "rooms/#" })).toMatchObject({ allowed: false });
      expect(await judged({ ...roger, topic: "elsewhere" })).toEqual({ allowed: false, by: null });
      expect(await judged({ ...roger, topic: "$SYS/x" })).toEqual({ allowed: false, by: null });
      expect(await judged({ ...roger, topic: "devices/c1/state" })).toMatchObject({ allowed: true });
      expect(await judged({ anonymous: true, action: "subscribe", topic: "news/#" })).toMatchObject({ allowed: true });
      expect(await judged({ anonymous: true, action: "publish", topic: "a/+" })).toMatchObject({
        error: { field: "topic" },
      });
      expect(await judged({ action: "publish", topic: "a" })).toMatchObject({ error: { field: "user" } });
      const claim = { effect: "allow", actions: ["publish"], filter: "sites/%{site}/#" };
      await admin.post("/acl", claim);
      expect(await judged({ ...roger, topic: "sites/7/a", claims: { site: "7" } })).toMatchObject({ allowed: true });
      expect(await judged({ ...roger, topic: "sites/7/a", claims: { site: "8" } })).toMatchObject({ allowed: false });
      await admin.load("/acl/import?replace=true", "");
    });

    test.each<[string, Record<string, unknown>, string]>([
      ["no effect", { effect: undefined }, "effect"],
      ["another effect", { effect: "perhaps" }, "effect"],
      ["no actions", { actions: [] }, "actions"],
      ["an action that is none", { actions: ["publish", "read"] }, "actions.1"],
      ["a filter that is none", { filter: "a/#/b" }, "filter"],
      ["a shared one", { filter: "$share/g/a" }, "filter"],
      ["a name in it that is none", { filter: "a/%x" }, "filter"],
      ["a filter of 1025 bytes", { filter: "x".repeat(1025) }, "filter"],
      ["a user that cannot be", { user: "a:b" }, "user"],
      ["both of a user and of nobody", { anonymous: true }, "anonymous"],
      ["anonymous: false", { anonymous: false }, "anonymous"],
      ["a member that is not known", { order: 1 }, "order"],
    ])("%s is an error that names the field", async (_what, difference, field) => {
      expect(await admin.post("/acl", { ...rule, ...difference })).toMatchObject({
        status: 400,
        json: { error: { field } },
      });
    });
  });

  describe("bans", () => {
    const ban = { address: "192.0.2.0/24", until: "2999-12-31T00:00:00.000Z", why: "scanner" };

    test("come, are changed, and go", async () => {
      const created = await admin.post("/bans", ban);
      expect(created).toMatchObject({ status: 201, json: ban });
      const { id } = created.json as { id: number };
      expect(created.headers.get("location")).toBe(`/api/v1/bans/${id}`);
      expect((await admin.post("/bans", { address: "192.0.2.77/24" })).status).toBe(409);
      const changed = await admin.put(`/bans/${id}`, { user: "mallory" });
      expect(changed.status).toBe(200);
      expect(changed.json).toEqual({
        id,
        user: "mallory",
        createdAt: expect.any(String),
        changedAt: expect.any(String),
      });
      expect((await admin.get(`/bans/${id}`)).json).toEqual(changed.json);
      const other = (await admin.post("/bans", { clientId: "c 1" })).json as { id: number };
      expect((await admin.put(`/bans/${other.id}`, { user: "mallory" })).status).toBe(409);
      expect((await admin.get("/bans?limit=1")).json).toEqual({ bans: [changed.json], next: id });
      expect((await admin.get(`/bans?after=${id}`)).json).toEqual({ bans: [other], next: null });
      for (const one of [id, other.id]) expect((await admin.delete(`/bans/${one}`)).status).toBe(204);
      expect((await admin.delete(`/bans/${id}`)).status).toBe(404);
      expect((await admin.put(`/bans/${id}`, ban)).status).toBe(404);
      expect((await admin.get(`/bans/${id}`)).status).toBe(404);
      for (const wrong of ["0", "1e1", "-1", "x"]) expect((await admin.get(`/bans/${wrong}`)).status, wrong).toBe(404);
      const { entries } = (await admin.get("/audit?limit=5")).json as { entries: Record<string, unknown>[] };
      expect(entries.map(({ what, on }) => `${String(what)} ${String(on)}`)).toEqual([
        `deleteBan ban ${other.id}`,
        `deleteBan ban ${id}`,
        `addBan ban ${other.id}`,
        `putBan ban ${id}`,
        `addBan ban ${id}`,
      ]);
    });

    test("that are over are not there, and in nobody's place", async () => {
      const soon = new Date(Date.now() + 1_500).toISOString();
      const { id } = (await admin.post("/bans", { clientId: "soon", until: soon })).json as { id: number };
      const patience = Date.now() + 15_000;
      while ((await admin.get(`/bans/${id}`)).status !== 404) expect(Date.now()).toBeLessThan(patience);
      expect((await admin.get("/bans")).json).toEqual({ bans: [], next: null });
      const again = await admin.post("/bans", { clientId: "soon" });
      expect(again.status).toBe(201);
      expect((await admin.delete(`/bans/${(again.json as { id: number }).id}`)).status).toBe(204);
    });

    test.each<[string, Record<string, unknown>, string]>([
      ["nobody", {}, "clientId"],
      ["two at once", { clientId: "c", user: "u" }, "user"],
      ["an empty client id", { clientId: "" }, "clientId"],
      ["a client id that nobody can have", { clientId: "x".repeat(901) }, "clientId"],
      ["a user that cannot be", { user: "a:b" }, "user"],
      ["an address that is none", { address: "192.0.2" }, "address"],
      ["a network that is none", { address: "192.0.2.0/33" }, "address"],
      ["a time that is none", { clientId: "c", until: "soon" }, "until"],
      ["a time that is over", { clientId: "c", until: "2020-01-01T00:00:00Z" }, "until"],
      ["a time that is a number", { clientId: "c", until: 4_000_000_000_000 }, "until"],
      ["a long reason", { clientId: "c", why: "x".repeat(257) }, "why"],
      ["a member that is not known", { clientId: "c", ip: "192.0.2.1" }, "ip"],
    ])("%s is an error that names the field", async (_what, body, field) => {
      expect(await admin.post("/bans", body)).toMatchObject({ status: 400, json: { error: { field } } });
    });
  });

  describe("the audit log", () => {
    test("says who did what, the latest first, and has no secret in it", async () => {
      await admin.post("/users", { name: "eve", password: "correct horse" });
      await admin.put("/users/eve", { hash: MOSQUITTO.default });
      await admin.delete("/users/eve");
      await admin.delete("/users/eve");
      const { entries } = (await admin.get("/audit?limit=3")).json as { entries: Record<string, unknown>[] };
      expect(entries.map(({ what, on }) => [what, on])).toEqual([
        ["deleteUser", "eve"],
        ["putUser", "eve"],
        ["putUser", "eve"],
      ]);
      expect(entries[0]!["who"]).toMatch(/^[0-9a-f]{8}$/);
      const all: unknown[] = [];
      let before = "";
      for (;;) {
        const page = (await admin.get(`/audit?limit=1000${before}`)).json as {
          entries: unknown[];
          next: number | null;
        };
        all.push(...page.entries);
        if (page.next === null) break;
        before = `&before=${page.next}`;
      }
      expect(all.length).toBeGreaterThan(3);
      expect(JSON.stringify(all)).not.toMatch(/correct horse|\$7\$|an-admin-token/);
    });
  });

  describe("attacks", () => {
    test("a name with slashes is a name, and leads nowhere else", async () => {
      expect((await admin.put("/users/a%2F..%2Facl", { hash: MOSQUITTO.once })).status).toBe(201);
      expect((await admin.get("/users/a%2F..%2Facl")).json).toMatchObject({ name: "a/../acl" });
      expect((await admin.get("/users")).json).toMatchObject({ users: [{ name: "a/../acl" }] });
      expect((await admin.delete("/users/a%2F..%2Facl")).status).toBe(204);
      for (const path of [
        "/users/..%2Facl",
        "/users/%252e%252e",
        "/users/a/b",
        "/users//",
        "/users/%00",
        "/users/%ff",
      ]) {
        expect((await admin.get(path)).status, path).toBeGreaterThanOrEqual(400);
        expect((await admin.get(path)).status, path).toBeLessThan(500);
      }
      // What a URL makes of this is the list.
      expect((await admin.get("/users/%2e%2e/users")).status).toBe(200);
    });

    test("a name is not what a name in a program is", async () => {
      for (const name of ["__proto__", "constructor", "import"]) {
        expect((await admin.post("/users", { name, hash: MOSQUITTO.once })).status, name).toBe(201);
        expect((await admin.get(`/users/${name}`)).json, name).toMatchObject({ name });
        expect((await admin.delete(`/users/${name}`)).status, name).toBe(204);
      }
    });

    test.each(["__proto__", "constructor", "prototype", "toString"])("a member %s is not known", async (member) => {
      const body = `{"name":"mallory","password":"x","${member}":{"isAdmin":true}}`;
      const json = { "Content-Type": "application/json" };
      expect(await admin.send("POST", "/users", body, json)).toMatchObject({
        status: 400,
        json: { error: { field: member } },
      });
      expect((await admin.get("/users/mallory")).status).toBe(404);
      const claims = `{"user":"a","clientId":"c","action":"publish","topic":"t","claims":{"__proto__":"x"}}`;
      expect((await admin.send("POST", "/acl/test", claims, json)).status).toBeLessThan(500);
    });

    test("a body may only be so long, and is read no further", async () => {
      const json = { "Content-Type": "application/json" };
      const long = JSON.stringify({ name: "x", password: "x".repeat(65_536) });
      expect((await admin.send("POST", "/users", long, json)).status).toBe(413);
      expect((await admin.load("/users/import", "#".repeat(1_048_577))).status).toBe(413);
      expect((await admin.load("/acl/import", "#".repeat(1_048_576))).status).toBe(200);
    });

    test("a body is of the type that it has to be", async () => {
      const body = JSON.stringify({ name: "mallory", password: "x" });
      for (const type of [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/jsonp",
      ]) {
        expect((await admin.send("POST", "/users", body, { "Content-Type": type })).status, type).toBe(415);
      }
      expect(
        (await admin.send("POST", "/users", body, { "Content-Type": "application/json", "Content-Encoding": "gzip" }))
          .status,
      ).toBe(415);
      expect((await admin.put("/users/import", "x", "POST")).status).toBe(415);
      const json = { "Content-Type": "application/json; charset=UTF-8" };
      for (const wrong of ["", "{", "[]", "null", '"name"', `{"name":"x"}{"name":"y"}`]) {
        expect((await admin.send("POST", "/users", wrong, json)).status, wrong).toBe(400);
      }
      expect((await admin.send("POST", "/users", new Uint8Array([0x22, 0xff, 0x22]), json)).status).toBe(400);
    });

    test("a method is the one that it is", async () => {
      await admin.put("/users/alice", { hash: MOSQUITTO.once });
      for (const header of ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"]) {
        expect((await admin.send("GET", "/users/alice?_method=DELETE", undefined, { [header]: "DELETE" })).status).toBe(
          200,
        );
        expect((await admin.send("POST", "/users/alice", "_method=DELETE", { [header]: "DELETE" })).status).toBe(405);
      }
      expect((await admin.get("/users/alice")).status).toBe(200);
      await admin.delete("/users/alice");
      const wrong = await admin.send("DELETE", "/users");
      expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "GET, HEAD, POST"]);
      expect((await admin.send("PUT", "/audit", "")).status).toBe(405);
      expect((await admin.get("/nothing")).status).toBe(404);
    });

    test.each(["/users?limit=0", "/users?limit=1001", "/users?limit=1e3", "/acl?after=x", "/audit?before=-1"])(
      "%s is an error",
      async (path) => {
        expect((await admin.get(path)).status).toBe(400);
      },
    );
  });
});
