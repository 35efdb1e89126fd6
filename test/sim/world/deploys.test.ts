import { describe, expect, test, vi } from "vitest";
import { ByteReader } from "../../../src/link/bytes.ts";
import { Kind, readRecord } from "../../../src/link/records.ts";
import type { Client } from "./client.ts";
import { World } from "./world.ts";

/** Three releases in a row: each reads its own version and the one before. */
const FIRST = { min: 1, max: 1 };
const SECOND = { min: 1, max: 2 };
const THIRD = { min: 2, max: 3 };

/** The versions that objects have picked for a client's links. */
function picked(client: Client): number[] {
  const versions: number[] = [];
  const { driver } = client;
  const frame = driver.frame.bind(driver);
  vi.spyOn(driver, "frame").mockImplementation((link, bytes) => {
    const record = readRecord(new ByteReader(bytes), 0);
    if (record.kind === Kind.Welcome || record.kind === Kind.Attached) versions.push(record.version);
    frame(link, bytes);
  });
  return versions;
}

describe("links: of two releases that meet", () => {
  test.each([
    { name: "both speak the version of the older one", worker: FIRST, objects: SECOND, version: 1 },
    {
      name: "both speak the version of the older one, if that is the object",
      worker: SECOND,
      objects: FIRST,
      version: 1,
    },
    { name: "the newer one goes as far as the version before its own", worker: SECOND, objects: THIRD, version: 2 },
    { name: "both speak the newest version if they are the same", worker: THIRD, objects: THIRD, version: 3 },
  ])("$name", ({ worker, objects, version }) => {
    const world = new World({ shards: 1 });
    world.deploys.workers(worker, "worker");
    world.deploys.objects(objects, 0);
    world.settle();
    const client = world.client("d1");
    const versions = picked(client);
    client.connect();
    world.settle();
    client.subscribe("a", 1);
    client.publish("a", "1", { qos: 1 });
    world.settle();
    expect(client.payloads).toEqual(["1"]);
    expect(versions).toEqual([version, version]);
  });

  test.each([
    { worker: FIRST, objects: THIRD },
    { worker: THIRD, objects: FIRST },
  ])("without a common version a client that connects is told to come another time", ({ worker, objects }) => {
    const world = new World({ shards: 1 });
    world.deploys.workers(worker);
    world.deploys.objects(objects, 0);
    world.settle();
    const five = world.connected("five");
    expect(five.received.map(({ cmd, reasonCode }) => [cmd, reasonCode])).toEqual([["connack", 0x88]]);
    const four = world.connected("four", {}, 4);
    expect(four.received.map(({ cmd, returnCode }) => [cmd, returnCode])).toEqual([["connack", 3]]);
    expect([five.closed, four.closed]).not.toContain(undefined);
    expect(world.session("five").failures).toEqual([]);
  });
});

describe("links: a deploy", () => {
  test("restarts the objects one by one while connections go on as they are; whoever connects runs the new release", () => {
    const world = new World({ shards: 2 });
    const subscriber = world.connected("subscriber");
    subscriber.subscribe("#", 2);
    const publisher = world.connected("publisher");
    world.settle();
    const payloads: string[] = [];
    world.deploy(SECOND, 500);
    for (let i = 0; i < 40; i++) {
      payloads.push(`${i}`);
      publisher.publish(`t/${i % 4}`, `${i}`, { qos: 2 });
      world.advance(100);
    }
    world.advance(30_000);
    expect([publisher.closed, subscriber.closed]).toEqual([undefined, undefined]);
    expect(subscriber.payloads.toSorted()).toEqual(payloads.toSorted());
    expect(publisher.completed).toHaveLength(40);
    const late = world.client("late");
    const versions = picked(late);
    late.connect();
    world.settle();
    expect(versions).toEqual([2]);
  });

  test("of two releases in a row ends old connections politely, and their sessions go on in new ones", () => {
    for (const version of [4, 5] as const) {
      const world = new World({ shards: 1 });
      const options = { clean: false, ...(version === 5 && { properties: { sessionExpiryInterval: 3600 } }) };
      const client = world.connected("d1", options, version);
      client.subscribe("a", 1);
      world.settle();
      world.deploy(SECOND, 0);
      world.advance(10_000);
      expect(client.closed).toBeUndefined();
      world.deploy(THIRD, 0);
      world.advance(10_000);
      expect(client.closed).toBe(1012);
      if (version === 5) expect(client.last("disconnect")!.reasonCode).toBe(0x8b);
      const publisher = world.connected("publisher");
      publisher.publish("a", "while it was away", { qos: 1 });
      const back = world.connected("d1", options, version);
      world.settle();
      expect(back.last("connack")!.sessionPresent).toBe(true);
      expect(back.payloads).toEqual(["while it was away"]);
    }
  });
});
