/** SUBSCRIBE of a session that outlives its connections, and what hellos do with its list. */
import assert from "node:assert/strict";
import { World } from "../world/world.ts";
import { anew, disconnect, lasting, loseEverything, rowsOf, subscribed, topicOn } from "./scene.ts";
import type { Schedules } from "./schedule.ts";

export const subscribe: Schedules = {
  "SUBSCRIBE while the session object hears nothing, and then the machine fails": {
    rule: "The session object stores the list before the shards are told, and SUBACK comes after both",
    harm: "a subscription that was confirmed is gone",
    play(hold) {
      const world = new World({ shards: 1 });
      const client = world.connected("client", anew());
      world.link(client, "session").up.held = true;
      client.subscribe("t/#", 1);
      world.advance(2_000);
      const confirmed = client.all("suback").length > 0;
      loseEverything(world);
      const back = world.connected("client", lasting());
      assert.equal(back.last("connack")!.sessionPresent, true);
      world.connected("publisher").publish("t/1", "x", { qos: 1 });
      world.advance(5_000);
      hold(!confirmed || back.payloads.length === 1, "no message");
    },
    without: [
      {
        name: "the shards are told, and SUBACK leaves, while the session object is being asked",
        file: "src/core/connection/session-link.ts",
        find: "    const keeping = { request: ++this.#requests, put, remove, shards: more, goOn };",
        replace: `    const keeping = { request: ++this.#requests, put, remove, shards: more, goOn: () => {} };
    goOn(now);`,
      },
    ],
  },

  "a subscription is stored, and the machine fails before its shard has heard of it": {
    rule: "A hello carries the session's list, and a shard that lacks some of it takes it before it answers",
    harm: "a subscription of a session that was resumed brings nothing",
    play(hold) {
      const world = new World({ shards: 1 });
      const client = world.connected("client", anew());
      subscribed(client, "other");
      world.link(client, 0).up.held = true;
      client.subscribe("t/#", 1);
      world.advance(100);
      assert.deepEqual(
        [rowsOf(world.session("client"), "subscription"), rowsOf(world.shards[0]!, "subscription")],
        [2, 1],
      );
      loseEverything(world);
      const back = world.connected("client", lasting());
      world.connected("publisher").publish("t/1", "x", { qos: 1 });
      world.advance(5_000);
      hold(back.payloads.length === 1, "no message");
    },
    without: [
      {
        name: "a shard takes nothing from a hello that it does not know of the session",
        file: "src/core/shard/roster.ts",
        find: "for (const subscription of hello.subscriptions) this.#take(attendance, subscription, earlier);",
        replace: `for (const subscription of hello.subscriptions)
      if (!earlier || earlier.subscriptions.has(subscription.filter)) this.#take(attendance, subscription, earlier);`,
      },
    ],
  },

  "UNSUBSCRIBE is stored, and the machine fails before its shard has heard of it": {
    rule: "A hello carries the session's list, and a shard that has more drops it before it answers",
    harm: "a session gets messages of a filter that it has given up",
    play(hold) {
      const world = new World({ shards: 1 });
      const client = world.connected("client", anew());
      subscribed(client, "other");
      subscribed(client, "t/#");
      world.link(client, 0).up.held = true;
      client.unsubscribe("t/#");
      world.advance(100);
      assert.deepEqual(
        [rowsOf(world.session("client"), "subscription"), rowsOf(world.shards[0]!, "subscription")],
        [1, 2],
      );
      loseEverything(world);
      const back = world.connected("client", lasting());
      world.connected("publisher").publish("t/1", "x", { qos: 1 });
      world.advance(5_000);
      hold(back.payloads.length === 0, back.payloads);
    },
    without: [
      {
        name: "a shard keeps what it knows of the session beyond the hello's list",
        file: "src/core/shard/roster.ts",
        find: "    groups.greeted(attendance, hello, previous);",
        replace: `    for (const known of earlier?.subscriptions.values() ?? [])
      if (!attendance.subscriptions.has(known.filter)) this.#put(attendance, known);
    groups.greeted(attendance, hello, previous);`,
      },
    ],
  },

  "SUBSCRIBE of a filter for all shards, one of which is away": {
    rule: "A filter that some shard does not confirm within 10 s gets 0x80",
    harm: "SUBSCRIBE is not answered",
    play(hold) {
      const world = new World({ shards: 2 });
      const client = world.connected("client");
      world.shards[1]!.reachable = false;
      client.subscribe("#", 1);
      world.advance(11_000);
      hold(client.last("suback")?.granted?.join() === "128" && client.closed === undefined, client.received);
    },
    without: [
      {
        name: "SUBSCRIBE waits for its shards as long as it takes",
        file: "src/core/connection/subscribing.ts",
        find: "export const CONFIRM_MS = 10_000;",
        replace: "export const CONFIRM_MS = 10_000_000;",
      },
    ],
  },

  "SUBSCRIBE fails because one of two shards is away, and the other has confirmed": {
    rule: "A filter that was answered 0x80 is undone on the shards that have confirmed it",
    harm: "a subscription that failed brings messages",
    play(hold) {
      const world = new World({ shards: 2 });
      const client = world.connected("client");
      world.shards[1]!.reachable = false;
      client.subscribe("#", 1);
      world.advance(11_000);
      assert.deepEqual(client.last("suback")?.granted, [0x80]);
      world.connected("publisher").publish(topicOn(world, 0), "x", { qos: 1 });
      world.advance(5_000);
      hold(client.payloads.length === 0, client.payloads);
    },
    without: [
      {
        name: "a SUBSCRIBE that failed stays in force where it was confirmed",
        file: "src/core/connection/subscribing.ts",
        find: "      else this.#restore(link, filter, previous);\n    }\n    if (!subscription) return;",
        replace: "    }\n    if (!subscription) return;",
      },
    ],
  },

  "SUBSCRIBE fails because a shard is away that has taken it, and whose answer is lost": {
    rule: "A filter that was answered 0x80 is undone on the shards that have not confirmed it, too",
    harm: "a subscription that failed brings messages",
    play(hold) {
      const world = new World({ shards: 2 });
      const client = world.connected("client");
      subscribed(client, "t/+/+");
      const away = world.link(client, 1);
      away.down.held = true;
      client.subscribe("#", 1);
      world.advance(11_000);
      assert.deepEqual(client.last("suback")?.granted, [0x80]);
      away.down.held = false;
      world.advance(1_000);
      world.connected("publisher").publish(topicOn(world, 1), "x", { qos: 1 });
      world.advance(5_000);
      hold(client.payloads.length === 0, client.payloads);
    },
    without: [
      {
        name: "a SUBSCRIBE that failed stays in force where nobody knows whether it is",
        file: "src/core/connection/subscribing.ts",
        find: "} else if (!this.#laterOn(request, entry.filter, shard)) {",
        replace: "} else if (pending.entries.length === 0) {",
      },
    ],
  },

  "a session is resumed after a SUBSCRIBE of it has failed": {
    rule: "A filter that was answered 0x80 is taken off the session object's list again",
    harm: "a subscription that failed comes back with the session",
    play(hold) {
      const world = new World({ shards: 2 });
      const client = world.connected("client", anew());
      world.shards[1]!.reachable = false;
      client.subscribe("#", 1);
      world.advance(11_000);
      assert.deepEqual(client.last("suback")?.granted, [0x80]);
      world.shards[1]!.reachable = true;
      world.advance(5_000);
      disconnect(client);
      const back = world.connected("client", lasting());
      world.connected("publisher").publish("t/1", "x", { qos: 1 });
      world.advance(5_000);
      hold(back.payloads.length === 0, back.payloads);
    },
    without: [
      {
        name: "the session object keeps a filter that was answered 0x80",
        file: "src/core/connection/subscribing.ts",
        find: "    this.#host.keep(change, now, () => {});",
        replace: "",
      },
    ],
  },

  "retained messages have come, and the session is resumed, and its shard restarts": {
    rule: "A hello never brings retained messages",
    harm: "retained messages come again without SUBSCRIBE",
    play(hold) {
      const world = new World({ shards: 1 });
      world.connected("publisher").publish("t/1", "kept", { qos: 1, retain: true });
      world.settle();
      const client = world.connected("client", anew());
      subscribed(client, "t/#");
      assert.deepEqual(client.payloads, ["kept"]);
      world.shards[0]!.crash();
      world.advance(5_000);
      disconnect(client);
      const back = world.connected("client", lasting());
      world.advance(5_000);
      hold(client.payloads.length + back.payloads.length === 1, [client.payloads, back.payloads]);
    },
    without: [
      {
        name: "a hello asks for retained messages as SUBSCRIBE does",
        file: "src/core/shard/roster.ts",
        find: "const scan = wanted.start === undefined ? known?.scan : wanted.scan;",
        replace:
          "const scan = (wanted.start === undefined ? known?.scan : wanted.scan) ?? { after: 0, upTo: this.#parts.log.head };",
      },
    ],
  },
};
