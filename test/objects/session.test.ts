/** Session objects that sleep, crash and get alarms: one connection a client id, and a will once. */

import { abortAllDurableObjects, runDurableObjectAlarm } from "cloudflare:test";
import { describe, expect, test, vi } from "vitest";
import { ByteWriter } from "../../src/link/bytes.ts";
import { writeMessage } from "../../src/link/message.ts";
import type { Message } from "../../src/mqtt/message.ts";
import { encodeUtf8 } from "../../src/mqtt/utf8.ts";
import * as records from "../../src/link/records.ts";
import { Reason } from "../../src/mqtt/reason.ts";
import { Client } from "./client.ts";
import {
  alarmOf,
  backAgain,
  crash,
  fenceOf,
  freshObjects,
  hibernate,
  holdFrames,
  inside,
  rows,
  sessionStub,
  shardStub,
  tablesOf,
  topicOn,
  until,
} from "./inside.ts";
import { connect, hello, Link, subscription } from "./link.ts";

freshObjects();
vi.setConfig({ testTimeout: 10_000 });

const TOPIC = topicOn(2, "will");

/** A client with a will, and another that hears it. */
async function dyingAndMourner(): Promise<{ dying: Client; mourner: Client }> {
  const mourner = await Client.connect({ clientId: "mourner" });
  await mourner.subscribe({ topic: "will/#" });
  const will = { topic: TOPIC, payload: Buffer.from("it is dead"), qos: 1, retain: false } as const;
  const dying = await Client.connect({ clientId: "dying", will });
  return { dying, mourner };
}

function message(topic: string, payload: string): Message {
  const topicUtf8 = encodeUtf8(topic);
  const nothing = new Uint8Array(0);
  return {
    topic,
    topicUtf8,
    qos: 1,
    retain: false,
    expirySeconds: undefined,
    properties: nothing,
    payload: encodeUtf8(payload),
    at: Date.now(),
    publisher: "dying",
  };
}

/** Everything that could still come has come: what is published now is delivered after it. */
async function nothingMore(mourner: Client): Promise<string[]> {
  const publisher = await Client.connect({ clientId: "last" });
  await publisher.publish(TOPIC, "the end");
  await mourner.delivered((payloads) => payloads.includes("the end"));
  return mourner.payloads().filter((payload) => payload !== "the end");
}

/** Nothing is stored and nothing will wake the object: looked at from the instance that ended the session. */
async function vanished(clientId: string): Promise<void> {
  const stub = sessionStub(clientId);
  await until(`${clientId} has vanished`, () => inside(stub, ({ storage }) => tablesOf(storage).length === 0));
  expect(await alarmOf(stub)).toBeNull();
}

const ENDS: { name: string; end: () => Promise<void> }[] = [
  { name: "was evicted", end: () => hibernate(sessionStub("dying")) },
  { name: "has crashed", end: () => crash(sessionStub("dying")) },
  { name: "was restarted with all other objects", end: () => abortAllDurableObjects() },
];

describe.each(ENDS)("a session object that $name", ({ end }) => {
  test("keeps its connection and its epoch", async () => {
    const { dying } = await dyingAndMourner();
    const fence = await fenceOf("dying");
    await end();
    expect(await backAgain("dying")).toEqual(fence);
    await dying.ping();
  });

  test("still lets a second connection take the session over [MQTT-3.1.4-3]", async () => {
    const { dying, mourner } = await dyingAndMourner();
    const { epoch } = await backAgain("dying");
    await end();
    const second = await Client.connect({ clientId: "dying" });
    const { reasonCode } = await dying.take("disconnect");
    expect(reasonCode).toBe(Reason.SessionTakenOver);
    await dying.ended();
    await second.ping();
    expect((await backAgain("dying")).epoch).toBeGreaterThan(epoch);
    await mourner.delivered((payloads) => payloads.includes("it is dead")); // [MQTT-3.1.3-9]
    expect(await nothingMore(mourner)).toEqual(["it is dead"]);
  });

  test("lets a second connection take over from one without a will, of which nothing is stored [MQTT-3.1.4-3]", async () => {
    const first = await Client.connect({ clientId: "dying" });
    await first.publish(TOPIC, "first");
    await end();
    const second = await Client.connect({ clientId: "dying" });
    const { reasonCode } = await first.take("disconnect");
    expect(reasonCode).toBe(Reason.SessionTakenOver);
    await first.ended();
    await second.publish(TOPIC, "second");
    await second.disconnect();
    await vanished("dying");
  });

  test("publishes the will once when the client is cut off, and vanishes", async () => {
    const { dying, mourner } = await dyingAndMourner();
    await end();
    dying.cut();
    await mourner.delivered((payloads) => payloads.includes("it is dead")); // [MQTT-3.1.2-8]
    await vanished("dying");
    expect(await nothingMore(mourner)).toEqual(["it is dead"]);
  });

  test("drops the will when the client says goodbye, and vanishes [MQTT-3.14.4-3]", async () => {
    const { dying, mourner } = await dyingAndMourner();
    await end();
    await dying.disconnect();
    await vanished("dying");
    expect(await nothingMore(mourner)).toEqual([]);
  });
});

test("a client that has left and closes its socket is answered when its end is stored, not before [MQTT-3.14.4-3]", async () => {
  const { dying, mourner } = await dyingAndMourner();
  const goOn = await holdFrames(sessionStub("dying"));
  dying.leave();
  await mourner.publish("something", "else");
  expect(dying.closed).toBeUndefined();
  await goOn();
  expect(await dying.ended()).toBe(1000);
  expect(await inside(sessionStub("dying"), ({ storage }) => tablesOf(storage))).toEqual([]);
  expect(await nothingMore(mourner)).toEqual([]);
});

describe("a link to a session object that is lost without END", () => {
  /** A stub breaks with the instance that it called. */
  const dying = () => sessionStub("dying");

  /** A session whose link has closed, and whose connection does not come back. */
  async function lost(): Promise<Client> {
    const mourner = await Client.connect({ clientId: "mourner" });
    await mourner.subscribe({ topic: TOPIC });
    const link = await Link.open(dying());
    link.say((to) => records.writeConnect(to, connect("dying", { will: message(TOPIC, "it is dead") })));
    await link.hear(records.Kind.Welcome);
    link.close();
    await link.ended();
    await until("the link is missed", async () => {
      const [will] = await rows(dying(), "SELECT due FROM will");
      return typeof will?.["due"] === "number";
    });
    return mourner;
  }

  /** The connection whose will is kept. */
  async function storedFence(): Promise<records.Fence> {
    const [will] = await rows(dying(), "SELECT generation, epoch FROM will");
    return will as unknown as records.Fence;
  }

  test("starts a grace, kept by an alarm", async () => {
    const before = Date.now();
    await lost();
    const alarm = (await alarmOf(dying()))!;
    expect(alarm - before).toBeGreaterThanOrEqual(40_000);
    expect(alarm - Date.now()).toBeLessThanOrEqual(40_000);
  });

  test("ends nothing when the alarm comes early", async () => {
    const mourner = await lost();
    expect(await runDurableObjectAlarm(dying())).toBe(true);
    expect(await rows(dying(), "SELECT 1 FROM will")).toHaveLength(1);
    expect(await alarmOf(dying())).not.toBeNull();
    expect(await nothingMore(mourner)).toEqual([]);
  });

  test("has its will published exactly once when the grace is over, though the alarm comes twice", async () => {
    const mourner = await lost();
    await inside(dying(), ({ storage }) => storage.sql.exec("UPDATE will SET due = ?", Date.now() - 1).toArray());
    await crash(dying());
    expect(await runDurableObjectAlarm(dying())).toBe(true);
    await inside(dying(), async ({ storage }) => storage.setAlarm(Date.now() + 3_600_000));
    await runDurableObjectAlarm(dying());
    await mourner.delivered((payloads) => payloads.includes("it is dead"));
    await vanished("dying");
    expect(await nothingMore(mourner)).toEqual(["it is dead"]);
  });

  test("is welcome back within the grace, with its epoch; then the will is kept", async () => {
    const mourner = await lost();
    const reattach = await storedFence();
    await crash(dying());
    const link = await Link.open(dying());
    link.say((to) => records.writeConnect(to, connect("dying", { link: 2, reattach })));
    const welcome = await link.hear(records.Kind.Welcome);
    expect(welcome).toMatchObject(reattach);
    await runDurableObjectAlarm(dying());
    expect(await rows(dying(), "SELECT due FROM will")).toEqual([{ due: null }]);
    link.say((to) =>
      records.writeEnd(to, { publishWill: false, planned: false, expirySeconds: 0, goneAt: Date.now() }),
    );
    await link.hear(records.Kind.Ended);
    await vanished("dying");
    expect(await nothingMore(mourner)).toEqual([]);
  });

  test("is refused with an epoch that is not the stored one", async () => {
    await lost();
    const { generation, epoch } = await storedFence();
    const link = await Link.open(dying());
    link.say((to) =>
      records.writeConnect(to, connect("dying", { link: 2, reattach: { generation, epoch: epoch - 1 } })),
    );
    expect((await link.hear(records.Kind.Refused)).reason).toBe(Reason.SessionTakenOver);
    await link.ended();
    expect(await storedFence()).toEqual({ generation, epoch });
  });
});

test("a will is kept, and published once, when the object crashes between handing it over and hearing of it", async () => {
  const { dying, mourner } = await dyingAndMourner();
  let release = (): void => {};
  const slow = new Promise<void>((resolve) => (release = resolve));
  const blocked = inside(shardStub(2), (state) => state.blockConcurrencyWhile(() => slow));
  dying.cut();
  await until("the will is due", async () => {
    const [will] = await rows(sessionStub("dying"), "SELECT due FROM will");
    return typeof will?.["due"] === "number";
  });
  await crash(sessionStub("dying"));
  release();
  await blocked;
  // Its client is gone, and so is its connection: the alarm is all that wakes it.
  await runDurableObjectAlarm(sessionStub("dying"));
  await mourner.delivered((payloads) => payloads.includes("it is dead"));
  await vanished("dying");
  expect(await nothingMore(mourner)).toEqual(["it is dead"]);
});

describe("publishWill of a shard", () => {
  function encoded(payload: string): Uint8Array {
    const to = new ByteWriter();
    writeMessage(to, message(TOPIC, payload));
    return to.take();
  }

  test("delivers once for one fence, however often and across a restart it is called", async () => {
    const mourner = await Client.connect({ clientId: "mourner" });
    await mourner.subscribe({ topic: TOPIC });
    const fence = { generation: 7, epoch: 8 };
    await shardStub(2).publishWill(fence, encoded("it is dead"));
    await shardStub(2).publishWill(fence, encoded("it is dead"));
    await crash(shardStub(2));
    await shardStub(2).publishWill(fence, encoded("it is dead"));
    expect(await nothingMore(mourner)).toEqual(["it is dead"]);
    await shardStub(2).publishWill({ generation: 7, epoch: 9 }, encoded("it is dead again"));
    await mourner.delivered((payloads) => payloads.includes("it is dead again"));
  });

  test("closes the link of its epoch, and a frame that comes after it is ignored", async () => {
    const mourner = await Client.connect({ clientId: "mourner" });
    await mourner.subscribe({ topic: TOPIC });
    const link = await Link.open(shardStub(2));
    link.say((to) => records.writeHello(to, hello("dying", { generation: 7, epoch: 8 })));
    await link.hear(records.Kind.Attached);
    const will = shardStub(2).publishWill({ generation: 7, epoch: 8 }, encoded("it is dead"));
    await will;
    try {
      link.say((to) => records.writePublish(to, 1, message(TOPIC, "a voice from the grave")));
    } catch {
      // The close has come already.
    }
    await link.ended();
    expect(link.received.some(({ kind }) => kind === records.Kind.Published)).toBe(false);
    expect(await nothingMore(mourner)).toEqual(["it is dead"]);
  });

  test("leaves the link of a later epoch open", async () => {
    const link = await Link.open(shardStub(2));
    link.say((to) => records.writeHello(to, hello("dying", { generation: 9, epoch: 9 })));
    await link.hear(records.Kind.Attached);
    await shardStub(2).publishWill({ generation: 7, epoch: 8 }, encoded("it is dead"));
    link.say((to) => records.writePublish(to, 1, message(TOPIC, "alive")));
    expect((await link.hear(records.Kind.Published)).packetId).toBe(1);
    expect(link.closed).toBeUndefined();
  });

  test("refuses nothing to a will of a session that the shard has never seen", async () => {
    await shardStub(2).publishWill({ generation: 1, epoch: 1 }, encoded("unknown"));
    expect(await rows(shardStub(2), "SELECT session, epoch FROM will_done")).toEqual([{ session: "dying", epoch: 1 }]);
  });
});

describe("a link to a shard that is lost without BYE", () => {
  /** Rows of the log. */
  async function logged(): Promise<number> {
    return (await rows(shardStub(2), "SELECT 1 FROM log")).length;
  }

  async function lost(): Promise<{ publisher: Client; cursor: number; start: number }> {
    const publisher = await Client.connect({ clientId: "publisher" });
    await publisher.publish(TOPIC, "before");
    const link = await Link.open(shardStub(2));
    link.say((to) => records.writeHello(to, hello("lost")));
    const { cursor } = await link.hear(records.Kind.Attached);
    link.say((to) => records.writeSubscribe(to, 1, [subscription(1, TOPIC)]));
    const { start } = await link.hear(records.Kind.Subscribed);
    link.close();
    await link.ended();
    await until(
      "the link is missed",
      async () => (await rows(shardStub(2), "SELECT 1 FROM meta WHERE key = 'grace_until'")).length === 1,
    );
    await publisher.publish(TOPIC, "while it is away");
    return { publisher, cursor, start };
  }

  test("has what it wants logged, and delivered when it comes back, even to a shard that restarted", async () => {
    const { cursor, start } = await lost();
    expect(await logged()).toBeGreaterThan(0);
    await crash(shardStub(2));
    const link = await Link.open(shardStub(2));
    const subscriptions = [{ ...subscription(1, TOPIC), start, scan: undefined }];
    link.say((to) => records.writeHello(to, hello("lost", { link: 2, cursor, subscriptions })));
    const { deliveries, packets } = await link.hear(records.Kind.Deliver);
    expect(deliveries).toHaveLength(1);
    expect(new TextDecoder().decode(packets)).toContain("while it is away");
  });

  test("is forgotten when its grace is over, and the log is trimmed, though the alarm comes twice", async () => {
    const { publisher } = await lost();
    const alarm = await alarmOf(shardStub(2));
    expect(alarm! - Date.now()).toBeGreaterThan(30_000);
    expect(await runDurableObjectAlarm(shardStub(2))).toBe(true);
    expect(await logged()).toBeGreaterThan(0); // It came early.

    vi.spyOn(Date, "now").mockReturnValue(Date.now() + 120_000);
    expect(await runDurableObjectAlarm(shardStub(2))).toBe(true);
    expect(await logged()).toBe(0);
    expect(await alarmOf(shardStub(2))).toBeNull();
    expect(await runDurableObjectAlarm(shardStub(2))).toBe(false);
    // Nobody wants it now, and nobody may come back for it.
    await publisher.publish(TOPIC, "nobody waits");
    expect(await logged()).toBe(0);
  });
});

test("the notes of published wills go after a day", async () => {
  const to = new ByteWriter();
  writeMessage(to, message(TOPIC, "it is dead"));
  await shardStub(2).publishWill({ generation: 1, epoch: 1 }, to.take());
  expect(await alarmOf(shardStub(2))).not.toBeNull();
  vi.spyOn(Date, "now").mockReturnValue(Date.now() + 25 * 3600 * 1000);
  await runDurableObjectAlarm(shardStub(2));
  expect(await rows(shardStub(2), "SELECT 1 FROM will_done")).toHaveLength(0);
  expect(await alarmOf(shardStub(2))).toBeNull();
});
