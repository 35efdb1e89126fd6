/** The bindings and settings of wrangler.toml, as the Worker and its objects are given them. */

import type { DirectoryObject } from "./objects/directory-object.ts";
import type { SessionObject } from "./objects/session-object.ts";
import type { ShardObject } from "./objects/shard-object.ts";

export interface Env {
  readonly SESSIONS: DurableObjectNamespace<SessionObject>;
  readonly TOPIC_SHARDS: DurableObjectNamespace<ShardObject>;
  readonly DIRECTORIES: DurableObjectNamespace<DirectoryObject>;
  /** Settings, `config.ts` says which there are; and rate limiters (`edge/turnstile.ts`). */
  readonly [setting: string]: unknown;
}
