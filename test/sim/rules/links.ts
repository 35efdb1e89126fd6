/** A broken link is not a broken client. */
import assert from "node:assert/strict";
import type { Client } from "../world/client.ts";
import { World } from "../world/world.ts";
import { anew, assertAcknowledged, equal, numbers, pair, publishMany, subscribed, until } from "./scene.ts";
import type { Schedules } from "./schedule.ts";

const FAULTS: ((world: World, subscriber: Client, publisher: Client) => void)[] = [
  (world) => world.shards[0]!.crash(),
  (world) => world.shards[0]!.evict(),
  (world, _subscriber, publisher) => world.link(publisher, 0).drop(),
  (world, subscriber) => world.link(subscriber, 0).drop(),
  (world, subscriber, publisher) => [subscriber, publisher].forEach((client) => world.link(client, 0).drop()),
];

export const links: Schedules = {
  "a shard restarts, or sleeps, or links break, at every moment of a burst": {
    rule: "A connection whose link broke opens another, and its client does not notice",
    harm: "a client is disconnected because a link broke",
    play(hold) {
      for (const fault of FAULTS) {
        for (let moment = 0; moment < 14; moment++) {
          const world = new World({ shards: 1 });
          const { subscriber, publisher } = pair(world);
          publishMany(publisher, "t/1", 0, 5);
          world.advance(moment);
          publishMany(publisher, "t/1", 5, 10);
          fault(world, subscriber, publisher);
          publishMany(publisher, "t/1", 10, 15);
          world.advance(10_000);
          hold(subscriber.closed === undefined && publisher.closed === undefined, `after ${moment} ms`);
          assert.deepEqual([...new Set(subscriber.payloads)], numbers(0, 15));
          assertAcknowledged(publisher, 15);
          assert.deepEqual(subscriber.reused, []);
          assert(subscriber.all("publish").every(({ dup }) => !dup));
        }
      }
    },
    without: [
      {
        name: "a link that breaks takes its client with it",
        file: "src/core/connection/link-life.ts",
        find: "if (now - this.#brokenSince >= GIVE_UP_MS) {",
        replace: "if (now - this.#brokenSince >= 0) {",
      },
    ],
  },

  "a shard restarts that twenty connections have links to": {
    rule: "Connections come back after jittered delays",
    harm: "all connections of an object that restarted come back in one instant",
    play(hold) {
      let draws = 0;
      const world = new World({ shards: 1, random: () => (++draws * 0.37) % 1 });
      for (let i = 0; i < 20; i++) subscribed(world.connected(`${i}`), "t");
      const [shard] = world.shards;
      const came = new Map<number, number>();
      const accept = shard!.accept.bind(shard);
      shard!.accept = (link) => {
        came.set(world.now, (came.get(world.now) ?? 0) + 1);
        return accept(link);
      };
      shard!.crash();
      world.advance(5_000);
      const counts = [...came.values()];
      assert.equal(
        counts.reduce((sum, count) => sum + count, 0),
        20,
      );
      hold(Math.max(...counts) <= 5, counts);
    },
    without: [
      {
        name: "delays are not jittered",
        file: "src/core/connection/link-life.ts",
        find: "delay * (0.5 + this.#random() / 2)",
        replace: "delay",
      },
    ],
  },

  "a shard is away for 20 s that a connection has a link to": {
    rule: "A connection tries again ever more rarely",
    harm: "an object that is away is asked again and again",
    play(hold) {
      const world = new World({ shards: 1 });
      const { subscriber } = pair(world);
      const { openLink } = world;
      let asked = 0;
      world.openLink = (driver, name) => {
        asked += 1;
        return openLink.call(world, driver, name);
      };
      world.shards[0]!.reachable = false;
      world.link(subscriber, 0).drop();
      world.advance(20_000);
      hold(asked > 5 && asked < 25, `${asked} times`);
    },
    without: [
      {
        name: "delays do not grow",
        file: "src/core/connection/link-life.ts",
        find: "DELAY_FIRST_MS * 2 ** this.#attempts",
        replace: "DELAY_FIRST_MS",
      },
    ],
  },

  "a shard restarts that a transient session is subscribed at": {
    rule: "The hello of a session that nothing is stored of brings its subscriptions",
    harm: "a subscriber gets nothing more after a restart of its shard",
    play(hold) {
      const world = new World({ shards: 1 });
      const { subscriber, publisher } = pair(world);
      world.shards[0]!.crash();
      world.advance(5_000);
      publishMany(publisher, "t/1", 0, 3);
      world.advance(5_000);
      assertAcknowledged(publisher, 3);
      hold(equal(subscriber.payloads, numbers(0, 3)), subscriber.payloads);
    },
    without: [
      {
        name: "a hello brings no subscriptions",
        file: "src/core/connection/shard-link.ts",
        find: "subscriptions: [...this.subscriptions.values()],",
        replace: "subscriptions: [],",
      },
    ],
  },

  "a shard restarts while its client holds deliveries that it has not acknowledged": {
    rule: "A hello lists what is in flight at the client",
    harm: "a packet id is used again that the client still holds",
    play(hold) {
      const world = new World({ shards: 1 });
      const { subscriber, publisher } = pair(world);
      subscriber.acknowledges = false;
      publishMany(publisher, "t/1", 0, 5);
      world.settle();
      world.shards[0]!.crash();
      world.advance(5_000);
      publishMany(publisher, "t/1", 5, 10);
      world.advance(5_000);
      assert.deepEqual([...new Set(subscriber.payloads)], numbers(0, 10));
      hold(subscriber.reused.length === 0, subscriber.reused);
    },
    without: [
      {
        name: "a hello does not list what is in flight",
        file: "src/core/connection/shard-link.ts",
        find: "inflight: [...this.inflight.values(), ...this.#resuming.values()],",
        replace: "inflight: [],",
      },
    ],
  },

  // [MQTT-4.4.0-1]
  "a shard restarts after some deliveries were acknowledged and others were not": {
    rule: "What was written to a client is not written again while its socket lives",
    harm: "a message is written to a client twice",
    play(hold) {
      for (let moment = 0; moment < 8; moment++) {
        const world = new World({ shards: 1 });
        const { subscriber, publisher } = pair(world);
        subscriber.acknowledges = false;
        publishMany(publisher, "t/1", 0, 5);
        world.settle();
        const ids = subscriber.all("publish").map(({ messageId }) => messageId!);
        for (const id of ids.slice(0, 2)) subscriber.puback(id);
        world.advance(moment);
        world.shards[0]!.crash();
        world.advance(5_000);
        for (const id of ids.slice(2)) subscriber.puback(id);
        subscriber.acknowledges = true;
        publishMany(publisher, "t/1", 5, 8);
        world.advance(5_000);
        assert.equal(subscriber.closed, undefined);
        hold(equal(subscriber.payloads, numbers(0, 8)), `after ${moment} ms: ${subscriber.payloads.join()}`);
      }
    },
    without: [
      {
        name: "a shard sends again whatever the hello says is in flight",
        file: "src/core/shard/roster.ts",
        find: "} else if (hello.cursor !== undefined && log.holdsAfter(hello.cursor)) attendance.behind = hello.cursor;",
        replace: `} else if (hello.cursor !== undefined)
      attendance.behind = Math.min(hello.cursor, ...hello.inflight.map(({ offset }) => offset - 1));`,
      },
    ],
  },

  "a link breaks with deliveries on their way, at every moment": {
    rule: "A hello says how far the log has come to the client, and what was lost behind that is sent as new",
    harm: "a message that was on its way over a link is lost with it",
    play(hold) {
      for (let moment = 0; moment < 8; moment++) {
        const world = new World({ shards: 1 });
        const { subscriber, publisher } = pair(world);
        publishMany(publisher, "t/1", 0, 3);
        world.advance(moment);
        publishMany(publisher, "t/1", 3, 6);
        world.link(subscriber, 0).drop();
        publishMany(publisher, "t/1", 6, 9);
        world.advance(5_000);
        assertAcknowledged(publisher, 9);
        assert.equal(subscriber.closed, undefined);
        hold(equal(subscriber.payloads, numbers(0, 9)), `after ${moment} ms: ${subscriber.payloads.join()}`);
        assert(subscriber.all("publish").every(({ dup }) => !dup));
      }
    },
    without: [
      {
        name: "a hello does not say how far the log has come",
        file: "src/core/connection/shard-link.ts",
        find: "cursor: this.#cursor,",
        replace: "cursor: undefined,",
      },
    ],
  },

  "a link breaks with the news that a client has received a QoS 2 delivery": {
    rule: "Acknowledgements that the shard has not confirmed go again",
    harm: "PUBREC is never answered",
    play(hold) {
      const world = new World({ shards: 1 });
      const subscriber = world.connected("subscriber", anew());
      subscribed(subscriber, "t/#", 2);
      const publisher = world.connected("publisher");
      publisher.publish("t/1", "x", { qos: 2 });
      until(world, () => subscriber.payloads.length === 1);
      const link = world.link(subscriber, 0);
      link.up.held = true;
      world.advance(50);
      link.drop();
      world.advance(5_000);
      hold(subscriber.all("pubrel").length === 1 && subscriber.unacknowledged.size === 0, subscriber.received);
    },
    without: [
      {
        name: "RECEIVED does not go again",
        file: "src/core/connection/shard-link.ts",
        find: "    for (const packetId of this.#recording) records.writeReceived(to, packetId);",
        replace: "",
      },
    ],
  },

  "a link breaks with publishes or the answers to them, and their client goes on publishing": {
    rule: "Unanswered publishes go again before new ones",
    harm: "messages of one publisher are delivered in another order",
    play(hold) {
      for (const lost of ["up", "down"] as const) {
        const world = new World({ shards: 1 });
        const { subscriber, publisher } = pair(world);
        const link = world.link(publisher, 0);
        link[lost].held = true;
        publishMany(publisher, "t/1", 0, 3);
        world.advance(10);
        link.drop();
        link[lost].held = false;
        publishMany(publisher, "t/1", 3, 6);
        world.advance(5_000);
        assertAcknowledged(publisher, 6);
        assert.equal(new Set(subscriber.payloads).size, 6);
        // What the shard had taken already it delivers twice, in its order.
        hold(equal(subscriber.payloads.slice(-6), numbers(0, 6)), subscriber.payloads);
      }
    },
    without: [
      {
        name: "new publishes go before those that were sent and not answered",
        file: "src/core/connection/shard-link.ts",
        find: "again.push({ order, what: () => records.writePublish(to, packetId, what) });",
        replace:
          "again.push({ order: sent ? order + 1_000_000 : order, what: () => records.writePublish(to, packetId, what) });",
      },
    ],
  },

  "a link breaks with publishes on their way": {
    rule: "Publishes that the shard has not answered go again",
    harm: "a QoS 1 message is never acknowledged",
    play(hold) {
      const world = new World({ shards: 1 });
      const { publisher } = pair(world);
      const link = world.link(publisher, 0);
      link.up.held = true;
      publishMany(publisher, "t/1", 0, 3);
      world.advance(10);
      link.drop();
      world.advance(10_000);
      hold(publisher.acknowledged.length === 3 && publisher.closed === undefined, publisher.acknowledged);
    },
    without: [
      {
        name: "what was sent once is not sent again",
        file: "src/core/connection/shard-link.ts",
        find: "if (leaving && (sent || hello.persistent)) continue;",
        replace: "if (sent || (leaving && hello.persistent)) continue;",
      },
    ],
  },

  "a shard is away for 35 s": {
    rule: "After 30 s a connection gives up, and ends its client with 0x89",
    harm: "a client waits for ever for a shard that is away",
    play(hold) {
      const world = new World({ shards: 1 });
      const { publisher } = pair(world);
      world.shards[0]!.reachable = false;
      world.shards[0]!.crash();
      publishMany(publisher, "t/1", 0, 1);
      world.advance(35_000);
      hold(publisher.last("disconnect")?.reasonCode === 0x89 && publisher.closed !== undefined, publisher.received);
    },
    without: [
      {
        name: "a connection never gives up",
        file: "src/core/connection/link-life.ts",
        find: "export const GIVE_UP_MS = 30_000;",
        replace: "export const GIVE_UP_MS = 30_000_000;",
      },
    ],
  },

  "a session object is away for 35 s when a client connects": {
    rule: "After 30 s a connection gives up, and refuses its client with 0x88",
    harm: "a client waits for ever for CONNACK",
    play(hold) {
      const world = new World({ shards: 1 });
      world.session("client").reachable = false;
      const client = world.connected("client");
      world.advance(35_000);
      hold(client.last("connack")?.reasonCode === 0x88 && client.closed !== undefined, client.received);
    },
    without: [
      {
        name: "a connection never gives up",
        file: "src/core/connection/link-life.ts",
        find: "export const GIVE_UP_MS = 30_000;",
        replace: "export const GIVE_UP_MS = 30_000_000;",
      },
    ],
  },
};
