/** A connection outlives deploys, and objects run another release for a while. */
import assert from "node:assert/strict";
import { ByteReader } from "../../../src/link/bytes.ts";
import { Kind, type LinkVersions, readRecord } from "../../../src/link/records.ts";
import { type Client } from "../world/client.ts";
import { World } from "../world/world.ts";
import { equal, numbers, publishMany, subscribed } from "./scene.ts";
import type { Schedules } from "./schedule.ts";

/** Three releases in a row: each reads its own version and the one before. */
const FIRST: LinkVersions = { min: 1, max: 1 };
const SECOND: LinkVersions = { min: 1, max: 2 };
const THIRD: LinkVersions = { min: 2, max: 3 };

/** Which versions objects pick for a client's links. */
function picked(client: Client): number[] {
  const versions: number[] = [];
  const { driver } = client;
  const frame = driver.frame.bind(driver);
  driver.frame = (link, bytes) => {
    const record = readRecord(new ByteReader(bytes), 0);
    if (record.kind === Kind.Welcome || record.kind === Kind.Attached) versions.push(record.version);
    frame(link, bytes);
  };
  return versions;
}

const TALK = "two releases talk on of which one does not read what the other writes";

export const versions: Schedules = {
  "a deploy restarts all objects under connections of the release before": {
    rule: "Every release reads its own version of links and the one before",
    harm: "a deploy disconnects the clients that are there",
    play(hold) {
      const world = new World({ shards: 1 });
      world.deploys.workers(FIRST);
      world.deploys.objects(FIRST, 0);
      world.settle();
      const subscriber = world.connected("subscriber");
      subscribed(subscriber, "t");
      const publisher = world.connected("publisher");
      world.deploy(SECOND, 500);
      for (let i = 0; i < 10; i++) {
        publishMany(publisher, "t", i, i + 1);
        world.advance(500);
      }
      world.advance(30_000);
      hold(subscriber.closed === undefined && publisher.closed === undefined, `${subscriber.closed}`);
      assert(equal([...new Set(subscriber.payloads)], numbers(0, 10)));
    },
    without: [
      {
        name: "both ends of a link have to be of one release",
        file: "src/link/records.ts",
        find: "const version = Math.min(max, versionMax);",
        replace: "const version = max === versionMax ? max : 0;",
      },
    ],
  },

  "a connection meets objects of the release after its own": {
    rule: "The object picks the version, and none that the connection does not read",
    harm: TALK,
    play(hold) {
      const world = new World({ shards: 1 });
      world.deploys.workers(FIRST);
      world.deploys.objects(SECOND, 0);
      world.settle();
      const client = world.client("client");
      const versions = picked(client);
      client.connect();
      world.settle();
      client.subscribe("t", 1);
      world.settle();
      assert.equal(versions.length, 2);
      hold(equal(versions, [1, 1]), versions);
    },
    without: [
      {
        name: "an object writes its own version",
        file: "src/link/records.ts",
        find: "const version = Math.min(max, versionMax);",
        replace: "const version = max;",
      },
    ],
  },

  "two deploys go by under one connection": {
    rule: "Without a common version an object refuses with 0x8B, and the client is closed politely",
    harm: TALK,
    play(hold) {
      const world = new World({ shards: 1 });
      world.deploys.workers(FIRST);
      world.deploys.objects(FIRST, 0);
      world.settle();
      const client = world.connected("client");
      subscribed(client, "t");
      world.deploy(THIRD, 0);
      world.advance(10_000);
      hold(client.last("disconnect")?.reasonCode === 0x8b && client.closed === 1012, `${client.closed}`);
    },
    without: [
      {
        name: "an object takes any version",
        file: "src/link/records.ts",
        find: "return version < Math.max(min, versionMin) ? undefined : version;",
        replace: "return version;",
      },
    ],
  },
};
