/** The faults that sessions have to survive, and how each is ended again. */

import type { Link } from "../../sim/world/link.ts";
import type { SessionNode, ShardNode } from "../../sim/world/node.ts";
import type { Random } from "../random.ts";
import type { Version } from "../../sim/world/client.ts";
import type { World } from "../../sim/world/world.ts";
import type { AttemptOptions } from "./attempt.ts";
import type { Device } from "./device.ts";
import type { History } from "./history.ts";
import { type Fault, WORKERS } from "./plan.ts";

/** These leave the broker alone; what becomes of connections whose Worker dies is known of each. */
const PEACEFUL: readonly Fault[] = ["alarm", "slow", "deaf", "storm", "kill", "lag", "calls"];
/** A release that reads and writes the version of the one before. */
const RELEASES = [
  { min: 1, max: 1 },
  { min: 1, max: 2 },
] as const;

/** What faults need of the run that they happen in. */
export interface FaultHost {
  readonly world: World;
  readonly random: Random;
  readonly history: History;
  readonly devices: readonly Device[];
  advance(ms: number): void;
  resuming(version: Version): AttemptOptions;
  /** Nothing arrives over the link any more, and its ends learn of it when everything heals, or before. */
  readonly dead: Link[];
  /** The broker may forget at this moment what it does not have to store. */
  disturb(): void;
}

export function inflict(fault: Fault, host: FaultHost): void {
  const { world, random, history } = host;
  const shard = random.of(world.shards);
  const device = random.of(host.devices);
  const session = world.session(device.id);
  const { socket } = device.attempt!;
  const links = [...socket.driver.links.values()];
  const link = links.length > 0 ? random.of(links) : undefined;
  history.note(`!${fault}:`, "shard", shard.shard, `of ${device.id}`, "link", link?.name);
  if (!PEACEFUL.includes(fault)) host.disturb();
  switch (fault) {
    case "crashShard":
      if (random.chance(0.3)) awaitUnsaved(shard, host);
      return crash(shard, random);
    case "crashSession":
      if (random.chance(0.3)) awaitUnsaved(session, host);
      device.endings.blurred();
      discover(session);
      return crash(session, random);
    case "evictShard":
      return shard.evict();
    case "evictSession":
      return session.evict();
    case "dropLink":
      return link?.drop();
    case "deadLink":
      return link && die(link, host);
    case "failShard":
      return failWrites(shard, host);
    case "failSession":
      device.endings.blurred();
      discover(session);
      failWrites(session, host);
      return device.endings.blurred();
    case "hideShard":
      shard.reachable = false;
      host.advance(random.below(2_000));
      shard.reachable = true;
      return;
    case "delayLink":
      if (link) random.of([link.up, link.down]).delayMs = random.below(200);
      return;
    case "lag":
      random.of([shard, session]).unsavedMs = random.of([0, 3, 30, 300]);
      return;
    case "calls":
      return disturbCalls(host);
    case "deploy":
      return deploy(host);
    case "alarm":
      if (random.chance(0.5)) return shard.ring();
      device.endings.rung();
      return session.ring();
    case "slow":
      socket.down.held = !socket.down.held;
      return;
    case "deaf":
      device.deaf = !device.deaf;
      if (!device.deaf) device.acknowledge(Infinity);
      return;
    case "storm":
      return storm(device, host);
    case "kill":
      return kill(random.of(WORKERS), host);
    case "power":
      return power(host);
  }
}

/** A write fails and the object restarts; the platform tries an alarm again that went off meanwhile. */
function failWrites(node: ShardNode | SessionNode, host: FaultHost): void {
  const { alarmAt } = node;
  node.sql.failWrites = true;
  if (host.random.chance(0.3)) node.ring();
  host.advance(host.random.below(20));
  node.sql.failWrites = false;
  if (alarmAt !== undefined && node.alarmAt === undefined) node.ring();
  host.disturb();
}

/** Lets time pass until something is unsaved, if that is soon. */
function awaitUnsaved(node: ShardNode | SessionNode, host: FaultHost): void {
  for (let ms = 0; ms < 20 && !node.unsaved; ms++) host.advance(1);
  host.disturb();
}

/** What it has not saved is lost or not, and so is what it has sent. */
function crash(node: ShardNode | SessionNode, random: Random): void {
  node.crash({ loseUnsaved: random.chance(0.5), loseSent: random.chance(0.5) });
}

/**
 * The Workers of an object's dead links learn that they are. A session object counts a client as gone whose connection
 * does not come back after a restart, and one that knows of neither would come back too late.
 */
function discover(node: ShardNode | SessionNode): void {
  for (const link of node.sockets) if (link.up.dead) link.die({ worker: 0 });
}

/** The link dies without a close. No session object may count a client as gone whose connection does not know of it. */
function die(link: Link, { random, dead }: FaultHost): void {
  dead.push(link);
  const worker = random.below(5_000);
  const object = link.name === "session" ? worker + random.below(5_000) : random.below(20_000);
  if (random.chance(0.3)) link.die();
  else link.die({ worker, ...(random.chance(0.5) && { object }) });
}

/** The next calls of session objects fail, before or after they were carried out, or take their time. */
function disturbCalls({ world, random }: FaultHost): void {
  let left = 1 + random.below(4);
  world.onCall = () => {
    if (left-- <= 0) {
      world.onCall = undefined;
      return undefined;
    }
    return {
      fails: random.of(["before", "after", "after", undefined]),
      delayMs: random.of([0, 1, 100, 3_000]),
      answerDelayMs: random.of([0, 1, 100, 3_000]),
      alone: random.chance(0.5),
    };
  };
}

/** Another release: objects restart one by one. */
function deploy(host: FaultHost): void {
  const { world, random, devices } = host;
  const versions = random.of(RELEASES);
  world.deploys.workers(versions, random.of([...WORKERS, undefined]));
  for (const node of [...world.shards, ...world.sessions.values()]) {
    host.disturb();
    for (const device of devices) if (world.session(device.id) === node) device.endings.blurred();
    if (!world.shards.includes(node as ShardNode)) discover(node);
    node.deploy(versions);
    host.advance(random.of([0, 0, 1, 50, 500]));
  }
}

/** Several connections of one client id come at about the same time. */
function storm(device: Device, host: FaultHost): void {
  const { random } = host;
  for (let left = 2 + random.below(3); left > 0; left--) {
    device.connect(host.resuming(device.attempt!.options.version));
    host.advance(random.of([0, 0, 1, 5, 50]));
  }
}

function kill(worker: string, { world, history, devices, dead, random }: FaultHost): void {
  const silent = random.chance(0.3);
  history.note(`!kill ${worker}`, silent ? "without a close" : "");
  for (const { driver } of silent ? world.clients : []) {
    if (driver.worker !== worker || driver.done) continue;
    for (const link of driver.links.values()) {
      link.die();
      dead.push(link);
    }
  }
  for (const device of devices) device.killed(worker);
  world.killWorker(worker);
}

/** Everything loses its memory at once; what is stored stays. */
function power(host: FaultHost): void {
  for (const device of host.devices) device.endings.blurred();
  for (const worker of WORKERS) kill(worker, host);
  for (const node of [...host.world.shards, ...host.world.sessions.values()]) crash(node, host.random);
}
