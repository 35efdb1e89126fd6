/** A session is (client id, generation), and its object outlasts whatever its shards still owe it. */
import assert from "node:assert/strict";
import { World } from "../world/world.ts";
import type { Mutation } from "../mutation/mutation.ts";
import { anew, disconnect, lasting, relink, rowsOf, subscribed, will } from "./scene.ts";
import type { Schedules } from "./schedule.ts";

const sameGeneration: Mutation = {
  name: "a clean start goes on under the old generation",
  file: "src/core/session/session.ts",
  find: "generation: resumed?.generation ?? Math.max(this.#latest.generation + 1, now),",
  replace: "generation: resumed?.generation ?? (this.#latest.generation || now),",
};

/** A session with one message that was sent and not acknowledged, and its only shard knows it. */
function leaveOne(world: World, seconds: number): void {
  const client = world.connected("client", anew(seconds));
  client.acknowledges = false;
  subscribed(client, "t/#");
  publishOne(world, "old");
  assert.deepEqual(client.payloads, ["old"]);
  disconnect(client);
}

function publishOne(world: World, payload: string): void {
  const publisher = world.connected(`publisher of ${payload}`);
  publisher.publish("t/1", payload, { qos: 1 });
  world.advance(5_000);
  assert.equal(publisher.acknowledged.length, 1);
}

export const sessions: Schedules = {
  "a clean start while the shard of the old session is away": {
    rule: "CONNACK waits for no shard: a new generation is stored, and the old one is wiped afterwards",
    harm: "the client gets no CONNACK while some shard is away",
    play(hold) {
      const world = new World({ shards: 1 });
      leaveOne(world, 600);
      world.shards[0]!.reachable = false;
      const client = world.connected("client", anew());
      world.advance(1_000);
      hold(client.last("connack")?.reasonCode === 0, client.received);
    },
    without: [
      {
        name: "CONNACK waits until the shards have forgotten the old session",
        file: "src/core/session/session.ts",
        find: "this.#welcome(link, connect, true, now);",
        replace: "if (this.#wipes.empty) this.#welcome(link, connect, true, now);",
      },
    ],
  },

  "a clean start while the shard of the old session is away, which then comes back": {
    rule: "Shards tell the lives of a session apart by their generation, and a lower one is absent",
    harm: "a session that is begun anew gets what the old one was owed",
    play(hold) {
      const world = new World({ shards: 1 });
      leaveOne(world, 600);
      const [shard] = world.shards;
      shard!.reachable = false;
      const client = world.connected("client", anew());
      shard!.reachable = true;
      // Before the wipe is tried again.
      client.subscribe("t/#", 1);
      world.advance(5_000);
      assert.equal(client.all("suback").length, 1);
      hold(client.payloads.length === 0, client.payloads);
    },
    without: [
      sameGeneration,
      {
        name: "a shard goes on with a session of a lower generation",
        file: "src/core/shard/roster.ts",
        find: "const earlier = previous?.persistent && previous.generation === hello.generation ? previous : undefined;",
        replace: "const earlier = previous?.persistent ? previous : undefined;",
      },
    ],
  },

  "a clean start that asks for nothing lasting, while the shard of the old session is away": {
    rule: "Wipes that failed are made again, by an alarm",
    harm: "a shard keeps a session that was ended",
    play(hold) {
      const world = new World({ shards: 1 });
      leaveOne(world, 30 * 24 * 3600);
      const [shard] = world.shards;
      shard!.reachable = false;
      disconnect(world.connected("client"));
      // The object sleeps: only an alarm wakes it.
      world.session("client").evict();
      world.advance(60_000);
      shard!.reachable = true;
      world.advance(3600_000);
      hold(rowsOf(shard!, "session") + rowsOf(shard!, "subscription") === 0, shard!.sql.rows("SELECT * FROM session"));
    },
    without: [
      {
        name: "a wipe is tried once",
        file: "src/core/session/wipes.ts",
        find: "for (const shard of this.#wipes.keys()) at = Math.min(at ?? Infinity, this.#attempts.at(shard, 0));",
        replace: "",
      },
      {
        name: "the object deletes itself although a shard has not confirmed the wipe",
        file: "src/core/session/session.ts",
        find: "return this.#kept !== undefined || !this.#wills.empty || !this.#wipes.empty;",
        replace: "return this.#kept !== undefined || !this.#wills.empty;",
      },
    ],
  },

  "a session expires while its shard is away, and the wipe comes after the client's next session": {
    rule: "A wipe names its generation: an expiry that races a CONNECT destroys nothing",
    harm: "the wipe of an expired session takes the new one with it",
    play(hold) {
      const world = new World({ shards: 1 });
      leaveOne(world, 600);
      const [shard] = world.shards;
      shard!.reachable = false;
      world.advance(700_000);
      assert.equal(rowsOf(world.session("client"), "wipe"), 1);
      shard!.reachable = true;
      const client = world.connected("client", lasting());
      assert.equal(client.last("connack")!.sessionPresent, false);
      subscribed(client, "t/#");
      disconnect(client);
      publishOne(world, "new");
      world.advance(900_000);
      assert.equal(rowsOf(world.session("client"), "wipe"), 0);
      const back = world.connected("client", lasting());
      world.advance(5_000);
      hold(back.payloads.join() === "new", back.received);
    },
    without: [
      {
        name: "a wipe ends whatever generation the shard has",
        file: "src/core/shard/roster.ts",
        find: "if (attendance && attendance.generation <= generation) {",
        replace: "if (attendance) {",
      },
      sameGeneration,
    ],
  },

  "a hello arrives nine seconds late, after its session was wiped": {
    rule: "A shard remembers which generations were wiped, and refuses them",
    harm: "a shard keeps a session that was ended",
    play(hold) {
      const world = new World({ shards: 1 });
      const client = world.connected("client", anew());
      subscribed(client, "t/#");
      relink(client, 9_000);
      // Takes the old connection over, and ends its session.
      disconnect(world.connected("client"));
      const [shard] = world.shards;
      assert.deepEqual([rowsOf(shard!, "session"), rowsOf(shard!, "ended")], [0, 1]);
      world.advance(30_000);
      hold(rowsOf(shard!, "session") === 0, shard!.sql.rows("SELECT session, generation FROM session"));
    },
    without: [
      {
        name: "a shard takes a generation in that was wiped",
        file: "src/core/shard/roster.ts",
        find: "hello.epoch <= store.willDoneEpoch(hello.session) || hello.generation <= store.endedGeneration(hello.session);",
        replace: "hello.epoch <= store.willDoneEpoch(hello.session);",
      },
    ],
  },

  "a clean start while the shard is away that holds a QoS 2 id of the old session": {
    rule: "QoS 2 ids of a lower generation are absent too",
    harm: "the first QoS 2 message of a session is taken for one of the session before",
    play(hold) {
      const world = new World({ shards: 1 });
      const watcher = world.connected("watcher", {}, 5, "elsewhere");
      subscribed(watcher, "t");
      const old = world.connected("client", anew());
      old.releases = false;
      old.publish("t", "a", { qos: 2, messageId: 1 });
      world.settle();
      assert.equal(old.all("pubrec").length, 1);
      world.shards[0]!.reachable = false;
      const client = world.connected("client", anew());
      world.shards[0]!.reachable = true;
      client.publish("t", "b", { qos: 2, messageId: 1 });
      world.advance(5_000);
      assert.deepEqual(client.completed, [1]);
      hold(watcher.payloads.join() === "a,b", watcher.payloads);
    },
    without: [
      {
        name: "QoS 2 ids outlive their session",
        file: "src/core/shard/received.ts",
        find: "if (known && known.generation < generation) this.forget(session);",
        replace: "",
      },
    ],
  },

  "a client comes back, and the clock of its session object is a minute behind": {
    rule: "Each accepted CONNECT raises the epoch, whatever the clock says",
    harm: "a client that comes back is refused as its own predecessor",
    play(hold) {
      const world = new World({ shards: 1 });
      const old = world.connected("client", anew());
      subscribed(old, "t");
      world.now -= 60_000;
      const client = world.connected("client", lasting());
      client.subscribe("u", 1);
      world.advance(5_000);
      hold(client.closed === undefined && client.all("suback").length === 1, client.received);
    },
    without: [
      {
        name: "an epoch is the time",
        file: "src/core/session/session.ts",
        find: "epoch: Math.max(this.#latest.epoch + 1, now),",
        replace: "epoch: now,",
      },
    ],
  },

  "a client begins anew, and the clock of its session object is a minute behind": {
    rule: "Each new session has a higher generation, whatever the clock says",
    harm: "a session that is begun anew is refused as one that was ended",
    play(hold) {
      const world = new World({ shards: 1 });
      const old = world.connected("client", anew());
      subscribed(old, "t");
      world.now -= 60_000;
      const client = world.connected("client", anew());
      client.subscribe("u", 1);
      world.advance(5_000);
      hold(client.closed === undefined && client.all("suback").length === 1, client.received);
    },
    without: [
      {
        name: "a generation is the time",
        file: "src/core/session/session.ts",
        find: "generation: resumed?.generation ?? Math.max(this.#latest.generation + 1, now),",
        replace: "generation: resumed?.generation ?? now,",
      },
    ],
  },

  "a client with a will comes back when its session object has forgotten everything": {
    rule: "Epochs never begin again at 1: they are the time, or more",
    harm: "a client that comes back is refused as its own predecessor",
    play(hold) {
      const world = new World({ shards: 1 });
      world.connected("client", will("t/1")).cut();
      world.advance(60_000);
      assert.deepEqual([rowsOf(world.session("client"), "will"), rowsOf(world.shards[0]!, "will_done")], [0, 1]);
      world.session("client").evict();
      const client = world.connected("client");
      client.subscribe("t/1", 1);
      world.advance(5_000);
      hold(client.closed === undefined && client.all("suback").length === 1, client.received);
    },
    without: [
      {
        name: "epochs begin at 1",
        file: "src/core/session/session.ts",
        find: "epoch: Math.max(this.#latest.epoch + 1, now),",
        replace: "epoch: this.#latest.epoch + 1,",
      },
    ],
  },

  "a session is ended and begun again when its session object has forgotten everything": {
    rule: "Generations never begin again at 1: they are the time, or more",
    harm: "a session that is begun anew is refused as one that was ended",
    play(hold) {
      const world = new World({ shards: 1 });
      subscribed(world.connected("client", anew()), "t/1");
      disconnect(world.connected("client"));
      world.advance(60_000);
      assert.deepEqual([rowsOf(world.session("client"), "session"), rowsOf(world.shards[0]!, "ended")], [0, 1]);
      world.session("client").evict();
      const client = world.connected("client", anew());
      client.subscribe("t/1", 1);
      world.advance(5_000);
      hold(client.closed === undefined && client.all("suback").length === 1, client.received);
    },
    without: [
      {
        name: "generations begin at 1",
        file: "src/core/session/session.ts",
        find: "generation: resumed?.generation ?? Math.max(this.#latest.generation + 1, now),",
        replace: "generation: resumed?.generation ?? this.#latest.generation + 1,",
      },
    ],
  },
};
