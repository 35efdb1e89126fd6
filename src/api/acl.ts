/** `/acl`: the rules that everybody is judged by, and what they come to. */

import type { Hono } from "hono";
import * as z from "zod/mini";
import { AclFileError, readAclFile } from "../core/authorization/acl-file.ts";
import { RuledPolicy } from "../core/authorization/policy.ts";
import { ACTIONS, type Rule } from "../core/authorization/rule.ts";
import { RuleFilter } from "../core/authorization/rule-filter.ts";
import { RULES_MAX } from "../core/directory/directory.ts";
import type { KeptRule } from "../core/directory/store.ts";
import type { Broker } from "../edge/broker.ts";
import { MqttError } from "../mqtt/reason.ts";
import { validateTopicFilter, validateTopicName } from "../mqtt/topic.ts";
import { utf8Length } from "../mqtt/utf8.ts";
import { fileBody, jsonBody } from "./body.ts";
import { limitOf, pageOf, positionOf } from "./page.ts";
import { Refusal } from "./refusal.ts";
import { absent, type ApiContext, change, directoryOf, idIn, locate, route, tenantOf, written } from "./routes.ts";
import { userName } from "./user-name.ts";

/** All rules together have to fit into each isolate. */
const FILTER_BYTES_MAX = 1024;

const text = z.string("must be a string");
const action = z.enum(ACTIONS, `must be one of ${ACTIONS.join(", ")}`);

const NewRule = z.strictObject(
  {
    effect: z.enum(["allow", "deny"], "must be allow or deny"),
    actions: z
      .array(action, "must be a list")
      .check(
        z.refine((all) => all.length > 0 && new Set(all).size === all.length, "must have at least one, and none twice"),
      ),
    filter: text,
    user: z.optional(userName),
    clientId: z.optional(text.check(z.minLength(1, "must not be empty"))),
    anonymous: z.optional(z.literal(true, "must be true, or not there")),
  },
  "must be an object",
);

const Attempt = z.strictObject(
  {
    user: z.optional(userName),
    anonymous: z.optional(z.literal(true, "must be true, or not there")),
    clientId: text,
    claims: z.optional(z.record(text, z.string("must be a string"), "must be an object")),
    action,
    topic: text,
  },
  "must be an object",
);

export function acl(api: Hono<{ Bindings: Broker }>): void {
  route(api, "/acl", {
    async GET(c) {
      const limit = limitOf(c);
      const found = await directoryOf(c).rules(positionOf(c, "after") ?? 0, limit + 1);
      const { entries, next } = pageOf(found, limit, ({ id }) => id);
      return c.json({ rules: entries.map(shown), next });
    },
    async POST(c) {
      const { id } = await change(c, { type: "addRule", rule: ruleOf(await jsonBody(c, NewRule)) });
      locate(c, `/acl/${id}`);
      return c.json(await present(c, id!), 201);
    },
  });

  api.post("/acl/import", async (c) => {
    const replacing = c.req.query("replace") === "true";
    const rules = rulesIn(await fileBody(c));
    const outcome = await change(c, { type: "importRules", rules, replacing });
    return c.json({ created: outcome.created, replaced: outcome.replaced });
  });

  api.post("/acl/test", async (c) => c.json(await judge(c, await jsonBody(c, Attempt))));

  route(api, "/acl/:id", {
    GET: async (c) => c.json(await present(c, idIn(c))),
    async PUT(c) {
      const id = idIn(c);
      await change(c, { type: "putRule", id, rule: ruleOf(await jsonBody(c, NewRule)) });
      return c.json(await present(c, id));
    },
    async DELETE(c) {
      await change(c, { type: "deleteRule", id: idIn(c) });
      return c.body(null, 204);
    },
  });
}

async function present(c: ApiContext, id: number) {
  const kept = await directoryOf(c).rule(id);
  if (!kept) throw absent();
  return shown(kept);
}

function shown({ id, rule, createdAt, changedAt }: KeptRule) {
  return { id, ...rule, createdAt: written(createdAt), changedAt: written(changedAt) };
}

function ruleOf({ effect, actions, filter, ...whose }: z.infer<typeof NewRule>): Rule {
  if (whose.anonymous && whose.user !== undefined) {
    throw new Refusal(400, "a rule for a user is not for clients that are no user", "anonymous");
  }
  const problem = wrongFilter(filter);
  if (problem !== undefined) throw new Refusal(400, problem, "filter");
  return {
    effect,
    actions,
    filter,
    ...(whose.user !== undefined && { user: whose.user }),
    ...(whose.clientId !== undefined && { clientId: whose.clientId }),
    ...(whose.anonymous && { anonymous: true }),
  };
}

function rulesIn(file: string): Rule[] {
  try {
    const rules = readAclFile(file);
    if (rules.some(({ filter }) => utf8Length(filter) > FILTER_BYTES_MAX)) {
      throw new Refusal(400, `the file has a topic of more than ${FILTER_BYTES_MAX} bytes`);
    }
    return rules;
  } catch (error) {
    if (!(error instanceof AclFileError)) throw error;
    throw new Refusal(400, `the file has an error in its ${error.message}`);
  }
}

function wrongFilter(filter: string): string | undefined {
  if (utf8Length(filter) > FILTER_BYTES_MAX) return `must have at most ${FILTER_BYTES_MAX} bytes`;
  try {
    void new RuleFilter(filter);
    return undefined;
  } catch (error) {
    return (error as RangeError).message;
  }
}

/** What the rules of the settings and of the directory, as it is now, come to for one client and one action. */
async function judge(c: ApiContext, attempt: z.infer<typeof Attempt>) {
  if ((attempt.user === undefined) === (attempt.anonymous === undefined)) {
    throw new Refusal(400, "there has to be a user, or anonymous, and not both", "user");
  }
  validate(attempt, c);
  const { access } = c.env.config;
  const kept = access.directory ? await directoryOf(c).rules(0, RULES_MAX) : [];
  const ids = new Map(kept.map(({ id, rule }) => [rule, id]));
  const policy = access.directory
    ? new RuledPolicy([...(access.rules ?? []), ...ids.keys()])
    : c.env.reception.of(tenantOf(c)).policy;
  const claims = new Map(Object.entries(attempt.claims ?? {}));
  const permissions = policy.of({ user: attempt.user, clientId: attempt.clientId, claims, rules: [] });
  // The server's own topics.
  if (attempt.action !== "subscribe" && attempt.topic.startsWith("$SYS/")) return { allowed: false, by: null };
  const { allowed, by } = permissions.explain(attempt.action, attempt.topic);
  if (!by) return { allowed, by: null };
  return { allowed, by: { from: ids.has(by) ? "directory" : "settings", id: ids.get(by) ?? null, ...by } };
}

function validate({ action: what, topic }: z.infer<typeof Attempt>, c: ApiContext): void {
  try {
    if (what === "subscribe") validateTopicFilter(topic, c.env.config.limits);
    else validateTopicName(topic, c.env.config.limits);
  } catch (error) {
    if (!(error instanceof MqttError)) throw error;
    throw new Refusal(400, error.message, "topic");
  }
}
