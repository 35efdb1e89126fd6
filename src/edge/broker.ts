/** What a Worker has for its clients: of its isolate, but for the bindings, which are those of the request. */

import type { Reception } from "../access/reception.ts";
import type { DirectorySource } from "../access/directory.ts";
import { receptionOf } from "../access/receptions.ts";
import { AdminToken } from "../api/admin-token.ts";
import { workersNetwork } from "../access/workers-network.ts";
import { type Config, ConfigError, readConfig } from "../config.ts";
import { Bans } from "../core/bans/bans.ts";
import { Door } from "../core/bans/door.ts";
import { Flapping } from "../core/bans/flapping.ts";
import { Refusals } from "../core/refusals.ts";
import { Strangers } from "../core/strangers.ts";
import type { Env } from "../env.ts";
import { type Limiter, LIMITERS, type Limiters, Turnstile } from "./turnstile.ts";
import { directoryName } from "../names.ts";
import { cryptography } from "./cryptography.ts";

export interface Broker {
  readonly env: Env;
  readonly config: Config;
  /** Of the main tenant; the others' by its `of`. */
  readonly reception: Reception;
  readonly door: Door;
  readonly refusals: Refusals;
  readonly turnstile: Turnstile;
  /** Undefined: there is no admin, and no API for one. */
  readonly admin: AdminToken | undefined;
  readonly strangers: Strangers;
}

function limitersOf(env: Env): Limiters {
  const limiters: Limiters = {};
  for (const name of LIMITERS) {
    const binding = env[name] as Limiter | undefined;
    if (binding !== undefined && typeof binding.limit !== "function") {
      throw new ConfigError(`${name} is not a binding of a rate limiter`);
    }
    limiters[name] = binding;
  }
  return limiters;
}

let isolate: Omit<Broker, "env"> | undefined;

/** @throws ConfigError when a setting is wrong */
export function brokerOf(env: Env): Broker {
  isolate ??= isolateOf(env);
  return { ...isolate, env };
}

function isolateOf(env: Env): Omit<Broker, "env"> {
  const config = readConfig(env);
  const { adminToken } = config.access;
  const { flappingConnects: connects, flappingSeconds: seconds, flappingBanSeconds: banSeconds } = config.limits;
  return {
    config,
    reception: receptionOf(config.access, workersNetwork, (tenant) => directoryOf(env, tenant), config.tenants.names),
    refusals: new Refusals(),
    strangers: new Strangers(config.limits),
    turnstile: new Turnstile(limitersOf(env)),
    door: new Door(new Bans(config.bans), new Flapping({ connects, seconds, banSeconds })),
    admin: adminToken === undefined ? undefined : new AdminToken(adminToken, cryptography),
  };
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
