/** What the Worker serves over HTTP. */

import { Hono } from "hono";
import { api } from "./api/api.ts";
import type { Broker } from "./edge/broker.ts";
import { acceptWebSocket } from "./edge/websocket.ts";
import { page } from "./page.ts";

export const app = new Hono<{ Bindings: Broker }>();

app.get("/mqtt", (c) => acceptWebSocket(c.req.raw, c.env, c.executionCtx as ExecutionContext));

app.get("/health", (c) => c.json({ status: "ok" }));

app.route("/api", api);

app.get("/", (c) => {
  const url = new URL(c.req.url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.pathname = "/mqtt";
  // Whatever a client has put there is nobody's to read.
  url.search = "";
  c.header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:");
  c.header("X-Content-Type-Options", "nosniff");
  return c.html(page(url.href, c.env));
});
