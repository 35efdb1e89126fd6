/** What the orchestrator asks of a generator process, and what it gets back. Both travel as JSON between processes. */

import type { ProtocolLevel } from "./mqtt-frames.ts";
import type { Address } from "./transport.ts";

export interface LoadOrder {
  scenario: string;
  address: Address;
  protocol: ProtocolLevel;
  /** 64 unless asked otherwise; at least 12, which hold the sequence number and the time. */
  payloadBytes: number;
  packetsPerFrame: number;
  /** Replaces the scenario's bound, unless null. */
  leadDeliveriesMax: number | null;
  warmupSeconds: number;
  seconds: number;
  /** The broker's processes, whose CPU time is read at both ends of the window. */
  brokerPids: number[];
}

export interface Measurement {
  /** Length of the window as it turned out. */
  seconds: number;
  /** Deliveries within the window. One message to N subscribers is N deliveries. */
  deliveries: number;
  /** CPU time of the broker's processes within the window, NaN (null in JSON) where it cannot be read. */
  brokerCpuMicroseconds: number | null;
  /** CPU time of the generator within the window: near one core, the generator may be what is measured. */
  generatorCpuMicroseconds: number;
  /** Deliveries that were due, over the whole run with its warm-up, and never came. */
  lost: number;
  /** Deliveries, over the whole run, that were not the next in their subscriber's sequence. */
  misordered: number;
  /** Of each delivery within the window, from write to receipt. Only where the scenario is paced. */
  latencyMs: { p50: number; p95: number; p99: number; max: number } | null;
}
