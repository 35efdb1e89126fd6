/** MQTT.js in a page of Chromium; over WebSocket, which is all that a page has. */
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type mqtt from "mqtt";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import type { Broker } from "../../../scripts/broker.ts";
import { type Version, versionName } from "../../broker/support/client.ts";
import { sessionOptions } from "./mqtt-js.ts";
import { Inbox, type Message, type Program, type Qos, type Subscriber } from "./program.ts";

const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

/** MQTT.js, and a function for each thing that a page is asked to do; clients have numbers. */
const PAGE = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script src="/mqtt.js"></script><script>
  const clients = new Map();
  let numbers = 0;
  const script = {
    async connect(url, options) {
      const number = ++numbers;
      const client = mqtt.connect(url, { reconnectPeriod: 0, ...options });
      clients.set(number, client);
      client.on("message", (topic, payload, { qos, retain, properties }) => {
        const { messageExpiryInterval, userProperties, subscriptionIdentifier } = properties ?? {};
        arrived(number, {
          topic, payload: payload.toString(), qos, retain,
          ...(messageExpiryInterval !== undefined && { expirySeconds: messageExpiryInterval }),
          ...(userProperties && { user: { ...userProperties } }),
          ...(subscriptionIdentifier && { subscription: subscriptionIdentifier }),
        });
      });
      const connack = await new Promise((resolve, reject) => client.on("connect", resolve).on("error", reject));
      return { number, sessionPresent: connack.sessionPresent };
    },
    async subscribe(number, filters, options) {
      return (await clients.get(number).subscribeAsync(filters, options)).map(({ qos }) => qos);
    },
    async publish(number, topic, payload, options) {
      await clients.get(number).publishAsync(topic, payload, options);
    },
    async end(number) {
      await clients.get(number).endAsync();
      clients.delete(number);
    },
    endAll() {
      for (const client of clients.values()) client.end(true);
      clients.clear();
    },
  };
</script>`;

/** What the page's script has; what is given to `evaluate` runs there. */
declare const script: {
  connect(url: string, options: object): Promise<{ number: number; sessionPresent: boolean }>;
  subscribe(client: number, filters: string[], options: mqtt.IClientSubscribeOptions): Promise<number[]>;
  publish(client: number, topic: string, payload: string, options: mqtt.IClientPublishOptions): Promise<void>;
  end(client: number): Promise<void>;
  endAll(): void;
};

export type PageMessage = Message & { readonly user?: object; readonly subscription?: number };

export interface PageClient {
  readonly sessionPresent: boolean;
  readonly inbox: Inbox;
  subscribe(filters: readonly string[], options: mqtt.IClientSubscribeOptions): Promise<number[]>;
  publish(topic: string, payload: string, options: mqtt.IClientPublishOptions): Promise<void>;
  end(): Promise<void>;
}

export interface Chromium {
  /** An empty page. */
  open(): Promise<Page>;
  /** What pages complained of in this test: console errors, uncaught exceptions, failed requests. */
  readonly complaints: readonly string[];
  program(version: Version): Program;
  /** A client in the page that all clients of the file share. */
  connect(version: Version, options?: mqtt.IClientOptions): Promise<PageClient>;
}

/** Starts the browser before the tests of a file; every client in it is gone after its test. */
export function useChromium(use: { readonly broker: Broker }): Chromium {
  let context: BrowserContext;
  let profile: string;
  let server: Server;
  let origin: string;
  let page: Page;
  let complaints: string[] = [];
  const inboxes = new Map<number, Inbox>();

  beforeAll(async () => {
    if (!existsSync(CHROMIUM)) throw new Error(`no browser at ${CHROMIUM}; install chromium or set CHROMIUM`);
    server = await serve();
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    profile = await mkdtemp(join(tmpdir(), "dormouse-chromium-"));
    context = await launch(profile);
    page = await open();
    await page.exposeFunction("arrived", (number: number, message: PageMessage) => inboxOf(number).put(message));
    await page.goto(origin);
  });
  afterAll(async () => {
    await context.close();
    server.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  });
  beforeEach(() => {
    complaints = [];
  });
  afterEach(() => page.evaluate(() => script.endAll()));

  const open = async (): Promise<Page> => {
    const opened = await context.newPage();
    opened.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    opened.on("pageerror", (error) => complaints.push(error.message));
    opened.on("requestfailed", (request) => complaints.push(`${request.url()} failed`));
    return opened;
  };
  /** A message may come before it is known whose it is. */
  const inboxOf = (number: number): Inbox => {
    let inbox = inboxes.get(number);
    if (!inbox) inboxes.set(number, (inbox = new Inbox()));
    return inbox;
  };
  const connectIn = (where: Page, version: Version, options: mqtt.IClientOptions) => {
    const all = { protocolVersion: version, protocolId: version === 3 ? "MQIsdp" : "MQTT", ...options };
    return where.evaluate(([url, given]) => script.connect(url, given), [use.broker.wsUrl, all] as [string, object]);
  };
  const connect = async (version: Version, options: mqtt.IClientOptions = {}): Promise<PageClient> => {
    const { number, sessionPresent } = await connectIn(page, version, options);
    return {
      sessionPresent,
      inbox: inboxOf(number),
      subscribe: (filters, granting) =>
        page.evaluate((args) => script.subscribe(...args), [number, [...filters], granting] as [
          number,
          string[],
          mqtt.IClientSubscribeOptions,
        ]),
      publish: (...message) =>
        page.evaluate((args) => script.publish(...args), [number, ...message] as Parameters<typeof script.publish>),
      end: () => page.evaluate((client) => script.end(client), number),
    };
  };

  const program = (version: Version): Program => {
    const subscriber = (client: PageClient): Subscriber => ({
      next: () => client.inbox.next(),
      end: () => client.end(),
    });
    return {
      name: `MQTT.js ${versionName(version)} in a page`,
      version,
      async subscribe(filters, qos, clientId) {
        const client = await connect(version, sessionOptions(version, clientId));
        expect(client.sessionPresent).toBe(false);
        for (const granted of await client.subscribe([filters].flat(), { qos })) expect(granted).toBe(qos);
        return subscriber(client);
      },
      async resume(_filters, _qos, clientId) {
        const client = await connect(version, sessionOptions(version, clientId));
        // MQTT 3.1 has no flag for it.
        if (version > 3) expect(client.sessionPresent).toBe(true);
        return subscriber(client);
      },
      async publish({ topic, payload, qos, retain = false, expirySeconds }) {
        const client = await connect(version);
        const properties = expirySeconds === undefined ? {} : { messageExpiryInterval: expirySeconds };
        await client.publish(topic, payload, { qos, retain, properties });
        await client.end();
      },
      /** Its page is closed. */
      async vanish({ topic, payload }) {
        const other = await open();
        await other.goto(origin);
        const will = { topic, payload: payload as unknown as Buffer, qos: 1 as Qos, retain: false };
        await connectIn(other, version, { will });
        await other.close();
      },
    };
  };

  return {
    open,
    get complaints() {
      return complaints;
    },
    program,
    connect,
  };
}

/** Serves the page and MQTT.js. */
async function serve(): Promise<Server> {
  const library = dirname(createRequire(import.meta.url).resolve("mqtt/package.json"));
  const bundle = await readFile(join(library, "dist/mqtt.min.js"));
  const server = createServer(({ url }, response) => {
    if (url === "/mqtt.js") response.setHeader("Content-Type", "text/javascript").end(bundle);
    else if (url === "/") response.setHeader("Content-Type", "text/html").end(PAGE);
    else response.writeHead(204).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function launch(profile: string): Promise<BrowserContext> {
  return chromium.launchPersistentContext(profile, {
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
}
