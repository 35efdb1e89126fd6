/**
 * The one function that turns (message, subscription) into a PUBLISH, for live, queued, retained and will deliveries
 * alike; and what several overlapping subscriptions of one session make of one message.
 */

import type { SubscriptionRecord } from "../../link/records.ts";
import type { Arena } from "./arena.ts";
import type { Alias } from "./topic-aliases.ts";
import { type Message, remainingSeconds } from "../../mqtt/message.ts";
import { publishLength, writePublish } from "../../mqtt/publish.ts";

/** What the subscriptions of one session that match a topic say together. */
export interface Terms {
  /** The highest granted QoS [MQTT-3.3.4-2]. */
  readonly qos: 0 | 1 | 2;
  readonly retainAsPublished: boolean;
  /** Every matching subscription's identifier [MQTT-3.3.4-4]. */
  readonly identifiers: readonly number[];
}

/** One copy is sent however many subscriptions match: with the highest QoS and all identifiers. */
export function merge(subscriptions: readonly SubscriptionRecord[]): Terms {
  const only = subscriptions[0]!;
  if (subscriptions.length === 1) {
    const { qos, retainAsPublished, identifier } = only;
    return { qos, retainAsPublished, identifiers: identifier === 0 ? [] : [identifier] };
  }
  return {
    qos: Math.max(...subscriptions.map((subscription) => subscription.qos)) as 0 | 1 | 2,
    retainAsPublished: subscriptions.some((subscription) => subscription.retainAsPublished),
    identifiers: subscriptions.map((subscription) => subscription.identifier).filter((identifier) => identifier !== 0),
  };
}

export function deliveredQos(message: Message, terms: Pick<Terms, "qos">): 0 | 1 | 2 {
  return Math.min(message.qos, terms.qos) as 0 | 1 | 2; // [MQTT-3.8.4-8]
}

/**
 * Encodes a delivery, with packet id 0 to be replaced when its QoS is above 0.
 *
 * @param arena holds the packet until the turn ends
 * @param retained the message is sent because of a SUBSCRIBE, so RETAIN is set whatever the terms say [MQTT §3.3.1.3]
 * @param alias what the packet says instead of its topic, or beside it
 * @returns undefined when the message has expired [MQTT-3.3.2-5]
 */
export function encodeDelivery(
  arena: Arena,
  message: Message,
  terms: Terms,
  version: 3 | 4 | 5,
  retained: boolean,
  now: number,
  alias?: Alias,
): Uint8Array | undefined {
  const expirySeconds = remainingSeconds(message, now);
  if (expirySeconds === 0) return undefined;
  // [MQTT-3.3.1-3]: never the publisher's DUP
  return encode(arena, message, terms, version, retained, false, expirySeconds, alias);
}

/** Encodes a delivery once more, with DUP, although its message may have expired since it was first sent [MQTT-4.3.3-7]. */
export function encodeAgain(
  arena: Arena,
  message: Message,
  terms: Terms,
  version: 3 | 4 | 5,
  retained: boolean,
  now: number,
): Uint8Array {
  const left = remainingSeconds(message, now);
  return encode(arena, message, terms, version, retained, true, left === undefined ? undefined : Math.max(left, 1));
}

const NO_TOPIC = new Uint8Array(0);

function encode(
  arena: Arena,
  message: Message,
  terms: Terms,
  version: 3 | 4 | 5,
  retained: boolean,
  dup: boolean,
  expirySeconds: number | undefined,
  alias?: Alias,
): Uint8Array {
  const publish = {
    version,
    qos: deliveredQos(message, terms),
    dup,
    retain: retained || (terms.retainAsPublished && message.retain), // [MQTT-3.3.1-12], [MQTT-3.3.1-13]
    packetId: 0,
    topic: alias?.known ? NO_TOPIC : message.topicUtf8,
    topicAlias: alias?.number,
    expirySeconds,
    subscriptionIds: terms.identifiers,
    properties: message.properties,
    payload: message.payload,
  };
  const packet = arena.take(publishLength(publish));
  writePublish(packet, 0, publish);
  return packet;
}
