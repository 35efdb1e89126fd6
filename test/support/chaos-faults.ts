/** The faults of a chaos, and how each is ended again. */

import type { End, Member } from "./chaos-member.ts";
import type { Fault, Plan } from "./chaos-plan.ts";
import type { SessionNode, ShardNode } from "../sim/world/node.ts";
import type { Random } from "./random.ts";
import type { World } from "../sim/world/world.ts";

/** What faults need of the chaos that they happen in. */
export interface FaultHost {
  readonly world: World;
  readonly random: Random;
  readonly plan: Plan;
  /** Connections whose clients are not known to be gone. */
  readonly members: readonly Member[];
  /** Every connection that there ever was. */
  readonly all: readonly Member[];
  readonly moment: number;
  log(line: string): void;
  advance(ms: number): void;
  /** Connects another client; with the id of `rival`, if there is one. */
  join(rival?: Member): Member;
}

export function inflict(fault: Fault, host: FaultHost): void {
  const { world, random } = host;
  const shard = random.of(world.shards);
  const session = random.of([...world.sessions.values()]);
  const member = random.of(host.members);
  const { driver } = member.client;
  const link = driver.links.size > 0 ? random.of([...driver.links.values()]) : undefined;
  host.log(`${fault}: shard ${shard.shard}, link ${link?.name} of ${member.name}`);
  switch (fault) {
    case "crashShard":
      return shard.crash();
    case "crashSession":
      return session.crash();
    case "evictShard":
      // A shard that paces its publishers has a timer and does not sleep.
      if (host.plan.crowd > 0) host.advance(3_000);
      if (host.plan.crowd === 0 || shard.deadline === undefined) shard.evict();
      return;
    case "evictSession":
      return session.evict();
    case "dropLink":
      return link?.drop();
    case "failShard":
      return failWrites(shard, host);
    case "failSession":
      return failWrites(session, host);
    case "hideShard":
      shard.reachable = false;
      host.advance(random.below(2_000));
      shard.reachable = true;
      return;
    case "delayLink":
      if (link) random.of([link.up, link.down]).delayMs = random.below(200);
      return;
    case "alarm":
      return random.of<{ ring(): void }>([shard, session]).ring();
    case "slow":
      member.client.down.held = !member.client.down.held;
      return;
    case "deaf":
      member.client.acknowledges = !member.client.acknowledges;
      if (member.client.acknowledges) member.acknowledge(Infinity);
      return;
    case "cut":
      return cut(member, "cut", host);
    case "leave":
      if (member.open) member.disconnect(member.client.version === 5 && random.chance(0.3), host.moment);
      return;
    case "storm":
      return storm(member, host);
    case "kill":
      return random.chance(0.3) ? kill(random.of(["w1", "w2"]), host) : undefined;
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
}

export function cut(member: Member, how: End, host: FaultHost): void {
  member.end ??= { how, at: host.moment };
  member.client.cut();
}

function kill(worker: string, host: FaultHost): void {
  for (const member of host.all) {
    const { driver, closed } = member.client;
    if (driver.worker !== worker || driver.done) continue;
    member.killed = true;
    if (closed === undefined) member.end ??= { how: "kill", at: host.moment };
  }
  host.world.killWorker(worker);
}

/** Several connections of one client id come at about the same time. */
function storm(member: Member, host: FaultHost): void {
  const { random } = host;
  for (let left = 1 + random.below(3); left > 0; left--) {
    const rival = host.join(member);
    host.log(`  ${rival.name} takes over from ${member.name}`);
    host.advance(random.of([0, 0, 1, 5, 50]));
  }
}
