/** What a Worker's isolate has for all of its clients. */

import type { Reception } from "../access/reception.ts";
import type { DirectorySource } from "../access/directory.ts";
import { receptionOf } from "../access/access-settings.ts";
import { AdminToken } from "../api/admin-token.ts";
import { workersNetwork } from "../access/workers-network.ts";
import { type Config, readConfig } from "../config.ts";
import type { Env } from "../env.ts";
import { directoryName } from "../names.ts";
import { cryptography } from "./cryptography.ts";

export interface Broker {
  readonly env: Env;
  readonly config: Config;
  readonly reception: Reception;
  /** Undefined: there is no admin, and no API for one. */
  readonly admin: AdminToken | undefined;
}

let broker: Broker | undefined;

/** @throws ConfigError when a setting is wrong */
export function brokerOf(env: Env): Broker {
  if (!broker) {
    const config = readConfig(env);
    const { adminToken } = config.access;
    broker = {
      env,
      config,
      reception: receptionOf(config.access, workersNetwork, directoryOf(env, config.tenant)),
      admin: adminToken === undefined ? undefined : new AdminToken(adminToken, cryptography),
    };
  }
  return broker;
}

/** Each call has a stub of its own: one on which a call failed fails for ever. */
function directoryOf({ DIRECTORIES }: Env, tenant: string): DirectorySource {
  const directory = () => DIRECTORIES.getByName(directoryName(tenant));
  return {
    find: (name) => directory().find(name),
    since: (version) => directory().since(version),
    learn: (name, passwordVersion, user) => directory().learn(name, passwordVersion, user),
  };
}
