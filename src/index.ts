/** The Worker: where clients come in. */

import { ConfigError } from "./config.ts";
import { brokerOf } from "./edge/broker.ts";
import { serveTcp } from "./edge/tcp.ts";
import type { Env } from "./env.ts";
import { app } from "./http.ts";

export { DirectoryObject } from "./objects/directory-object.ts";
export { SessionObject } from "./objects/session-object.ts";
export { ShardObject } from "./objects/shard-object.ts";

export default {
  fetch(request, env, ctx) {
    try {
      return app.fetch(request, brokerOf(env), ctx);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      console.error(error.message);
      return new Response(`${error.message}\n`, { status: 500, headers: { "X-Content-Type-Options": "nosniff" } });
    }
  },

  async connect(socket, env) {
    await serveTcp(socket, brokerOf(env));
  },
} satisfies ExportedHandler<Env>;
