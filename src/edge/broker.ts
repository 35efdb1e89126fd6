/** What a Worker's isolate has for all of its clients. */

import type { Reception } from "../access/reception.ts";
import { receptionOf } from "../access/access-settings.ts";
import { workersNetwork } from "../access/workers-network.ts";
import { type Config, readConfig } from "../config.ts";
import { Bans } from "../core/bans/bans.ts";
import { Door } from "../core/bans/door.ts";
import { Flapping } from "../core/bans/flapping.ts";
import { Refusals } from "../core/refusals.ts";
import type { Env } from "../env.ts";

export interface Broker {
  readonly env: Env;
  readonly config: Config;
  readonly reception: Reception;
  readonly door: Door;
  readonly refusals: Refusals;
}

let broker: Broker | undefined;

/** @throws ConfigError when a setting is wrong */
export function brokerOf(env: Env): Broker {
  if (!broker) {
    const config = readConfig(env);
    const { flappingConnects: connects, flappingSeconds: seconds, flappingBanSeconds: banSeconds } = config.limits;
    broker = {
      env,
      config,
      reception: receptionOf(config.access, workersNetwork),
      refusals: new Refusals(),
      door: new Door(new Bans(config.bans), new Flapping({ connects, seconds, banSeconds })),
    };
  }
  return broker;
}
