/** The Worker: where clients come in. */

import { type Config, ConfigError, readConfig } from "./config.ts";
import { serveTcp } from "./edge/tcp.ts";
import type { Env } from "./env.ts";
import { app } from "./http.ts";

export { SessionObject } from "./objects/session-object.ts";
export { ShardObject } from "./objects/shard-object.ts";

let config: Config | undefined;

export default {
  fetch(request, env, ctx) {
    try {
      config ??= readConfig(env);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      console.error(error.message);
      return new Response(`${error.message}\n`, { status: 500 });
    }
    return app.fetch(request, { env, config }, ctx);
  },

  async connect(socket, env) {
    config ??= readConfig(env);
    await serveTcp(socket, env, config);
  },
} satisfies ExportedHandler<Env>;
