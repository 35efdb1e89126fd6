/** What the Worker serves over HTTP. */

import { Hono } from "hono";
import type { Config } from "./config.ts";
import { acceptWebSocket } from "./edge/websocket.ts";
import type { Env } from "./env.ts";
import { page } from "./page.ts";

export const app = new Hono<{ Bindings: { env: Env; config: Config } }>();

app.get("/mqtt", (c) => acceptWebSocket(c.req.raw, c.env.env, c.env.config, c.executionCtx as ExecutionContext));

app.get("/health", (c) => c.json({ status: "ok" }));

app.get("/", (c) => {
  const url = new URL(c.req.url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.pathname = "/mqtt";
  c.header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:");
  c.header("X-Content-Type-Options", "nosniff");
  return c.html(page(url.href, c.env.config));
});
