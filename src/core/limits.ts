/** What protects the broker from its peers. Every number can be set by the operator; see `docs/limits.md`. */

import type { ShareStrategy } from "./shard/share-strategy.ts";

export interface Limits {
  /** Largest control packet taken from a client; announced as Maximum Packet Size. */
  readonly packetBytesMax: number;
  readonly topicBytesMax: number;
  readonly topicLevelsMax: number;
  readonly clientIdBytesMax: number;
  /** Filters in one SUBSCRIBE or UNSUBSCRIBE are bounded by the packet; subscriptions of one client by this. */
  readonly subscriptionsMax: number;
  /** Bytes of all filters that one client is subscribed with: its connection and shards hold them in memory. */
  readonly subscriptionBytesMax: number;
  /** Connects of one session within {@link flappingSeconds} after which it is kept out for a while; 0: it is not. */
  readonly flappingConnects: number;
  readonly flappingSeconds: number;
  readonly flappingBanSeconds: number;
  /** Levels of all of them: each may be a node in the memory of every shard, and one that a publish looks at. */
  readonly subscriptionLevelsMax: number;
  /** Those of them that have a wildcard; 0: none may have one. */
  readonly wildcardSubscriptionsMax: number;
  /** Those of them that are shared; 0: none may be. */
  readonly sharedSubscriptionsMax: number;
  /** Filters of one SUBSCRIBE that are looked at. */
  readonly filtersPerSubscribeMax: number;
  /** How long a socket may stay open without a complete CONNECT. */
  readonly connectSecondsMax: number;
  /** Clients of an isolate that have not said or proved who they are; of more the oldest is turned away. */
  readonly halfOpenMax: number;
  /** Bytes that are held for all of them. */
  readonly halfOpenBytesMax: number;
  /** CPU seconds after which a connection makes its client connect again, half of `limits.cpu_ms`; 0: never. */
  readonly connectionCpuSecondsMax: number;
  /** PUBLISH packets that a connection may send in a second; 0: as many as it likes. */
  readonly publishRateMax: number;
  /** Topic, property and payload bytes of them; 0: as many as it likes. */
  readonly publishBytesRateMax: number;
  /** For how many seconds' worth of both a client may have saved up. */
  readonly publishBurstSeconds: number;
  /** QoS > 0 messages that a client may have unacknowledged; announced as Receive Maximum [MQTT-3.3.4-7]. */
  readonly receiveMaximum: number;
  /** QoS > 0 deliveries that a client may owe an acknowledgement for, unless it announced less. */
  readonly inflightMax: number;
  /** Bytes that a connection may hold for one shard; QoS 0 beyond it is dropped and counted. */
  readonly linkBacklogBytesMax: number;
  /** Bytes of QoS > 0 publishes that a connection keeps until their shards own them; beyond it the client is closed. */
  readonly unansweredBytesMax: number;
  /** Bytes that a shard may have under way to one connection; QoS 0 beyond it is dropped and counted. */
  readonly deliveryBacklogBytesMax: number;
  /** Bytes of QoS 0 that a shard delivers to one connection in a second; what is more is dropped and counted. 0: all. */
  readonly qos0BytesRateMax: number;
  /** Longest time that a session outlives its connection; what a client before MQTT 5 gets that wants its session kept. */
  readonly sessionExpirySecondsMax: number;
  /** Messages that wait in one shard for one session; of more the newest are delivered when it comes back. */
  readonly queueMessagesMax: number;
  /** Payload, topic and property bytes of them. */
  readonly queueBytesMax: number;
  /** How long a message waits. */
  readonly queueSecondsMax: number;
  /** Bytes of a shard's log; beyond it the oldest batches go, and every message that a session so loses is counted. */
  readonly logBytesMax: number;
  /** Retained messages of a shard; beyond it a topic that has none gets none. */
  readonly retainedMax: number;
  /** Bytes of them, with their topics and properties. */
  readonly retainedBytesMax: number;
  /** Bytes of a shard's database; beyond it nothing more is stored, and QoS > 0 is refused. An object has 10 GB. */
  readonly shardBytesMax: number;
  /** Links that one shard accepts (the platform allows 32,768 sockets an object). */
  readonly shardLinksMax: number;
}

export const DEFAULT_LIMITS: Limits = Object.freeze({
  packetBytesMax: 1024 * 1024,
  topicBytesMax: 65_535,
  topicLevelsMax: 128,
  clientIdBytesMax: 256,
  subscriptionsMax: 10_000,
  subscriptionBytesMax: 1024 * 1024,
  subscriptionLevelsMax: 65_536,
  wildcardSubscriptionsMax: 10_000,
  sharedSubscriptionsMax: 10_000,
  filtersPerSubscribeMax: 10_000,
  flappingConnects: 0,
  flappingSeconds: 60,
  flappingBanSeconds: 300,
  connectSecondsMax: 10,
  halfOpenMax: 10_000,
  halfOpenBytesMax: 32 * 1024 * 1024,
  connectionCpuSecondsMax: 150,
  publishRateMax: 0,
  publishBytesRateMax: 0,
  publishBurstSeconds: 10,
  receiveMaximum: 256,
  inflightMax: 1024,
  linkBacklogBytesMax: 4 * 1024 * 1024,
  unansweredBytesMax: 16 * 1024 * 1024,
  deliveryBacklogBytesMax: 1024 * 1024,
  qos0BytesRateMax: 0,
  sessionExpirySecondsMax: 90 * 24 * 3600,
  queueMessagesMax: 100_000,
  queueBytesMax: 256 * 1024 * 1024,
  queueSecondsMax: 14 * 24 * 3600,
  logBytesMax: 1024 * 1024 * 1024,
  retainedMax: 1_000_000,
  retainedBytesMax: 1024 * 1024 * 1024,
  shardBytesMax: 4 * 1024 * 1024 * 1024,
  shardLinksMax: 30_000,
});

/** It is acknowledged and goes nowhere, as Mosquitto does it; or the client is disconnected. */
export const DENIED_PUBLISH = ["acknowledge", "disconnect"] as const;

/** A message too many is refused or, at QoS 0, dropped; or the client is disconnected. */
export const EXCESSIVE_PUBLISH = ["refuse", "disconnect"] as const;

/** What an operator sets beyond the limits. */
export interface Settings {
  /** Longest keep alive that is accepted; a client that asks for more, or for none, is given this one. 0: no limit. */
  readonly keepAliveSecondsMax: number;
  /** A payload that is said to be UTF-8 and is not is refused with 0x99 [MQTT §3.3.2.3.2]. */
  readonly payloadFormatCheck: boolean;
  /** Where clients are to go instead: each is refused with 0x9D and this Server Reference. Empty: they may come. */
  readonly serverReference: string;
  /** What a client before MQTT 5, which cannot be told, gets for a PUBLISH that it may not send. */
  readonly deniedPublish: (typeof DENIED_PUBLISH)[number];
  /** What a PUBLISH gets that comes too soon after the others. */
  readonly excessivePublish: (typeof EXCESSIVE_PUBLISH)[number];
  /** Which member of a share group has the next message. */
  readonly shareStrategy: ShareStrategy;
}

export const DEFAULT_SETTINGS: Settings = Object.freeze({
  keepAliveSecondsMax: 0,
  payloadFormatCheck: false,
  serverReference: "",
  deniedPublish: "acknowledge",
  excessivePublish: "refuse",
  shareStrategy: "round-robin",
});
