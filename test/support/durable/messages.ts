/** A message as the one who published it knows it. Moments are those of the {@link History}. */

import type { Link } from "../../sim/world/link.ts";
import type { Attempt } from "./attempt.ts";

export interface Sent {
  /** Unique, and what its payload says; the payload of a message that clears a retained one is empty. */
  readonly text: string;
  /** The publisher's client id. */
  readonly clientId: string;
  /** Rises with every message of all devices. */
  readonly number: number;
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly clears: boolean;
  readonly expirySeconds: number | undefined;
  /** The connection whose will it is. */
  readonly willOf: Attempt | undefined;
  /** When it was sent first. */
  readonly sentAt: number;
  readonly sentMs: number;
  /** PUBACK, or PUBREC, came: the broker owns it. */
  ackedAt: number | undefined;
  ackedMs: number | undefined;
  /** The connection that it was sent in last. */
  attempt: Attempt;
  /** The link that it went over, if that was there. */
  readonly link: Link | undefined;
  resent: boolean;
  /** It was handed over once: at QoS 2 in any case, at QoS 1 if it went over one link and was answered over it. */
  once: boolean;
}

/** From here on nothing more of the message can happen. */
export function settledAt(sent: Sent, all: readonly Sent[]): number {
  if (sent.ackedAt !== undefined) return sent.ackedAt;
  if (sent.willOf) return Infinity;
  const over = sent.attempt.overAt ?? Infinity;
  if (sent.qos > 0) return over;
  // A message of QoS 0 has come to its shard, or never will, when a later one above it is acknowledged.
  const later = all.find(
    (other) =>
      other.qos > 0 && other.attempt === sent.attempt && other.topic === sent.topic && other.number > sent.number,
  );
  return later?.ackedAt ?? over;
}
