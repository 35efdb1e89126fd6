/**
 * What is measured. Every scenario has one publisher; publisher and subscribers share the generator's process, so the
 * generator knows at any moment how far ahead of the subscribers the publisher is.
 */

import type { Qos } from "./mqtt-frames.ts";

export interface Scenario {
  name: string;
  /** What a reader of the results needs to know. */
  description: string;
  qos: Qos;
  subscribers: number;
  pace: Pace;
}

export type Pace =
  /**
   * As fast as the broker delivers. `leadDeliveriesMax` bounds the deliveries that are owed at any moment, so that no
   * broker has a reason to drop, and the rate is what it sustains instead of what it buffers. `window` bounds the
   * publisher's messages whose exchange is not over.
   */
  | { kind: "flood"; leadDeliveriesMax: number; window: number }
  /** One message every `1 / perSecond`, whatever the broker does: measures latency, not rate. */
  | { kind: "paced"; perSecond: number }
  /**
   * So many messages for a session whose client is away, as fast as the broker acknowledges them with `window` under
   * way, and then all of them to the client that comes back.
   */
  | { kind: "queue"; messages: number; window: number };

export const SCENARIOS: readonly Scenario[] = [
  {
    name: "qos0",
    description: "QoS 0, 1 publisher to 1 subscriber",
    qos: 0,
    subscribers: 1,
    pace: { kind: "flood", leadDeliveriesMax: 2_000, window: Infinity },
  },
  {
    name: "qos1",
    description: "QoS 1 end to end, 1 publisher with a window of 100 to 1 subscriber that acknowledges",
    qos: 1,
    subscribers: 1,
    pace: { kind: "flood", leadDeliveriesMax: 2_000, window: 100 },
  },
  {
    name: "qos2",
    description: "QoS 2 end to end, 1 publisher with a window of 100 to 1 subscriber, both completing every exchange",
    qos: 2,
    subscribers: 1,
    pace: { kind: "flood", leadDeliveriesMax: 2_000, window: 100 },
  },
  {
    name: "fanout200",
    description: "QoS 0, 1 publisher to 200 subscribers",
    qos: 0,
    subscribers: 200,
    pace: { kind: "flood", leadDeliveriesMax: 20_000, window: Infinity },
  },
  {
    name: "fanout1000",
    description: "QoS 0, 1 publisher to 1,000 subscribers",
    qos: 0,
    subscribers: 1_000,
    pace: { kind: "flood", leadDeliveriesMax: 20_000, window: Infinity },
  },
  {
    name: "latency",
    description: "QoS 0, 1 publisher to 1 subscriber, 100 messages a second, from write to receipt",
    qos: 0,
    subscribers: 1,
    pace: { kind: "paced", perSecond: 100 },
  },
  {
    name: "queue",
    description:
      "10,000 QoS 1 messages queued for 1 offline session by 1 publisher with a window of 100, " +
      "then drained by its client that reconnects and acknowledges",
    qos: 1,
    subscribers: 1,
    pace: { kind: "queue", messages: 10_000, window: 100 },
  },
];

export function scenarioNamed(name: string): Scenario {
  const scenario = SCENARIOS.find((one) => one.name === name);
  if (!scenario) throw new Error(`no scenario "${name}"; there are ${SCENARIOS.map((one) => one.name).join(", ")}`);
  return scenario;
}
