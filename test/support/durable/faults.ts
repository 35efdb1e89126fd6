/** The faults that sessions have to survive, and how each is ended again. */

import type { SessionNode, ShardNode } from "../../sim/world/node.ts";
import type { Random } from "../random.ts";
import type { Version } from "../../sim/world/client.ts";
import type { World } from "../../sim/world/world.ts";
import type { AttemptOptions } from "./attempt.ts";
import type { Device } from "./device.ts";
import type { History } from "./history.ts";
import { type Fault, WORKERS } from "./plan.ts";

/** These leave the broker alone; what becomes of connections whose Worker dies is known of each. */
const PEACEFUL: readonly Fault[] = ["alarm", "slow", "deaf", "storm", "kill"];

/** What faults need of the run that they happen in. */
export interface FaultHost {
  readonly world: World;
  readonly random: Random;
  readonly history: History;
  readonly devices: readonly Device[];
  advance(ms: number): void;
  resuming(version: Version): AttemptOptions;
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
      return shard.crash();
    case "crashSession":
      device.endings.blurred();
      return session.crash();
    case "evictShard":
      return shard.evict();
    case "evictSession":
      return session.evict();
    case "dropLink":
      return link?.drop();
    case "failShard":
      return failWrites(shard, host);
    case "failSession":
      device.endings.blurred();
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

/** Several connections of one client id come at about the same time. */
function storm(device: Device, host: FaultHost): void {
  const { random } = host;
  for (let left = 2 + random.below(3); left > 0; left--) {
    device.connect(host.resuming(device.attempt!.options.version));
    host.advance(random.of([0, 0, 1, 5, 50]));
  }
}

function kill(worker: string, { world, history, devices }: FaultHost): void {
  history.note(`!kill ${worker}`);
  for (const device of devices) device.killed(worker);
  world.killWorker(worker);
}

/** Everything loses its memory at once; what is stored stays. */
function power(host: FaultHost): void {
  for (const device of host.devices) device.endings.blurred();
  for (const worker of WORKERS) kill(worker, host);
  for (const node of [...host.world.shards, ...host.world.sessions.values()]) node.crash();
}
