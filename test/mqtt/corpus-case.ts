/** What is a case of the corpus? */
import type { ProtocolVersion } from "../../src/mqtt/packet.ts";
import type { Reason } from "../../src/mqtt/reason.ts";

export interface InboundCase {
  version: ProtocolVersion;
  rule: string;
  what: string;
  /** In the notation of `notation.ts`. */
  packet: string;
  /** What the decoded packet must at least contain, with bytes as hex; or the reason of the refusal. */
  expected: { value: object } | { reason: keyof typeof Reason };
  /** mqtt-packet's generator refuses or reorders it. */
  notRegenerated?: true;
}

export function accept(
  version: ProtocolVersion,
  rule: string,
  what: string,
  packet: string,
  value: object,
): InboundCase {
  return { version, rule, what, packet, expected: { value } };
}

export function refuse(
  version: ProtocolVersion,
  rule: string,
  what: string,
  packet: string,
  reason: keyof typeof Reason,
): InboundCase {
  return { version, rule, what, packet, expected: { reason } };
}

export const limits = { topicBytesMax: 256, topicLevelsMax: 16, clientIdBytesMax: 64 };
