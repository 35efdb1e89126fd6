/** paho-mqtt for Python, in one process for all clients of a file (paho_clients.py). */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import type { Broker } from "../../../scripts/broker.ts";
import { type Version, versionName } from "../../broker/support/client.ts";
import type { Transport } from "../../broker/support/wire.ts";
import { freshClientId, Inbox, type Message, type Program, type Qos, type Subscriber } from "./program.ts";

/** Debian's, for which Debian has paho-mqtt; another may come first in the path. */
const PYTHON = process.env["PYTHON"] ?? "/usr/bin/python3";

export type UserProperties = readonly (readonly [name: string, value: string])[];
export type PahoMessage = Message & { readonly user?: UserProperties };

export interface PahoClient {
  readonly sessionPresent: boolean;
  readonly inbox: Inbox;
  /** Returns the granted QoS of each, or what it was refused with. */
  subscribe(filters: readonly string[], qos: Qos): Promise<number[]>;
  /** Without waiting for one after the other; resolves when all are complete. */
  publish(message: {
    topic: string;
    payloads: readonly string[];
    qos: Qos;
    retain?: boolean;
    expirySeconds?: number;
    user?: UserProperties;
  }): Promise<void>;
  end(): Promise<void>;
}

export interface Paho {
  program(transport: Transport, version: Version): Program;
  connect(transport: Transport, version: Version, session?: string): Promise<PahoClient>;
}

/** Starts the process before the tests of a file; every client is gone after its test. */
export function usePaho(use: { readonly broker: Broker }): Paho {
  let child: ChildProcess;
  let orders = 0;
  const waiting = new Map<number, { resolve: (answer: unknown) => void; reject: (error: Error) => void }>();
  const inboxes = new Map<number, Inbox>();
  /** A message may come before the answer that tells whose it is. */
  const inboxOf = (client: number): Inbox => {
    let inbox = inboxes.get(client);
    if (!inbox) inboxes.set(client, (inbox = new Inbox()));
    return inbox;
  };
  const answer = (id: number): Promise<unknown> =>
    new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
  const order = async (what: string, details: object = {}): Promise<unknown> => {
    const id = ++orders;
    const answered = answer(id);
    child.stdin!.write(`${JSON.stringify({ id, do: what, ...details })}\n`);
    return answered;
  };

  beforeAll(async () => {
    child = spawn(PYTHON, [join(import.meta.dirname, "paho_clients.py")], { stdio: ["pipe", "pipe", "pipe"] });
    let complaints = "";
    child.stderr!.on("data", (text) => (complaints += text));
    const fail = (why: string): void => {
      for (const { reject } of waiting.values()) reject(new Error(`${PYTHON} paho_clients.py: ${why}`));
    };
    child.once("error", (error) => fail(error.message));
    child.once("close", () => fail(complaints));
    createInterface(child.stdout!).on("line", (text) => {
      const line = JSON.parse(text) as
        | { id: number; answer: unknown }
        | { id: number; error: string }
        | { client: number; message: PahoMessage };
      if ("message" in line) return inboxOf(line.client).put(line.message);
      const waiter = waiting.get(line.id)!;
      waiting.delete(line.id);
      if ("error" in line) waiter.reject(new Error(line.error));
      else waiter.resolve(line.answer);
    });
    await answer(0);
  });
  afterEach(() => order("endAll"));
  afterAll(async () => {
    if (child.exitCode !== null || child.pid === undefined) return;
    const closed = once(child, "close");
    child.stdin!.end();
    await closed;
  });

  const address = (transport: Transport, version: Version) => {
    const port = transport === "ws" ? use.broker.port : use.broker.tcpPort;
    return { transport, version, port };
  };

  const connect: Paho["connect"] = async (transport, version, session) => {
    const { client, sessionPresent } = (await order("connect", {
      ...address(transport, version),
      clientId: session ?? freshClientId(),
      keeps: session !== undefined,
    })) as { client: number; sessionPresent: boolean };
    return {
      sessionPresent,
      inbox: inboxOf(client),
      subscribe: (filters, qos) => order("subscribe", { client, filters, qos }) as Promise<number[]>,
      publish: async (message) => void (await order("publish", { client, ...message })),
      end: async () => void (await order("end", { client })),
    };
  };

  const program: Paho["program"] = (transport, version) => {
    const subscriber = (client: PahoClient): Subscriber => ({
      next: () => client.inbox.next(),
      end: () => client.end(),
    });
    return {
      name: `paho ${versionName(version)} over ${transport}`,
      version,
      async subscribe(filters, qos, session) {
        const client = await connect(transport, version, session);
        expect(client.sessionPresent).toBe(false);
        const granted = await client.subscribe([filters].flat(), qos);
        for (const one of granted) expect(one).toBe(qos);
        return subscriber(client);
      },
      async resume(_filters, _qos, session) {
        const client = await connect(transport, version, session);
        // MQTT 3.1 has no flag for it.
        if (version > 3) expect(client.sessionPresent).toBe(true);
        return subscriber(client);
      },
      async publish({ payload, ...message }) {
        const client = await connect(transport, version);
        await client.publish({ ...message, payloads: [payload] });
        await client.end();
      },
      async vanish(will) {
        await order("vanish", { ...address(transport, version), clientId: freshClientId(), will });
      },
    };
  };
  return { program, connect };
}
