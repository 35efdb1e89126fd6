/** A measured stretch of a run: how long it took, what came of it, and the CPU time of both sides. */

import { cpuMicroseconds } from "./cpu.ts";

export interface Span {
  seconds: number;
  /** Deliveries: one message to N subscribers is N of them. For queueing: messages that the broker acknowledged. */
  count: number;
  /** CPU time of the broker's processes, NaN (null in JSON) where it cannot be read. */
  brokerCpuMicroseconds: number | null;
  /** CPU time of the generator: near one core, the generator may be what is measured. */
  generatorCpuMicroseconds: number;
}

/** Begins a span; the returned function ends it. What it costs to read CPU time stays outside of the time. */
export function beginSpan(brokerPids: readonly number[]): (count: number) => Span {
  const brokerBefore = cpuMicroseconds(brokerPids);
  const generatorBefore = process.cpuUsage();
  const from = process.hrtime.bigint();
  return (count) => {
    const to = process.hrtime.bigint();
    const { user, system } = process.cpuUsage(generatorBefore);
    return {
      seconds: Number(to - from) / 1e9,
      count,
      brokerCpuMicroseconds: cpuMicroseconds(brokerPids) - brokerBefore,
      generatorCpuMicroseconds: user + system,
    };
  };
}
