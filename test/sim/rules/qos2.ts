/** Exactly once, and where a lasting session stands in a shard. */
import assert from "node:assert/strict";
import { type Client, type Received } from "../world/client.ts";
import { World } from "../world/world.ts";
import {
  anew,
  disconnect,
  equal,
  lasting,
  loseEverything,
  numbers,
  publishMany,
  subscribed,
  topicOn,
  until,
} from "./scene.ts";
import type { Schedules } from "./schedule.ts";

const ID_LOST = "a QoS 2 message is taken for an earlier one that had its packet id, and is lost";

/** A watcher, and a client with a lasting session that sends QoS 2 and answers no PUBREC by itself. */
function sender(shards: number): { world: World; watcher: Client; client: Client } {
  const world = new World({ shards });
  const watcher = world.connected("watcher", {}, 5, "elsewhere");
  subscribed(watcher, "#");
  const client = world.connected("client", anew());
  client.releases = false;
  return { world, watcher, client };
}

/** The client's Worker dies, and the client comes back. */
function comeBack(world: World): Client {
  world.killWorker("worker");
  const client = world.client("client");
  client.releases = false;
  client.connect(lasting());
  until(world, () => client.last("connack") !== undefined);
  assert.equal(client.last("connack")!.sessionPresent, true);
  return client;
}

/** Releases a packet id and sends a new message under it. */
function reuse(client: Client, messageId: number, topic: string, payload: string): void {
  const completed = client.completed.length;
  client.send({ cmd: "pubrel", messageId });
  until(client.world, () => client.completed.length > completed);
  client.publish(topic, payload, { qos: 2, messageId });
  client.world.advance(5_000);
  assert.equal(client.last("pubrec")?.messageId, messageId);
}

const reusesAfterResume = (hold: (kept: boolean, detail: unknown) => void): void => {
  const { world, watcher, client } = sender(1);
  client.publish("t/1", "a", { qos: 2, messageId: 1 });
  world.settle();
  assert.equal(client.all("pubrec").length, 1);
  reuse(comeBack(world), 1, "t/1", "b");
  hold(equal(watcher.payloads, ["a", "b"]), watcher.payloads);
};

/** A lasting subscriber that has had some messages, so that its packet ids are not the first ones. */
function receiver(qos: number): { world: World; subscriber: Client; publisher: Client } {
  const world = new World({ shards: 1 });
  const subscriber = world.connected("subscriber", anew());
  subscribed(subscriber, "t/#", qos);
  const publisher = world.connected("publisher", {}, 5, "elsewhere");
  publishMany(publisher, "t/1", 0, 3, { qos });
  world.advance(60_000);
  assert.deepEqual([subscriber.payloads, [...subscriber.unacknowledged]], [numbers(0, 3), []]);
  return { world, subscriber, publisher };
}

const deliveries = (client: Client): (Received & { payload: Buffer })[] =>
  client.all("publish") as (Received & { payload: Buffer })[];

const TWICE = "a QoS 2 message is delivered twice";

export const qos2: Schedules = {
  "a client sends QoS 2 to a shard, its Worker dies, and it goes on with PUBREL": {
    rule: "The session object stores shard k in the session's set before the first QoS 2 PUBLISH goes to k",
    harm: ID_LOST,
    play: reusesAfterResume,
    without: [
      {
        name: "the first QoS 2 PUBLISH goes to a shard that the session object does not know of",
        file: "src/core/connection/session-link.ts",
        find: "return !this.#persistent || (this.#keeping.size === 0 && this.#shards.has(shard));",
        replace: "return shard >= 0;",
      },
    ],
  },

  "a client sends QoS 2, its Worker dies, and PUBREL is the first thing that it sends": {
    rule: "After a resumption PUBREL waits until every shard of the set has said which ids it holds",
    harm: ID_LOST,
    play: reusesAfterResume,
    without: [
      {
        name: "PUBREL does not wait",
        file: "src/core/connection/publishing.ts",
        find: "if (this.#waits) this.#wait(0, (later) => this.#release(packetId, later));",
        replace: "if (packetId === 0) this.#wait(0, (later) => this.#release(packetId, later));",
      },
      {
        name: "a hello's answer does not say which ids the shard holds",
        file: "src/core/shard/roster.ts",
        find: "received: resumed ? this.#parts.received.ids(session) : [],",
        replace: "received: [],",
      },
    ],
  },

  "a client sends QoS 2 to two shards, its Worker dies, and it goes on with PUBREL": {
    rule: "The set of shards of a session only grows",
    harm: ID_LOST,
    play(hold) {
      const { world, watcher, client } = sender(2);
      client.publish(topicOn(world, 0), "a", { qos: 2, messageId: 1 });
      world.settle();
      client.publish(topicOn(world, 1), "b", { qos: 2, messageId: 2 });
      world.settle();
      assert.equal(client.all("pubrec").length, 2);
      const back = comeBack(world);
      reuse(back, 1, topicOn(world, 0), "c");
      reuse(back, 2, topicOn(world, 1), "d");
      hold(equal(watcher.payloads, ["a", "b", "c", "d"]), watcher.payloads);
    },
    without: [
      {
        name: "the set of shards is the last one that was used",
        file: "src/core/session/session.ts",
        find: "shards: [...kept.shards, ...more]",
        replace: "shards: more",
      },
    ],
  },

  // Each of the two is enough for a client that keeps its packet ids; this one does not.
  "a client forgets its packet ids, though its session goes on, and uses one again at another shard": {
    rule: "After a resumption QoS 2 PUBLISH waits too, and PUBREL goes to every shard that holds its id",
    harm: ID_LOST,
    play(hold) {
      const { world, watcher, client } = sender(2);
      client.publish(topicOn(world, 0), "a", { qos: 2, messageId: 1 });
      world.settle();
      const back = comeBack(world);
      back.publish(topicOn(world, 1), "b", { qos: 2, messageId: 1 });
      world.settle();
      reuse(back, 1, topicOn(world, 0), "c");
      reuse(back, 1, topicOn(world, 1), "d");
      hold(watcher.payloads.includes("c") && watcher.payloads.includes("d"), watcher.payloads);
    },
    without: [
      [
        {
          name: "QoS 2 PUBLISH does not wait",
          file: "src/core/connection/publishing.ts",
          find: "if (this.#waiting.length === 0 && (packet.qos < 2 || !this.#waits)) this.#publish(topic, packet, may, now);",
          replace: "if (this.#waiting.length === 0) this.#publish(topic, packet, may, now);",
        },
        {
          name: "PUBREL goes to one shard",
          file: "src/core/connection/publishing.ts",
          find: "for (const shard of shards) this.#host.link(shard, now).release(packetId);",
          replace: `const [one] = shards;
      shards.clear();
      shards.add(one!);
      this.#host.link(one!, now).release(packetId);`,
        },
      ],
    ],
  },

  // [MQTT-4.3.3-1]
  "a QoS 2 delivery is out, and everything restarts": {
    rule: "The place of a lasting session is stored before a QoS 2 PUBLISH leaves",
    harm: TWICE,
    play(hold) {
      const { world, subscriber, publisher } = receiver(2);
      subscriber.acknowledges = false;
      publishMany(publisher, "t/1", 3, 4, { qos: 2 });
      until(world, () => subscriber.payloads.length === 4);
      loseEverything(world);
      const back = world.connected("subscriber", lasting());
      world.advance(10_000);
      const first = deliveries(subscriber).at(-1)!;
      const again = deliveries(back);
      assert.equal(again.length, 1);
      hold(again[0]!.messageId === first.messageId && again[0]!.dup === true, [first.messageId, again[0]!.messageId]);
    },
    without: [
      {
        name: "a QoS 2 PUBLISH leaves before the place is stored",
        file: "src/core/shard/pump.ts",
        find: "    if (delivery.qos === 2) this.#places.exact(to);\n",
        replace: "",
      },
    ],
  },

  // [MQTT-4.3.3-6]
  "a QoS 2 delivery is released, and everything restarts before PUBCOMP": {
    rule: "The place of a lasting session is stored before PUBREL leaves",
    harm: TWICE,
    play(hold) {
      const { world, subscriber, publisher } = receiver(2);
      publishMany(publisher, "t/1", 3, 4, { qos: 2 });
      until(world, () => subscriber.all("pubrel").length === 4);
      loseEverything(world);
      const back = world.connected("subscriber", lasting());
      world.advance(10_000);
      assert.equal(back.all("pubrel").length, 1);
      hold(back.payloads.length === 0, back.payloads);
    },
    without: [
      {
        name: "PUBREL leaves before the place is stored",
        file: "src/core/shard/shard.ts",
        find: "    this.#places.exact(client);\n    this.#touch(client, now);\n    records.writeRecorded",
        replace: "    this.#touch(client, now);\n    records.writeRecorded",
      },
    ],
  },

  "a client has received a QoS 2 delivery, its shard does not hear of it, and everything restarts": {
    rule: "A connection sends PUBREL to a lasting session only when its shard has recorded PUBREC",
    harm: TWICE,
    play(hold) {
      const { world, subscriber, publisher } = receiver(2);
      publishMany(publisher, "t/1", 3, 4, { qos: 2 });
      until(world, () => subscriber.payloads.length === 4);
      world.link(subscriber, 0).up.held = true;
      world.advance(1_000);
      const released = subscriber.all("pubrel").length === 4;
      loseEverything(world);
      const back = world.connected("subscriber", lasting());
      world.advance(10_000);
      assert.equal(back.payloads.length, 1);
      hold(!released, "PUBREL, and then PUBLISH again");
    },
    without: [
      {
        name: "a connection answers PUBREC by itself",
        file: "src/core/connection/shard-link.ts",
        find: "    if (!persistent) {\n      delivery.phase = Phase.Received;",
        replace: "    if (packetId > 0) {\n      delivery.phase = Phase.Received;",
      },
    ],
  },

  // Decision 13: PUBCOMP is stored when it matters, like QoS 1. What may come again is a PUBREL.
  "a lasting session has been quiet for a minute, and everything restarts": {
    rule: "A place that has passed a stored entry is stored when the session is quiet, and at most every 30 s",
    harm: "messages that were acknowledged a minute ago come again",
    play(hold) {
      const { world, subscriber, publisher } = receiver(1);
      // Somebody else is owed the same, so the log keeps it.
      const other = world.connected("other", anew());
      subscribed(other, "t/#");
      disconnect(other);
      publishMany(publisher, "t/1", 3, 6);
      world.advance(60_000);
      assert.deepEqual(subscriber.payloads, numbers(0, 6));
      loseEverything(world);
      const back = world.connected("subscriber", lasting());
      world.advance(10_000);
      hold(back.payloads.length === 0, back.payloads);
    },
    without: [
      {
        name: "a checkpoint stores no place",
        file: "src/core/shard/place.ts",
        find: "      if (at <= now) this.#write(attendance, now);\n",
        replace: "      if (at <= now) continue;\n",
      },
    ],
  },

  "a lasting session is busy for a minute, and everything restarts": {
    rule: "A place that has passed a stored entry is stored at most every 30 s, however busy its session is",
    harm: "messages that were acknowledged a minute ago come again",
    play(hold) {
      const { world, subscriber, publisher } = receiver(1);
      const other = world.connected("other", anew());
      subscribed(other, "t/#");
      disconnect(other);
      for (let i = 3; i < 80; i++) {
        publishMany(publisher, "t/1", i, i + 1);
        world.advance(1_000);
      }
      assert.deepEqual(subscriber.payloads, numbers(0, 80));
      loseEverything(world);
      const back = world.connected("subscriber", lasting());
      world.advance(10_000);
      hold(
        back.payloads.every((payload) => Number(payload) > 40),
        back.payloads,
      );
    },
    without: [
      {
        name: "a place is stored only when its session is quiet",
        file: "src/core/shard/place.ts",
        find: "const at = Math.min((attendance.stored?.at ?? 0) + SAVE_MS, attendance.changedAt + QUIET_MS);",
        replace: "const at = attendance.changedAt + QUIET_MS;",
      },
    ],
  },

  "a lasting session says goodbye right after its last acknowledgement, and its shard restarts": {
    rule: "A place is stored when its session detaches",
    harm: "messages that were acknowledged before DISCONNECT come again",
    play(hold) {
      const { world, subscriber, publisher } = receiver(1);
      const other = world.connected("other", anew());
      subscribed(other, "t/#");
      disconnect(other);
      publishMany(publisher, "t/1", 3, 6);
      until(world, () => subscriber.payloads.length === 6);
      world.settle();
      disconnect(subscriber);
      world.shards[0]!.crash();
      const back = world.connected("subscriber", lasting());
      world.advance(10_000);
      hold(back.payloads.length === 0, back.payloads);
    },
    without: [
      {
        name: "a session that detaches leaves its place unsaved",
        file: "src/core/shard/place.ts",
        find: "    if (this.#later.delete(attendance) && this.#matters(attendance)) this.#now.add(attendance);",
        replace: "    this.#later.delete(attendance);",
      },
    ],
  },

  "a lasting session detaches with deliveries that it has not acknowledged, and its shard restarts": {
    rule: "A place is written whole: how far the log has come, and everything that is not acknowledged",
    harm: "a message that was sent and not acknowledged does not come again",
    play(hold) {
      const { world, subscriber, publisher } = receiver(1);
      subscriber.acknowledges = false;
      publishMany(publisher, "t/1", 3, 6);
      until(world, () => subscriber.payloads.length === 6);
      disconnect(subscriber);
      world.shards[0]!.crash();
      const back = world.connected("subscriber", lasting());
      world.advance(10_000);
      hold(equal(back.payloads, numbers(3, 6)) && deliveries(back).every(({ dup }) => dup), back.payloads);
    },
    without: [
      {
        name: "what is not acknowledged is not stored",
        file: "src/core/shard/place.ts",
        find: "writePlace(place, { cursor, inflight: [...inflight.values()], scans });",
        replace: "writePlace(place, { cursor, inflight: [], scans });",
      },
    ],
  },
};
