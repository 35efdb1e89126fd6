/** What the broker is to browsers: whose pages may connect, and what its answers forbid them. */
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { describe, expect, test } from "vitest";
import WebSocket from "ws";
import { readConfig } from "../../src/config.ts";
import { startBroker } from "../../scripts/broker.ts";
import { mayOpen } from "../../src/edge/origins.ts";
import { ADMIN_TOKEN } from "./support/admin.ts";
import { removeStateDir, temporaryStateDir, useBroker } from "./support/broker.ts";

/** 101 or what the upgrade is refused with. */
async function upgrade(url: string, headers: Record<string, string>): Promise<number> {
  const socket = new WebSocket(url, "mqtt", { headers });
  socket.on("error", () => {});
  const [status] = await Promise.race([
    once(socket, "open").then(() => [101]),
    once(socket, "unexpected-response").then(([, { statusCode }]) => [statusCode as number]),
  ]);
  socket.terminate();
  return status!;
}

describe("a page may connect", () => {
  const use = useBroker();

  test("if it is of the broker's own origin, or no page at all", async () => {
    expect(await upgrade(use.broker.wsUrl, {})).toBe(101);
    expect(await upgrade(use.broker.wsUrl, { Origin: use.broker.url })).toBe(101);
  });

  test.each([
    "null",
    "https://evil.example",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "http://localhost:8787",
    "*",
    "file://",
  ])("not if it is of %s", async (origin) => {
    expect(await upgrade(use.broker.wsUrl, { Origin: origin })).toBe(403);
  });

  test("not by the right origin with more behind it, or in another scheme", async () => {
    const { url, wsUrl, port } = use.broker;
    for (const origin of [`${url}/`, `${url}.evil.example`, `ftp://127.0.0.1:${port}`, `${url}, ${url}`]) {
      expect(await upgrade(wsUrl, { Origin: origin }), origin).toBe(403);
    }
  });
});

test("a page that is refused is in the log, by its origin alone", async () => {
  const stateDir = await temporaryStateDir();
  const printed: string[] = [];
  const vars = { ORIGINS: "https://app.example , null" };
  const broker = await startBroker({
    port: 0,
    tcpPort: 0,
    stateDir,
    vars,
    onLog: ({ message }) => printed.push(message),
  });
  try {
    expect(await upgrade(broker.wsUrl, { Origin: "https://app.example" })).toBe(101);
    expect(await upgrade(broker.wsUrl, { Origin: "null" })).toBe(101);
    expect(await upgrade(broker.wsUrl, { Origin: broker.url })).toBe(101);
    expect(await upgrade(`${broker.wsUrl}?token=x`, { Origin: `https://evil.example\t"${"e".repeat(200)}` })).toBe(403);
    await expect.poll(() => printed.length).toBeGreaterThan(0);
    const origin = `https://evil.example\t"${"e".repeat(200)}`;
    const detail = "Pages of this origin may not connect: ORIGINS does not name it.";
    expect(printed.map((line) => JSON.parse(line) as object)).toEqual([
      { event: "refused", status: 403, origin, detail },
    ]);
  } finally {
    await broker.stop();
    await removeStateDir(stateDir);
  }
});

describe("ORIGINS", () => {
  test.each([
    "https://app.example/",
    "app.example",
    "https://App.example",
    "https://app.example:443",
    "",
    "https://a,",
    "https://u@a",
  ])('"%s" is an error', (ORIGINS) => {
    expect(() => readConfig({ ORIGINS })).toThrow(`ORIGINS is "${ORIGINS}": it must be origins`);
  });

  test("need not name the broker's own, as browsers write it and as Paho does", () => {
    const { origins } = readConfig({});
    const own = (origin: string, url: string) => mayOpen(origin, url, origins);
    expect(own("https://broker.example", "https://broker.example/mqtt")).toBe(true);
    expect(own("https://broker.example:443", "https://broker.example/mqtt")).toBe(true);
    expect(own("https://127.0.0.1:8787", "http://127.0.0.1:8787/mqtt")).toBe(true);
    expect(own("https://broker.example:80", "http://broker.example/mqtt")).toBe(true);
    expect(own("http://broker.example:443", "https://broker.example/mqtt")).toBe(false);
    expect(own("http://broker.example", "https://broker.example/mqtt")).toBe(false);
    expect(own("https://broker.example", "http://broker.example/mqtt")).toBe(false);
    expect(own("https://broker.example.evil.example", "https://broker.example/mqtt")).toBe(false);
    expect(own("https://evil.example@broker.example", "https://broker.example/mqtt")).toBe(false);
  });

  test("names pages of any kind, or any page", () => {
    const { origins } = readConfig({ ORIGINS: "capacitor://localhost,http://localhost:3000" });
    const url = "https://broker.example/mqtt";
    for (const origin of ["capacitor://localhost", "http://localhost:3000", "https://broker.example", null]) {
      expect(mayOpen(origin, url, origins)).toBe(true);
    }
    for (const origin of ["http://localhost", "null", "http://broker.example"]) {
      expect(mayOpen(origin, url, origins)).toBe(false);
    }
    expect(mayOpen("null", url, readConfig({ ORIGINS: "*" }).origins)).toBe(true);
  });
});

describe("every answer", () => {
  const use = useBroker();

  test.each(["/", "/health", "/mqtt", "/absent"])(
    "like that of %s forbids a browser what is not needed",
    async (path) => {
      const { headers } = await fetch(use.broker.url + path);
      expect(headers.get("content-security-policy")).toMatch(
        /^default-src 'none'; style-src 'nonce-[^']+'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'$/,
      );
      expect(Object.fromEntries(headers)).toMatchObject({
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "cross-origin-opener-policy": "same-origin",
      });
      expect(headers.get("strict-transport-security")).toBeNull();
    },
  );

  test("over TLS says that there is no other way", async () => {
    const response = await use.broker.miniflare.dispatchFetch("https://broker.example/");
    expect(response.headers.get("strict-transport-security")).toBe("max-age=15552000");
    await response.text();
  });

  test("has a style that its policy knows", async () => {
    const response = await fetch(use.broker.url);
    const [, nonce] = /'nonce-([^']+)'/.exec(response.headers.get("content-security-policy")!)!;
    expect(await response.text()).toContain(`<style nonce="${nonce}">`);
    const again = (await fetch(use.broker.url)).headers.get("content-security-policy");
    expect(again).not.toContain(nonce);
  });
});

describe("HOSTS", () => {
  const use = useBroker({ HOSTS: "broker.example, [::1]", ADMIN_TOKEN });

  async function ask(path: string, host: string, headers: Record<string, string> = {}): Promise<number> {
    if (path === "/mqtt") return await upgrade(use.broker.wsUrl, { Host: host, ...headers });
    const request = get(use.broker.url + path, { headers: { Host: host, ...headers } });
    const [response] = (await once(request, "response")) as [IncomingMessage];
    response.resume();
    return response.statusCode!;
  }

  test.each<[path: string, headers: Record<string, string>, status: number]>([
    ["/health", {}, 200],
    ["/api/v1/users", { Authorization: `Bearer ${ADMIN_TOKEN}` }, 200],
    ["/mqtt", {}, 101],
  ])(
    "%s is answered by these hosts, with any port, and 421 by others, of whatever origin",
    async (path, headers, status) => {
      for (const host of ["broker.example", "broker.example:8443", "[::1]:1", "BROKER.example"]) {
        expect(await ask(path, host, headers), host).toBe(status);
      }
      for (const host of ["evil.example", "127.0.0.1", "broker.example.evil.example", "broker.example.", "::1"]) {
        const own = { ...headers, Origin: `http://${host}` };
        expect([await ask(path, host, headers), await ask(path, host, own)], host).not.toContain(status);
      }
      expect(await ask(path, "evil.example", headers)).toBe(421);
    },
  );

  test("may be any, and are unless it is set", () => {
    expect([readConfig({}).hosts, readConfig({ HOSTS: "*" }).hosts]).toEqual(["any", "any"]);
  });

  test.each(["", "a.example,", "a.example:1", "https://a.example", "a.example/b", "A.example", "::1", "*.a.example"])(
    '"%s" is an error',
    (HOSTS) => {
      expect(() => readConfig({ HOSTS })).toThrow(`HOSTS is "${HOSTS}": it must be hosts as URLs have them`);
    },
  );
});
