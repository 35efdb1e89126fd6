/** `/bans`: who may not connect, whatever it can prove. */

import type { Hono } from "hono";
import * as z from "zod/mini";
import { readNetwork } from "../core/bans/address.ts";
import { type Ban, BANNED } from "../core/bans/bans.ts";
import type { KeptBan } from "../core/directory/store.ts";
import type { Broker } from "../edge/broker.ts";
import { utf8Length } from "../mqtt/utf8.ts";
import { jsonBody } from "./body.ts";
import { limitOf, pageOf, positionOf } from "./page.ts";
import { Refusal } from "./refusal.ts";
import { absent, type ApiContext, change, directoryOf, idIn, locate, route, written } from "./routes.ts";
import { userName } from "./user-name.ts";

/** As the longest client id that a setting allows. */
const CLIENT_ID_BYTES_MAX = 900;
/** As much as the log shows. */
const WHY_CHARACTERS_MAX = 256;

const text = z.string("must be a string");

const NewBan = z.strictObject(
  {
    clientId: z.optional(
      text.check(
        z.minLength(1, "must not be empty"),
        z.refine((id) => utf8Length(id) <= CLIENT_ID_BYTES_MAX, `must have at most ${CLIENT_ID_BYTES_MAX} bytes`),
      ),
    ),
    user: z.optional(userName),
    address: z.optional(
      text.check(z.refine((address) => readNetwork(address) !== undefined, "must be an address or a network")),
    ),
    until: z.optional(
      text.check(z.refine((time) => !Number.isNaN(Date.parse(time)), "must be a time like 2026-12-31T23:59:59Z")),
    ),
    why: z.optional(text.check(z.maxLength(WHY_CHARACTERS_MAX, `must have at most ${WHY_CHARACTERS_MAX} characters`))),
  },
  "must be an object",
);

export function bans(api: Hono<{ Bindings: Broker }>): void {
  route(api, "/bans", {
    async GET(c) {
      const limit = limitOf(c);
      const found = await directoryOf(c).bans(positionOf(c, "after") ?? 0, limit + 1);
      const { entries, next } = pageOf(found, limit, ({ id }) => id);
      return c.json({ bans: entries.map(shown), next });
    },
    async POST(c) {
      const { id } = await change(c, { type: "addBan", ban: banOf(await jsonBody(c, NewBan)) });
      locate(c, `/bans/${id!}`);
      return c.json(await present(c, id!), 201);
    },
  });

  route(api, "/bans/:id", {
    GET: async (c) => c.json(await present(c, idIn(c))),
    async PUT(c) {
      const id = idIn(c);
      await change(c, { type: "putBan", id, ban: banOf(await jsonBody(c, NewBan)) });
      return c.json(await present(c, id));
    },
    async DELETE(c) {
      await change(c, { type: "deleteBan", id: idIn(c) });
      return c.body(null, 204);
    },
  });
}

async function present(c: ApiContext, id: number) {
  const kept = await directoryOf(c).ban(id);
  if (!kept) throw absent();
  return shown(kept);
}

/** As `BANS` has them. */
function shown({ id, ban: { type, value, until, why }, createdAt, changedAt }: KeptBan) {
  return {
    id,
    [type]: value,
    ...(until !== undefined && { until: written(until) }),
    ...(why !== undefined && { why }),
    createdAt: written(createdAt),
    changedAt: written(changedAt),
  };
}

function banOf({ until, why, ...who }: z.infer<typeof NewBan>): Ban {
  const types = BANNED.filter((type) => who[type] !== undefined);
  const [type] = types;
  if (type === undefined || types.length > 1) {
    throw new Refusal(400, `there has to be one of ${BANNED.join(", ")}, and no more`, types[1] ?? "clientId");
  }
  const end = until === undefined ? undefined : Date.parse(until);
  if (end !== undefined && end <= Date.now()) throw new Refusal(400, "must not be over yet", "until");
  return { type, value: who[type]!, until: end, why };
}
