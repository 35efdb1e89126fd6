/**
 * A message: what was published once, freed from the packet that brought it. Everything that a later delivery needs
 * is here, whether it is live, read from the log, retained, or a will.
 */
export interface Message {
  readonly topic: string;
  /** The topic as UTF-8, kept because every delivery needs it. */
  readonly topicUtf8: Uint8Array;
  readonly qos: 0 | 1 | 2;
  /** RETAIN as the publisher set it. */
  readonly retain: boolean;
  /** Message Expiry Interval as published, counted from `at`; undefined means never. */
  readonly expirySeconds: number | undefined;
  /** MQTT 5 property bytes that are forwarded unaltered: no expiry, no alias, no subscription identifiers. */
  readonly properties: Uint8Array;
  readonly payload: Uint8Array;
  /** When the broker took the message, in milliseconds since 1970. */
  readonly at: number;
  /** Client id of the publisher, for No Local [MQTT-3.8.3-3]. */
  readonly publisher: string;
}

/** Seconds that a message has left, rounded up; undefined for ever; 0 means that it may not be delivered [MQTT-3.3.2-5]. */
export function remainingSeconds(message: Message, now: number): number | undefined {
  if (message.expirySeconds === undefined) return undefined;
  const left = message.expirySeconds - Math.floor((now - message.at) / 1000);
  return left > 0 ? left : 0;
}
