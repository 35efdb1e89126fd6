/** What a Worker's isolate has for all of its clients. */

import type { Reception } from "../access/reception.ts";
import { receptionOf } from "../access/access-settings.ts";
import { AdminToken } from "../api/admin-token.ts";
import { workersNetwork } from "../access/workers-network.ts";
import { type Config, readConfig } from "../config.ts";
import type { Env } from "../env.ts";
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
      reception: receptionOf(config.access, workersNetwork),
      admin: adminToken === undefined ? undefined : new AdminToken(adminToken, cryptography),
    };
  }
  return broker;
}
