/** What the parts of the admin API have in common: their context, and methods that are not there. */

import type { Context, Hono } from "hono";
import type { Change, Outcome } from "../core/directory/change.ts";
import type { Broker } from "../edge/broker.ts";
import { directoryName } from "../names.ts";
import { Refusal } from "./refusal.ts";

export type ApiContext = Context<{ Bindings: Broker }>;
type Answer = Response | Promise<Response>;

/** Answers these methods of a path, and every other one with 405. HEAD is GET. */
export function route(
  api: Hono<{ Bindings: Broker }>,
  path: string,
  methods: Readonly<Record<string, (c: ApiContext) => Answer>>,
): void {
  for (const [method, answer] of Object.entries(methods)) api.on(method, path, answer);
  const allowed = Object.keys(methods).flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method]));
  api.all(path, (c) => {
    c.header("Allow", allowed.join(", "));
    return c.json({ error: { message: `the method has to be one of ${allowed.join(", ")}` } }, 405);
  });
}

/** The rule or ban that a path is about. @throws Refusal 404 */
export function idIn(c: ApiContext): number {
  const id = c.req.param("id") ?? "";
  if (!/^[1-9]\d{0,14}$/.test(id)) throw absent();
  return Number(id);
}

/** The tenant that a path is about. */
export function tenantOf(c: ApiContext): string {
  return c.req.param("tenant") ?? c.env.config.tenant;
}

/** The tenant's directory. */
export function directoryOf(c: ApiContext) {
  return c.env.env.DIRECTORIES.getByName(directoryName(tenantOf(c)));
}

/** Where something of the tenant is found that has just been made. */
export function locate(c: ApiContext, path: string): void {
  const tenant = c.req.param("tenant");
  c.header("Location", `/api/v1${tenant === undefined ? "" : `/tenants/${tenant}`}${path}`);
}

/**
 * Changes the directory.
 *
 * @throws Refusal 404, 409, 507
 */
export async function change(c: ApiContext, what: Change): Promise<Extract<Outcome, { type: "done" }>> {
  const outcome = await directoryOf(c).change(what, c.env.admin!.fingerprint);
  switch (outcome.type) {
    case "done":
      return outcome;
    case "absent":
      throw absent();
    case "present":
      throw new Refusal(409, "there is one already");
    case "full":
      throw new Refusal(507, `there may be ${outcome.most} at most`);
  }
}

export function absent(): Refusal {
  return new Refusal(404, "there is none of this name");
}

/** As the API writes a time. */
export function written(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
