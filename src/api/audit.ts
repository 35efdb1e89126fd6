/** `/audit`: what admins did, the latest first. */

import type { Hono } from "hono";
import type { Broker } from "../edge/broker.ts";
import { limitOf, pageOf, positionOf } from "./page.ts";
import { directoryOf, route, written } from "./routes.ts";

export function audit(api: Hono<{ Bindings: Broker }>): void {
  route(api, "/audit", {
    async GET(c) {
      const limit = limitOf(c);
      const found = await directoryOf(c).audit(positionOf(c, "before") ?? Infinity, limit + 1);
      const { entries, next } = pageOf(found, limit, ({ number }) => number);
      return c.json({ entries: entries.map((entry) => ({ ...entry, at: written(entry.at) })), next });
    },
  });
}
