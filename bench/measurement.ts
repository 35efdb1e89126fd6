/** What the orchestrator asks of a generator process, and what it gets back. Both travel as JSON between processes. */

import type { ProtocolLevel } from "./mqtt-frames.ts";
import type { Span } from "./span.ts";
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
  /** Of the window in which deliveries are counted. A queue takes as long as it takes. */
  seconds: number;
  /** The broker's processes, whose CPU time is read at both ends of a span. */
  brokerPids: number[];
}

export interface Measurement {
  /** Deliveries within the window; those of a queue, from CONNECT on. */
  delivering: Span;
  /** Only where messages are queued first: from the first PUBLISH to the last PUBACK. */
  queueing: Span | null;
  /** Deliveries that were due, over the whole run with its warm-up, and never came. */
  lost: number;
  /** Deliveries, over the whole run, that were not the next in their subscriber's sequence. */
  misordered: number;
  /** Of each delivery within the window, from write to receipt. Only where the scenario is paced. */
  latencyMs: { p50: number; p95: number; p99: number; max: number } | null;
}
