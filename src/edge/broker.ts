/** What a Worker's isolate has for all of its clients. */

import type { Reception } from "../access/reception.ts";
import { receptionOf } from "../access/access-settings.ts";
import { workersNetwork } from "../access/workers-network.ts";
import { type Config, readConfig } from "../config.ts";
import type { Env } from "../env.ts";

export interface Broker {
  readonly env: Env;
  readonly config: Config;
  readonly reception: Reception;
}

let broker: Broker | undefined;

/** @throws ConfigError when a setting is wrong */
export function brokerOf(env: Env): Broker {
  if (!broker) {
    const config = readConfig(env);
    broker = { env, config, reception: receptionOf(config.access, workersNetwork) };
  }
  return broker;
}
