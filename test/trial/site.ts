/**
 * Where a trial takes place: a broker, the network before it, a clock, and every way of breaking it. Real workerd is one
 * (`test/torture/site.ts`), the cores with a virtual clock are another (`test/sim/site.ts`).
 */
import type { Packet } from "mqtt-packet";
import type { DiskFault } from "./disk-fault.ts";
import type { Profile } from "./device.ts";
import type { History } from "./history.ts";

/** An object of the broker: `shard` 3, or the `session` of a client. */
export type ObjectName = { readonly shard: number } | { readonly session: string };

export function nameOf(object: ObjectName): string {
  return "shard" in object ? `shard ${object.shard}` : `session ${object.session}`;
}

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** In ms, from anywhere. */
  readonly now: number;
  after(ms: number, act: () => void): Timer;
}

/** One connection of a client to the broker. */
export interface Line {
  send(packet: Packet): void;
  /** Sends what is no packet, or none that anybody should send. */
  raw(bytes: Uint8Array): void;
  /** Ends the socket in an orderly way. */
  end(): void;
  /** Drops the socket without a word; nothing of it is reported any more, not even this. */
  cut(): void;
  /** Reports nothing any more, and leaves the socket open. */
  abandon(): void;
  /**
   * Reports the end of the socket, and no packet any more.
   *
   * @param closed is told whether the broker may have closed it, and it did not just break
   */
  whenClosed(closed: (inOrder: boolean) => void): void;
}

export interface LineEvents {
  packet(packet: Packet): void;
  /** Once, and nothing after it. */
  closed(detail: string): void;
}

/** What becomes of a socket that is to be opened: one of the two, once, before anything else. */
export interface Dialling extends LineEvents {
  opened(line: Line): void;
  failed(): void;
}

export interface Network {
  dial(profile: Profile, dialling: Dialling): void;
}

export interface Site {
  readonly clock: Clock;
  readonly network: Network;
  readonly shards: number;
  /** How often to look whether something that is waited for has happened, at the most. */
  readonly pollMs: number;
  /** How long nothing may become less of what is owed, when all faults are over, before it counts as lost. */
  readonly patienceMs: number;
  /** Turns of objects that threw. */
  readonly failedTurns: number;
  /** What the broker said lately. */
  readonly log: readonly string[];

  sleep(ms: number): Promise<void>;
  /** Tells the history what only it can know. */
  attend?(history: History): void;
  /** What should be over while every client is at rest, and is not. */
  strays?(): Promise<readonly string[]>;
  /** What is left behind, when every session has ended, and should not be. */
  remains?(): Promise<readonly string[]>;

  /** The object loses its memory and its links. */
  abort(object: ObjectName): Promise<void>;
  /** Some of the object's links break; it stays. */
  cut(object: ObjectName, share: number): Promise<void>;
  /** The object leaves memory and keeps its links, if it has a moment with nothing to do. */
  evict(object: ObjectName): Promise<void>;
  /** The Worker that holds a client's connection dies, or all of them. The client's socket is the client's to cut. */
  killWorker(client?: string): Promise<void>;
  /** Everything dies with no warning, and starts again after a while on what is stored. */
  kill(downMs: number): Promise<void>;
  breakDisk(object: ObjectName, fault: DiskFault): Promise<void>;
  mendDisk(object: ObjectName): Promise<void>;
  /** No file of the broker may grow beyond so many bytes; undefined lifts it. */
  limitFiles(bytes: number | undefined): Promise<void>;
  /** Nothing is broken any more. */
  mend(): Promise<void>;
  close(): Promise<void>;
}
