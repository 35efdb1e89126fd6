/** Settings: what an operator may set in wrangler.toml's [vars], read once, with an error that names the variable. */

import * as z from "zod/mini";
import { ACCESS_SECRETS, ACCESS_VARIABLES, type AccessSettings, readAccessSettings } from "./access/access-settings.ts";
import { BansSetting } from "./access/bans-setting.ts";
import { readTenants, TENANT_VARIABLES, type Tenants } from "./access/tenants-setting.ts";
import { ConfigError } from "./config-error.ts";
import type { Ban } from "./core/bans/bans.ts";
import {
  DEFAULT_LIMITS,
  DEFAULT_SETTINGS,
  DENIED_PUBLISH,
  EXCESSIVE_PUBLISH,
  type Limits,
  type Settings,
} from "./core/limits.ts";
import type { Placement } from "./core/shard/placement.ts";
import { SHARE_STRATEGIES } from "./core/shard/share-strategy.ts";
import { type Hosts, HostsSetting } from "./edge/hosts.ts";
import { type Origins, OriginsSetting } from "./edge/origins.ts";
import { MAIN } from "./names.ts";
import { whole } from "./whole.ts";

export { ConfigError } from "./config-error.ts";

export interface Config {
  readonly limits: Limits;
  readonly settings: Settings;
  readonly placement: Placement;
  readonly access: AccessSettings;
  readonly bans: readonly Ban[];
  /** Whose pages may open a WebSocket. */
  readonly origins: Origins;
  /** By which the broker is reached. */
  readonly hosts: Hosts;
  /** Of who comes to no other. */
  readonly tenant: string;
  readonly tenants: Tenants;
}

/** A log row holds 2 MB, and a message has to fit one with its topic and properties. */
const PACKET_BYTES_MOST = 1_800_000;

const Variables = z.object({
  SHARDS: whole(1, 1024, 4),
  SHARD_DEPTH: whole(1, 16, 2),
  PACKET_BYTES_MAX: whole(1024, PACKET_BYTES_MOST, DEFAULT_LIMITS.packetBytesMax),
  TOPIC_BYTES_MAX: whole(1, 65_535, DEFAULT_LIMITS.topicBytesMax),
  TOPIC_LEVELS_MAX: whole(1, 1024, DEFAULT_LIMITS.topicLevelsMax),
  CLIENT_ID_BYTES_MAX: whole(23, 900, DEFAULT_LIMITS.clientIdBytesMax),
  SUBSCRIPTIONS_MAX: whole(1, 1_000_000, DEFAULT_LIMITS.subscriptionsMax),
  SUBSCRIPTION_BYTES_MAX: whole(1024, 2 ** 24, DEFAULT_LIMITS.subscriptionBytesMax),
  SUBSCRIPTION_LEVELS_MAX: whole(16, 2 ** 24, DEFAULT_LIMITS.subscriptionLevelsMax),
  WILDCARD_SUBSCRIPTIONS_MAX: whole(0, 1_000_000, DEFAULT_LIMITS.wildcardSubscriptionsMax),
  SHARED_SUBSCRIPTIONS_MAX: whole(0, 1_000_000, DEFAULT_LIMITS.sharedSubscriptionsMax),
  FILTERS_PER_SUBSCRIBE_MAX: whole(1, 1_000_000, DEFAULT_LIMITS.filtersPerSubscribeMax),
  FLAPPING_CONNECTS: whole(0, 100_000, DEFAULT_LIMITS.flappingConnects),
  FLAPPING_SECONDS: whole(1, 3600, DEFAULT_LIMITS.flappingSeconds),
  FLAPPING_BAN_SECONDS: whole(1, 86_400, DEFAULT_LIMITS.flappingBanSeconds),
  CONNECT_SECONDS_MAX: whole(1, 300, DEFAULT_LIMITS.connectSecondsMax),
  HALF_OPEN_MAX: whole(1, 100_000, DEFAULT_LIMITS.halfOpenMax),
  HALF_OPEN_BYTES_MAX: whole(2_000_000, 2 ** 26, DEFAULT_LIMITS.halfOpenBytesMax),
  CONNECTION_CPU_SECONDS_MAX: whole(0, 86_400, DEFAULT_LIMITS.connectionCpuSecondsMax),
  PUBLISH_RATE_MAX: whole(0, 1_000_000, DEFAULT_LIMITS.publishRateMax),
  PUBLISH_BYTES_RATE_MAX: whole(0, 2 ** 30, DEFAULT_LIMITS.publishBytesRateMax),
  PUBLISH_BURST_SECONDS: whole(1, 3600, DEFAULT_LIMITS.publishBurstSeconds),
  RECEIVE_MAXIMUM: whole(1, 65_535, DEFAULT_LIMITS.receiveMaximum),
  INFLIGHT_MAX: whole(1, 65_535, DEFAULT_LIMITS.inflightMax),
  LINK_BACKLOG_BYTES_MAX: whole(65_536, 2 ** 26, DEFAULT_LIMITS.linkBacklogBytesMax),
  UNANSWERED_BYTES_MAX: whole(65_536, 2 ** 26, DEFAULT_LIMITS.unansweredBytesMax),
  DELIVERY_BACKLOG_BYTES_MAX: whole(65_536, 2 ** 26, DEFAULT_LIMITS.deliveryBacklogBytesMax),
  QOS0_BYTES_RATE_MAX: whole(0, 2 ** 30, DEFAULT_LIMITS.qos0BytesRateMax),
  SESSION_EXPIRY_SECONDS_MAX: whole(1, 0xffff_ffff, DEFAULT_LIMITS.sessionExpirySecondsMax),
  QUEUE_MESSAGES_MAX: whole(1, 10_000_000, DEFAULT_LIMITS.queueMessagesMax),
  QUEUE_BYTES_MAX: whole(65_536, 8 * 2 ** 30, DEFAULT_LIMITS.queueBytesMax),
  QUEUE_SECONDS_MAX: whole(60, 0xffff_ffff, DEFAULT_LIMITS.queueSecondsMax),
  LOG_BYTES_MAX: whole(1_000_000, 8 * 2 ** 30, DEFAULT_LIMITS.logBytesMax),
  RETAINED_MAX: whole(1, 100_000_000, DEFAULT_LIMITS.retainedMax),
  RETAINED_BYTES_MAX: whole(1_000, 9 * 2 ** 30, DEFAULT_LIMITS.retainedBytesMax),
  SHARD_BYTES_MAX: whole(1_000_000, 9 * 2 ** 30, DEFAULT_LIMITS.shardBytesMax),
  SHARD_LINKS_MAX: whole(1, 32_000, DEFAULT_LIMITS.shardLinksMax),
  KEEP_ALIVE_SECONDS_MAX: whole(0, 65_535, DEFAULT_SETTINGS.keepAliveSecondsMax),
  PAYLOAD_FORMAT_CHECK: z._default(z.enum(["true", "false"], 'must be "true" or "false"'), "false"),
  SERVER_REFERENCE: z._default(
    z.string().check(z.maxLength(1024, "must have at most 1024 characters")),
    DEFAULT_SETTINGS.serverReference,
  ),
  SHARE_STRATEGY: z._default(
    z.enum(SHARE_STRATEGIES, `must be one of ${SHARE_STRATEGIES.join(", ")}`),
    DEFAULT_SETTINGS.shareStrategy,
  ),
  DENIED_PUBLISH: z._default(
    z.enum(DENIED_PUBLISH, `must be one of ${DENIED_PUBLISH.join(", ")}`),
    DEFAULT_SETTINGS.deniedPublish,
  ),
  EXCESSIVE_PUBLISH: z._default(
    z.enum(EXCESSIVE_PUBLISH, `must be one of ${EXCESSIVE_PUBLISH.join(", ")}`),
    DEFAULT_SETTINGS.excessivePublish,
  ),
  BANS: z.optional(BansSetting),
  ORIGINS: OriginsSetting,
  ...TENANT_VARIABLES,
  HOSTS: HostsSetting,
  ...ACCESS_VARIABLES,
});

/** A name of an object has 1,024 bytes: for a tenant, "/session/", a user, a colon and a client id. */
const CLIENT_ID_BYTES_BESIDE_TENANTS = 850;

/** The names of all settings. */
export const SETTINGS: readonly string[] = Object.keys(Variables.shape);

/**
 * Reads the settings.
 *
 * @throws ConfigError when one is not what it must be
 */
export function readConfig(env: Readonly<Record<string, unknown>>): Config {
  const read = Variables.safeParse(env);
  if (!read.success) {
    const issue = read.error.issues[0]!;
    const name = String(issue.path[0]);
    const value = name === "BANS" || ACCESS_SECRETS.includes(name) ? "wrong" : `"${String(env[name])}"`;
    throw new ConfigError(`${name} is ${value}: it ${issue.message}`);
  }
  const v = read.data;
  const hasTenants = v.TENANTS !== undefined || v.TOKEN_TENANT_CLAIM !== undefined;
  if (hasTenants && v.CLIENT_ID_BYTES_MAX > CLIENT_ID_BYTES_BESIDE_TENANTS) {
    throw new ConfigError(
      `CLIENT_ID_BYTES_MAX is ${v.CLIENT_ID_BYTES_MAX}: where there are tenants it must be at most ${CLIENT_ID_BYTES_BESIDE_TENANTS}`,
    );
  }
  return {
    placement: { shards: v.SHARDS, depth: v.SHARD_DEPTH },
    access: readAccessSettings(v),
    bans: v.BANS ?? [],
    origins: v.ORIGINS,
    hosts: v.HOSTS,
    tenant: MAIN,
    tenants: readTenants(v),
    settings: {
      keepAliveSecondsMax: v.KEEP_ALIVE_SECONDS_MAX,
      payloadFormatCheck: v.PAYLOAD_FORMAT_CHECK === "true",
      serverReference: v.SERVER_REFERENCE,
      deniedPublish: v.DENIED_PUBLISH,
      excessivePublish: v.EXCESSIVE_PUBLISH,
      shareStrategy: v.SHARE_STRATEGY,
    },
    limits: {
      packetBytesMax: v.PACKET_BYTES_MAX,
      topicBytesMax: v.TOPIC_BYTES_MAX,
      topicLevelsMax: v.TOPIC_LEVELS_MAX,
      clientIdBytesMax: v.CLIENT_ID_BYTES_MAX,
      subscriptionsMax: v.SUBSCRIPTIONS_MAX,
      subscriptionBytesMax: v.SUBSCRIPTION_BYTES_MAX,
      subscriptionLevelsMax: v.SUBSCRIPTION_LEVELS_MAX,
      wildcardSubscriptionsMax: v.WILDCARD_SUBSCRIPTIONS_MAX,
      sharedSubscriptionsMax: v.SHARED_SUBSCRIPTIONS_MAX,
      filtersPerSubscribeMax: v.FILTERS_PER_SUBSCRIBE_MAX,
      flappingConnects: v.FLAPPING_CONNECTS,
      flappingSeconds: v.FLAPPING_SECONDS,
      flappingBanSeconds: v.FLAPPING_BAN_SECONDS,
      connectSecondsMax: v.CONNECT_SECONDS_MAX,
      halfOpenMax: v.HALF_OPEN_MAX,
      halfOpenBytesMax: v.HALF_OPEN_BYTES_MAX,
      connectionCpuSecondsMax: v.CONNECTION_CPU_SECONDS_MAX,
      publishRateMax: v.PUBLISH_RATE_MAX,
      publishBytesRateMax: v.PUBLISH_BYTES_RATE_MAX,
      publishBurstSeconds: v.PUBLISH_BURST_SECONDS,
      receiveMaximum: v.RECEIVE_MAXIMUM,
      inflightMax: v.INFLIGHT_MAX,
      linkBacklogBytesMax: v.LINK_BACKLOG_BYTES_MAX,
      unansweredBytesMax: v.UNANSWERED_BYTES_MAX,
      deliveryBacklogBytesMax: v.DELIVERY_BACKLOG_BYTES_MAX,
      qos0BytesRateMax: v.QOS0_BYTES_RATE_MAX,
      sessionExpirySecondsMax: v.SESSION_EXPIRY_SECONDS_MAX,
      queueMessagesMax: v.QUEUE_MESSAGES_MAX,
      queueBytesMax: v.QUEUE_BYTES_MAX,
      queueSecondsMax: v.QUEUE_SECONDS_MAX,
      logBytesMax: v.LOG_BYTES_MAX,
      retainedMax: v.RETAINED_MAX,
      retainedBytesMax: v.RETAINED_BYTES_MAX,
      shardBytesMax: v.SHARD_BYTES_MAX,
      shardLinksMax: v.SHARD_LINKS_MAX,
    },
  };
}
