/**
 * What is done to a broker under load, by name. A fault strikes once; one that lasts for a while is over when its promise
 * resolves, and others strike meanwhile.
 */
import type { Random } from "../support/random.ts";
import type { Device } from "./device.ts";
import type { History } from "./history.ts";
import { nameOf, type ObjectName, type Site } from "./site.ts";

export interface Scene {
  readonly site: Site;
  readonly devices: readonly Device[];
  readonly history: History;
  readonly random: Random;
}

type Strike = (scene: Scene) => Promise<void>;

/** Something that can be done to a site. */
export interface Fault {
  readonly name: string;
  readonly strike: Strike;
}

const FAULTS = {
  /** The client's network: it notices, or only the broker can, or it is somewhere else already. */
  async socket({ devices, random, history }) {
    for (const device of someOf(devices, random)) {
      note(history, "socket", device.clientId);
      const way = random.below(3);
      if (way === 0) device.lose("cut");
      else if (way === 1) device.lose("end");
      else device.takeOver();
    }
  },

  /** The Worker that holds connections. */
  async worker(scene) {
    await loseWorkers(scene, "worker");
  },

  "shard-abort": (scene) => eachShard(scene, "shard-abort", (shard) => scene.site.abort(shard)),
  "shard-cut": (scene) =>
    eachShard(scene, "shard-cut", (shard) => scene.site.cut(shard, scene.random.of([0.2, 0.5, 1]))),
  "shard-evict": (scene) => eachShard(scene, "shard-evict", (shard) => scene.site.evict(shard)),
  "session-abort": (scene) => eachSession(scene, "session-abort", (session) => scene.site.abort(session)),
  "session-cut": (scene) => eachSession(scene, "session-cut", (session) => scene.site.cut(session, 1)),
  "session-evict": (scene) => eachSession(scene, "session-evict", (session) => scene.site.evict(session)),

  /** A shard and the sessions that use it. */
  async objects(scene) {
    await Promise.all([
      eachShard(scene, "objects", (shard) => scene.site.abort(shard)),
      eachSession(scene, "objects", (session) => scene.site.abort(session)),
    ]);
  },

  /** A shard and the Workers that know what it has forgotten. */
  async "shard-and-worker"(scene) {
    await Promise.all([
      eachShard(scene, "shard-and-worker", (shard) => scene.site.abort(shard)),
      loseWorkers(scene, "shard-and-worker"),
    ]);
  },

  /** Everything: `kill -9`, and after a while a start on the same state. */
  async kill({ site, history, random }) {
    note(history, "kill", "workerd", true);
    await site.kill(random.of([0, 100, 500]));
    // A socket that closed meanwhile confirmed nothing.
    note(history, "restart", "workerd", true);
  },

  /** An object dies in the middle of a turn, with a write made or not. */
  async "mid-write"(scene) {
    const { site, history, random } = scene;
    const object = anObject(scene);
    const fault = random.of(["crash-before", "crash-after"] as const);
    note(history, fault, nameOf(object));
    await site.breakDisk(object, fault);
  },

  /** An object's writes fail for a while. */
  async writes(scene) {
    const { site, history, random } = scene;
    const object = anObject(scene);
    note(history, "writes", nameOf(object));
    await site.breakDisk(object, "refuse");
    await site.sleep(random.of([50, 300, 1000]));
    note(history, "mended", nameOf(object));
    await site.mendDisk(object);
  },

  /** The disk is full for a while: no file may grow. */
  async "disk-full"({ site, history, random }) {
    note(history, "disk-full", "workerd");
    await site.limitFiles(random.of([0, 20_000, 100_000]));
    await site.sleep(random.of([50, 300, 1000]));
    note(history, "disk-freed", "workerd");
    await site.limitFiles(undefined);
  },
  /** A disk that says it has written and has not. No broker can stand that, so this shows that the checker sees. */
  async lie(scene) {
    const { site, history, random } = scene;
    const object = anObject(scene);
    note(history, "lie", nameOf(object));
    await site.breakDisk(object, "forget");
    await site.sleep(random.of([100, 500]));
    await site.mendDisk(object);
  },
} satisfies Record<string, Strike>;

export type FaultName = keyof typeof FAULTS;
export const FAULT_NAMES = Object.keys(FAULTS) as FaultName[];
/** What a broker has to stand. */
export const FAIR_FAULTS = FAULT_NAMES.filter((name) => name !== "lie");

export function fault(name: FaultName): Fault {
  return { name, strike: FAULTS[name] };
}

/** One of them mostly, sometimes half of them, rarely all. */
export function someOf<T>(choices: readonly T[], random: Random): T[] {
  const dice = random.next();
  if (dice < 0.7) return [random.of(choices)];
  return dice < 0.9 ? choices.filter(() => random.chance(0.5)) : [...choices];
}

export function anObject({ devices, random, site: { shards } }: Scene): ObjectName {
  return random.chance(0.7) ? { shard: random.below(shards) } : { session: random.of(devices).clientId };
}

async function eachShard(
  { random, history, site }: Scene,
  fault: string,
  act: (shard: ObjectName) => Promise<void>,
): Promise<void> {
  const shards = someOf(
    Array.from({ length: site.shards }, (_, shard) => ({ shard })),
    random,
  );
  await Promise.all(
    shards.map((shard) => {
      note(history, fault, nameOf(shard));
      return act(shard);
    }),
  );
}

async function eachSession(
  { random, history, devices }: Scene,
  fault: string,
  act: (session: ObjectName) => Promise<void>,
): Promise<void> {
  await Promise.all(
    someOf(devices, random).map(({ clientId }) => {
      note(history, fault, nameOf({ session: clientId }));
      return act({ session: clientId });
    }),
  );
}

async function loseWorkers({ site, devices, random, history }: Scene, fault: string): Promise<void> {
  await Promise.all(
    someOf(devices, random).map(async (device) => {
      note(history, fault, device.clientId, true, device.clientId);
      await site.killWorker(device.clientId);
      device.lose("cut");
    }),
  );
}

export function note(history: History, fault: string, object: string, forgets = false, client?: string): void {
  history.record({ type: "fault", fault, object, forgets, ...(client !== undefined && { client }) });
}
