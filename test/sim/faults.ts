/** What a simulated platform and network can do besides what real ones can be made to do (`test/trial/faults.ts`). */

import { FAIR_FAULTS, fault, type Fault, note, type Scene } from "../trial/faults.ts";
import { nameOf } from "../trial/site.ts";
import type { SimulatedSite } from "./site.ts";

/** The longest that an end of a dead link does not learn of it. */
const DEAD_MS = 30_000;
/** What makes most of the others worse, and so much more often than any of them. */
const OFTEN: readonly string[] = ["ambush", "deaf"];
const OFTEN_TIMES = 4;
/** A release that reads and writes the version of the one before. */
const RELEASES = [
  { min: 1, max: 1 },
  { min: 1, max: 2 },
] as const;

type Strike = (site: SimulatedSite, scene: Scene) => void | Promise<void>;

const SIMULATED = {
  /** A link takes its time from now on, in one direction. */
  delay(site, { random, history }) {
    const links = site.linesOf().flatMap(({ driver }) => [...driver.links.values()]);
    if (links.length === 0) return;
    const link = random.of(links);
    const delayMs = random.below(300);
    note(history, "delay", `${link.name} by ${delayMs} ms`);
    random.of([link.up, link.down]).delayMs = delayMs;
  },

  /** Nobody reaches a shard for a while; the links that there are stay. */
  async hide(site, { random, history }) {
    const shard = random.of(site.world.shards);
    note(history, "hide", `shard ${shard.shard}`);
    shard.reachable = false;
    await site.sleep(random.below(random.of([3_000, 3_000, 15_000])));
    note(history, "found", `shard ${shard.shard}`);
    shard.reachable = true;
  },

  /** A client takes nothing from its socket for a while. */
  async slow(site, { random, history }) {
    const lines = site.linesOf();
    if (lines.length === 0) return;
    const line = random.of(lines);
    note(history, "slow", line.id);
    line.down.held = true;
    await site.sleep(random.of([10, 100, 1_000, 5_000]));
    line.down.held = false;
  },

  /** A client acknowledges nothing for a while, perhaps for longer than it stays. */
  async deaf(site, { random, history, devices }) {
    const device = random.of(devices);
    note(history, "deaf", device.clientId);
    device.deafen();
    await site.sleep(random.of([100, 500, 2_000, 5_000]));
    device.hear();
  },

  /** An alarm goes off that nobody needs. */
  alarm(site, { random, history, devices }) {
    const object = random.chance(0.5) ? { shard: random.below(site.shards) } : { session: random.of(devices).clientId };
    note(history, "alarm", nameOf(object));
    site.node(object).ring();
  },

  /** An object's writes take their time to become durable, and what it says waits for them. */
  lag(site, { random, history, devices }) {
    const object = random.chance(0.7) ? { shard: random.below(site.shards) } : { session: random.of(devices).clientId };
    const ms = random.of([0, 3, 30, 300]);
    note(history, "lag", `${nameOf(object)} by ${ms} ms`);
    site.node(object).unsavedMs = ms;
  },

  /** The next calls of session objects fail, before or after they were carried out, or take their time. */
  calls(site, { random, history }) {
    note(history, "calls", "session objects");
    let left = 1 + random.below(4);
    site.world.onCall = () => {
      if (left-- <= 0) {
        site.world.onCall = undefined;
        return undefined;
      }
      return {
        fails: random.of(["before", "after", "after", undefined]),
        delayMs: random.of([0, 1, 100, 3_000]),
        answerDelayMs: random.of([0, 1, 100, 3_000]),
        alone: random.chance(0.5),
      };
    };
  },

  /** A link dies without a close; each end learns of it later, or never. */
  dead(site, { random, history }) {
    const links = site.linesOf().flatMap(({ driver }) => [...driver.links.values()]);
    if (links.length === 0) return;
    const link = random.of(links);
    note(history, "dead", `link ${link.name}`);
    site.dead.push(link);
    const worker = random.below(DEAD_MS);
    // A session object must not count a client as gone whose connection does not know of it.
    if (link.name === "session") link.die({ worker, object: worker + random.below(DEAD_MS - worker) });
    else if (random.chance(0.3)) link.die();
    else link.die({ worker, ...(random.chance(0.5) && { object: random.below(20_000) }) });
  },

  /** Another release, which reads and writes the link version of the one before too: objects restart one by one. */
  async deploy(site, { random, history }) {
    const { world } = site;
    const versions = random.of(RELEASES);
    world.deploys.workers(versions);
    for (const node of site.nodes) {
      note(history, "deploy", node.party);
      node.deploy(versions);
      await site.sleep(random.of([0, 0, 1, 50, 500]));
    }
  },

  /** Strikes in the middle of what happens, a few times in a row; other faults mostly find everybody at rest. */
  async ambush(site, scene) {
    const { random, history, devices } = scene;
    for (let left = 1 + random.below(4); left > 0; left--) {
      await site.pass(1 + random.below(40));
      const device = random.of(devices);
      const object = random.chance(0.7) ? { shard: random.below(site.shards) } : { session: device.clientId };
      const way = random.below(6);
      if (way === 0) {
        note(history, "ambush", device.clientId, true, device.clientId);
        await site.killWorker(device.clientId);
        device.lose("cut");
      } else if (way === 1) {
        note(history, "socket", device.clientId);
        device.lose(random.of(["cut", "end"]));
      } else {
        note(history, "ambush", nameOf(object));
        if (way === 2) await site.evict(object);
        else if (way === 3) await site.cut(object, random.of([0.3, 1]));
        else await site.abort(object);
      }
    }
  },

  /** Several connections of one client come at about the same time. */
  async storm(site, { random, history, devices }) {
    const device = random.of(devices);
    note(history, "storm", device.clientId);
    for (let left = 2 + random.below(3); left > 0; left--) {
      device.takeOver();
      await site.sleep(random.of([0, 1, 5, 50]));
    }
  },
} satisfies Record<string, Strike>;

/** Everything that a simulated broker has to stand, on this site. */
export function faultsOf(site: SimulatedSite): Fault[] {
  const simulated = Object.entries(SIMULATED).map(([name, strike]) => ({
    name,
    strike: async (scene: Scene) => strike(site, scene),
  }));
  const often = simulated.filter(({ name }) => OFTEN.includes(name));
  return [...FAIR_FAULTS.map(fault), ...simulated, ...Array.from({ length: OFTEN_TIMES - 1 }, () => often).flat()];
}
