/** The packets that a device sends, from what it wants to say. */
import type { IPublishPacket, Packet } from "mqtt-packet";
import type { Profile } from "./device.ts";
import type { Filter, Will } from "./history.ts";
import type { Publish } from "./outgoing.ts";
import { padded } from "./payload.ts";

export function connectPacket(profile: Profile, clean: boolean, will: Will | undefined): Packet {
  const { clientId, version, expirySeconds, receiveMaximum, topicAliasMaximum = 0 } = profile;
  return {
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: version,
    clientId,
    clean,
    keepalive: 0,
    ...(version === 5 && {
      properties: {
        ...(expirySeconds > 0 && { sessionExpiryInterval: Math.min(expirySeconds, 0xffffffff) }),
        ...(receiveMaximum < 65_535 && { receiveMaximum }),
        ...(topicAliasMaximum > 0 && { topicAliasMaximum }),
      },
    }),
    ...(will && {
      will: {
        topic: will.topic,
        payload: Buffer.from(will.payload),
        qos: will.qos,
        retain: will.retain ?? false,
        ...(version === 5 && will.delaySeconds > 0 && { properties: { willDelayInterval: will.delaySeconds } }),
      },
    }),
  };
}

export function publishPacket(
  { topic, payload, qos, retain, expirySeconds }: Publish,
  packetId: number,
  dup: boolean,
  expires: boolean,
  alias: { readonly alias: number; readonly isNew: boolean } | undefined,
): IPublishPacket {
  const properties = {
    ...(expires && { messageExpiryInterval: expirySeconds }),
    ...(alias && { topicAlias: alias.alias }),
  };
  return {
    cmd: "publish",
    topic: alias && !alias.isNew ? "" : topic,
    payload: padded(payload),
    qos,
    retain,
    dup,
    ...(qos > 0 && { messageId: packetId }),
    ...(Object.keys(properties).length > 0 && { properties }),
  };
}

/** @param filters all with the same identifier */
export function subscribePacket(messageId: number, filters: readonly Filter[], version: 4 | 5): Packet {
  const subscriptions = filters.map(({ filter, qos, noLocal, retainAsPublished, retainHandling }) => ({
    topic: filter,
    qos,
    ...(version === 5 && { nl: noLocal ?? false, rap: retainAsPublished ?? false, rh: retainHandling ?? 0 }),
  }));
  const subscriptionIdentifier = version === 5 ? filters[0]!.identifier : undefined;
  const properties = subscriptionIdentifier !== undefined && { properties: { subscriptionIdentifier } };
  return { cmd: "subscribe", messageId, subscriptions, ...properties };
}
