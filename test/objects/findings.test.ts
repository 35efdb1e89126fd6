/** Schedules that were found to break a promise, each as small as it gets. */

import { expect, test, vi } from "vitest";
import * as records from "../../src/link/records.ts";
import { SessionObject } from "../../src/index.ts";
import { Client } from "./client.ts";
import { clean, freshObjects, hibernate, inside, sessionStub, shardStub, topicOn, until } from "./inside.ts";
import { hello, Link, subscription } from "./link.ts";

freshObjects();
vi.setConfig({ testTimeout: 6_000 });

test("a subscriber whose shard slept is delivered the next QoS 1 message, though the log has moved on to a new reservation", async () => {
  const topic = topicOn(2);
  const subscriber = await Client.connect({ clientId: "subscriber" });
  const publisher = await Client.connect({ clientId: "publisher" });
  await subscriber.subscribe({ topic });
  await publisher.publish(topic, "before");
  await subscriber.delivered((payloads) => payloads.includes("before"));
  await clean(2);
  await hibernate(shardStub(2));
  await publisher.publish(topic, "after");
  await publisher.ping();
  await subscriber.delivered((payloads) => payloads.includes("after"));
});

test("a link that is lost while its shard sleeps is missed when the shard wakes: what is published meanwhile waits for it", async () => {
  const topic = topicOn(1);
  const shard = shardStub(1);
  // Another session keeps its link, so the shard does not wake alone.
  const publisher = await Client.connect({ clientId: "publisher" });
  await publisher.publish(topic, "nobody wants this");
  const lost = await Link.open(shard);
  lost.say((to) => records.writeHello(to, hello("lost")));
  const { cursor } = await lost.hear(records.Kind.Attached);
  lost.say((to) => records.writeSubscribe(to, 1, [subscription(1, topic)]));
  const { start } = await lost.hear(records.Kind.Subscribed);
  await clean(1);

  await hibernate(shard);
  lost.close();
  await lost.ended();
  await publisher.publish(topic, "while it is away");

  const back = await Link.open(shard);
  const subscriptions = [{ ...subscription(1, topic), start, scan: undefined }];
  back.say((to) => records.writeHello(to, hello("lost", { link: 2, cursor, subscriptions })));
  await back.hear(records.Kind.Attached);
  const { deliveries } = await back.hear(records.Kind.Deliver);
  expect(deliveries).toHaveLength(1);
});

test("a will that its shard is slow to take sets off no more alarms than one", async () => {
  const alarms = vi.spyOn(SessionObject.prototype, "alarm");
  const topic = topicOn(3);
  const stub = sessionStub("dying");
  const dying = await Client.connect({
    clientId: "dying",
    will: { topic, payload: Buffer.from("will"), qos: 1, retain: false },
  });
  let release = (): void => {};
  const slow = new Promise<void>((resolve) => (release = resolve));
  const blocked = inside(shardStub(3), (state) => state.blockConcurrencyWhile(() => slow));
  dying.cut();
  await until("the will is due", async () => {
    const [will] = await inside(stub, (state) => state.storage.sql.exec("SELECT due FROM will").toArray());
    return typeof will?.["due"] === "number";
  });
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setTimeout(resolve, 10));
  release();
  await blocked;
  expect(alarms.mock.calls.length).toBeLessThanOrEqual(1);
});
