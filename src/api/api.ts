/**
 * The admin API: users, rules and bans over HTTP (`docs/admin-api.md`), of the main tenant, and of each other one below its
 * name.
 *
 * It is there only where an admin token is. A request is an admin's by its `Authorization` header alone, which no page can
 * make a browser send, and no cookie, parameter or address says anything instead; a page of another origin is refused all
 * the same, and told nothing that would let it read an answer.
 */

import { Hono } from "hono";
import { addressOf } from "../edge/arrival.ts";
import type { Broker } from "../edge/broker.ts";
import { SHUT_MS } from "../edge/turnstile.ts";
import { line } from "../line.ts";
import { acl } from "./acl.ts";
import { audit } from "./audit.ts";
import { bans } from "./bans.ts";
import { Refusal } from "./refusal.ts";
import { users } from "./users.ts";

/** To be mounted at `/api`. */
export const api = new Hono<{ Bindings: Broker }>();

api.use(async (c, next) => {
  const { admin, turnstile, refusals } = c.env;
  if (!admin) return c.notFound();
  c.header("Cache-Control", "no-store");
  c.header("X-Content-Type-Options", "nosniff");
  const origin = c.req.header("origin");
  if (origin !== undefined && origin !== new URL(c.req.url).origin) {
    return c.json({ error: { message: "a page of another origin may not ask" } }, 403);
  }
  const address = addressOf(c.req.raw);
  const said = c.req.header("authorization");
  // Who says nothing guesses nothing.
  const isAdmin = said !== undefined && (await turnstile.admin(address, Date.now(), () => admin.isIn(said)));
  if (isAdmin === undefined) {
    const detail = "too many wrong admin tokens";
    refusals.count("refused", "HTTP 429");
    console.log(line({ event: "refused", status: 429, address, detail }));
    c.header("Retry-After", `${SHUT_MS / 1000}`);
    return c.json({ error: { message: detail } }, 429);
  }
  if (!isAdmin) {
    console.warn(JSON.stringify({ event: "not an admin", address }));
    c.header("WWW-Authenticate", 'Bearer realm="dormouse"');
    return c.json({ error: { message: "Authorization has to be Bearer and the admin token" } }, 401);
  }
  return await next();
});

const v1 = new Hono<{ Bindings: Broker }>();
users(v1);
acl(v1);
bans(v1);
audit(v1);
api.route("/v1", v1);

api.use("/v1/tenants/:tenant/*", async (c, next) => {
  if (c.env.config.tenants.names.has(c.req.param("tenant"))) return await next();
  return c.json({ error: { message: "there is no such tenant" } }, 404);
});
api.route("/v1/tenants/:tenant", v1);

api.all("*", (c) => c.json({ error: { message: "there is nothing here" } }, 404));

api.onError((error, c) => {
  if (error instanceof Refusal) {
    const { status, message, field } = error;
    return c.json({ error: { message, ...(field !== undefined && { field }) } }, status);
  }
  console.error("an admin's request failed", error);
  return c.json({ error: { message: "the directory cannot be reached" } }, 503);
});
