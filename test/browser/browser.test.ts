/** A real browser: MQTT.js in a page, with other clients on the other side, and the broker's own page. */
import { type EventEmitter, once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import mqtt, { type IPublishPacket } from "mqtt";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { scope, useBroker } from "../broker/support/broker.ts";

const use = useBroker();

const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

let context: BrowserContext;
let profile: string;
let server: Server;
let origin: string;
let page: Page;
/** What the page complained of: console errors, uncaught exceptions, failed requests. */
let complaints: string[];

beforeAll(async () => {
  if (!existsSync(CHROMIUM)) throw new Error(`no browser at ${CHROMIUM}; install chromium or set CHROMIUM`);
  const bundle = await readFile(
    join(dirname(createRequire(import.meta.url).resolve("mqtt/package.json")), "dist/mqtt.min.js"),
  );
  server = createServer(({ url }, response) => {
    if (url === "/mqtt.js") response.setHeader("Content-Type", "text/javascript").end(bundle);
    else if (url === "/") response.setHeader("Content-Type", "text/html").end(PAGE);
    else response.writeHead(204).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  profile = await mkdtemp(join(tmpdir(), "dormouse-chromium-"));
  context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    headless: true,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
});

afterAll(async () => {
  await context.close();
  server.close();
  await rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
});

beforeEach(async () => {
  complaints = [];
  page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("requestfailed", (request) => complaints.push(`${request.url()} failed`));
});

afterEach(async () => {
  await page.close();
});

/** The page keeps what arrives, and a test asks for it one by one. */
const PAGE = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script src="/mqtt.js"></script><script>
  const arrived = [];
  let wake = () => {};
  const script = { open, next, client: undefined };
  async function open(url, protocolVersion) {
    script.client = await mqtt.connectAsync(url, { protocolVersion, reconnectPeriod: 0 });
    script.client.on("message", (topic, payload, { qos, retain, properties }) => {
      arrived.push({ topic, payload: payload.toString(), qos, retain, user: { ...properties?.userProperties }, subscription: properties?.subscriptionIdentifier });
      wake();
    });
  }
  async function next() {
    while (arrived.length === 0) await new Promise((resolve) => (wake = resolve));
    return arrived.shift();
  }
</script>`;

/** What the page's script has; what is given to `evaluate` runs there. */
declare const script: {
  client: mqtt.MqttClient;
  open(url: string, protocolVersion: 4 | 5): Promise<void>;
  next(): Promise<{
    topic: string;
    payload: string;
    qos: number;
    retain: boolean;
    user: object;
    subscription?: number;
  }>;
};

/** The next message to the client on the other side. */
function arrival(client: mqtt.MqttClient): Promise<[topic: string, payload: Buffer, packet: IPublishPacket]> {
  return once(client as unknown as EventEmitter, "message") as Promise<[string, Buffer, IPublishPacket]>;
}

const next = () => page.evaluate(() => script.next());

describe.each([4, 5] as const)("MQTT.js in a page, protocol level %s", (version) => {
  test("exchanges messages with a client over TCP: QoS 0, QoS 1, retained, large, and user properties in MQTT 5", async () => {
    const base = scope("browser");
    await page.goto(origin);
    await page.evaluate(([url, level]) => script.open(url, level), [use.broker.wsUrl, version] as const);
    const other = await mqtt.connectAsync(use.broker.tcpUrl, { protocolVersion: 5, reconnectPeriod: 0 });
    try {
      // To the page.
      await page.evaluate(
        ([filter, level]) =>
          script.client.subscribeAsync(filter, {
            qos: 1,
            ...(level === 5 && { properties: { subscriptionIdentifier: 3 } }),
          }),
        [`${base}/down/#`, version] as const,
      );
      const v5 = version === 5 ? { subscription: 3 } : {};
      const user = version === 5 ? { from: "tcp" } : {};
      for (const qos of [0, 1] as const) {
        await other.publishAsync(`${base}/down/x`, `qos ${qos} ü`, {
          qos,
          properties: { userProperties: { from: "tcp" } },
        });
        expect(await next()).toEqual({
          topic: `${base}/down/x`,
          payload: `qos ${qos} ü`,
          qos,
          retain: false,
          user,
          ...v5,
        });
      }
      const large = "x".repeat(900_000);
      await other.publishAsync(`${base}/down/large`, large, { qos: 1 });
      expect((await next()).payload.length).toBe(large.length);

      // From the page.
      await other.subscribeAsync(`${base}/up/#`, { qos: 1 });
      const received: IPublishPacket[] = [];
      other.on("message", (_topic, _payload, packet) => received.push(packet));
      for (const [number, qos] of ([0, 1] as const).entries()) {
        await page.evaluate(
          ([topic, level, as]) =>
            script.client.publishAsync(topic, `from the page ${as}`, {
              qos: as,
              ...(level === 5 && { properties: { userProperties: { from: "page" } } }),
            }),
          [`${base}/up/x`, version, qos] as const,
        );
        if (received.length <= number) await arrival(other);
        expect(received[number]).toMatchObject({ topic: `${base}/up/x`, qos, retain: false });
        expect(received[number]!.payload.toString()).toBe(`from the page ${qos}`);
        expect({ ...received[number]!.properties?.userProperties }).toEqual(version === 5 ? { from: "page" } : {});
      }

      // Retained, both ways.
      await page.evaluate(
        (topic) => script.client.publishAsync(topic, "kept", { qos: 1, retain: true }),
        `${base}/kept/page`,
      );
      await other.publishAsync(`${base}/kept/tcp`, "kept", { qos: 1, retain: true });
      const kept = arrival(other);
      await other.subscribeAsync(`${base}/kept/page`, { qos: 1 });
      expect((await kept)[2]).toMatchObject({ topic: `${base}/kept/page`, retain: true });
      await page.evaluate((topic) => script.client.subscribeAsync(topic, { qos: 1 }), `${base}/kept/tcp`);
      expect(await next()).toMatchObject({ topic: `${base}/kept/tcp`, payload: "kept", retain: true });
      expect(complaints).toEqual([]);
    } finally {
      other.end(true);
    }
  });

  test("a page that is closed leaves its will", async () => {
    const base = scope("browser");
    await page.goto(origin);
    const witness = await mqtt.connectAsync(use.broker.tcpUrl, { protocolVersion: 4, reconnectPeriod: 0 });
    try {
      await witness.subscribeAsync(`${base}/#`, { qos: 1 });
      await page.evaluate(
        async ([url, protocolVersion, topic]) => {
          const { mqtt: library } = globalThis as unknown as { mqtt: typeof mqtt };
          await library.connectAsync(url, {
            protocolVersion,
            will: { topic, payload: "gone" as unknown as Buffer, qos: 1, retain: false },
          });
        },
        [use.broker.wsUrl, version, `${base}/will`] as const,
      );
      const gone = arrival(witness);
      await page.close();
      expect((await gone)[0]).toBe(`${base}/will`);
    } finally {
      witness.end(true);
    }
  });
});

test("the broker's page says where to connect, without a complaint of the browser", async () => {
  await page.goto(`${use.broker.url}/`);
  expect(await page.title()).toBe("Dormouse");
  expect(await page.locator("code").first().textContent()).toBe(use.broker.wsUrl);
  const command = await page.locator("pre").textContent();
  expect(command).toContain(`-h 127.0.0.1 -p ${use.broker.port} -l ws --path /mqtt`);
  // Its styles are applied, so the Content-Security-Policy lets them.
  expect(await page.evaluate("getComputedStyle(document.body).maxWidth")).not.toBe("none");
  // The favicon that every browser asks for is nobody's error.
  expect(complaints.filter((complaint) => !complaint.includes("favicon") && !complaint.includes("404"))).toEqual([]);
});
