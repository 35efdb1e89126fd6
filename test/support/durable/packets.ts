/** The packets that a device sends, from what it wants to say. */

import type { IConnectPacket } from "mqtt-packet";
import type { Version } from "../../sim/world/client.ts";
import type { Attempt } from "./attempt.ts";
import type { Outgoing } from "./outbox.ts";
import type { Wanted } from "./subscriptions.ts";

type Fields = Record<string, unknown>;

export function connectPacket({ options, will: sent }: Attempt): Partial<IConnectPacket> {
  const { version, clean, expirySeconds, receiveMaximum, will } = options;
  const five = version === 5;
  const expiry = expirySeconds !== undefined && { sessionExpiryInterval: expirySeconds };
  const delay = will && will.delaySeconds > 0 && { properties: { willDelayInterval: will.delaySeconds } };
  return {
    clean,
    ...(will && {
      will: {
        topic: will.topic,
        payload: Buffer.from(sent!.text),
        qos: will.qos,
        retain: will.retain,
        ...(five && delay),
      },
    }),
    ...(five && { properties: { receiveMaximum, ...expiry } }),
  };
}

export function publishPacket({ packetId, sent }: Outgoing, dup: boolean, bytes: number, version: Version): Fields {
  const { topic, qos, retain, clears, text, expirySeconds } = sent;
  const expires = version === 5 && expirySeconds !== undefined;
  return {
    cmd: "publish",
    topic,
    payload: clears ? "" : text.padEnd(bytes),
    qos,
    messageId: packetId,
    retain,
    dup,
    ...(expires && { properties: { messageExpiryInterval: expirySeconds } }),
  };
}

export function subscribePacket(messageId: number, wanted: readonly Wanted[], version: Version): Fields {
  const subscriptions = wanted.map(({ filter, qos, noLocal, retainAsPublished, retainHandling }) => ({
    topic: filter,
    qos,
    ...(version === 5 && { nl: noLocal, rap: retainAsPublished, rh: retainHandling }),
  }));
  const { identifier } = wanted[0]!;
  const properties = identifier > 0 && { properties: { subscriptionIdentifier: identifier } };
  return { cmd: "subscribe", messageId, subscriptions, ...properties };
}

export function disconnectPacket(reasonCode: 0 | 4, expirySeconds: number | undefined, version: Version): Fields {
  const properties = expirySeconds !== undefined && { properties: { sessionExpiryInterval: expirySeconds } };
  return { cmd: "disconnect", ...(version === 5 && { reasonCode }), ...properties };
}
