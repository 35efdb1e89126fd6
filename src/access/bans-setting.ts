/** `BANS`: who may not connect, as an operator writes it. */

import * as z from "zod/mini";
import { type Ban, BANNED, Bans } from "../core/bans/bans.ts";
import { isTenantName } from "../names.ts";

/**
 * A JSON array of objects with one of `clientId`, `user` and `address`, and perhaps `until` (a time of ISO 8601), `why`, and
 * `tenant`, but not of an address. An error names the entry.
 */
export const BansSetting = z.pipe(
  z.string("must be a JSON array"),
  z.transform((text: string, context): readonly Ban[] => {
    try {
      return readBans(text);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      context.issues.push({ code: "custom", message: error.message, input: text });
      return [];
    }
  }),
);

function readBans(text: string): readonly Ban[] {
  let entries: unknown;
  try {
    entries = JSON.parse(text);
  } catch {
    throw new RangeError("must be a JSON array");
  }
  if (!Array.isArray(entries)) throw new RangeError("must be a JSON array");
  return entries.map((entry: unknown, at) => {
    try {
      return readBan(entry);
    } catch (error) {
      throw new RangeError(`has an error in its entry ${at + 1}: ${(error as RangeError).message}`, { cause: error });
    }
  });
}

function readBan(entry: unknown): Ban {
  if (typeof entry !== "object" || entry === null) throw new RangeError("it must be an object");
  const { until, why, tenant, ...who } = entry as Record<string, unknown>;
  const names = Object.keys(who);
  const type = BANNED.find((name) => name === names[0]);
  const value = type === undefined ? undefined : who[type];
  if (!type || names.length !== 1 || typeof value !== "string" || value === "") {
    throw new RangeError(`it must have one of ${BANNED.join(", ")}`);
  }
  const end = until === undefined ? undefined : typeof until === "string" ? Date.parse(until) : NaN;
  if (Number.isNaN(end)) throw new RangeError("until must be a time like 2026-12-31T23:59:59Z");
  if (why !== undefined && typeof why !== "string") throw new RangeError("why must be text");
  if (tenant !== undefined && (type === "address" || typeof tenant !== "string" || !isTenantName(tenant))) {
    throw new RangeError("tenant must be the name of one, with clientId or user");
  }
  const ban = { type, value, tenant, until: end, why };
  // It is read once, so that a wrong network is named here.
  new Bans([ban]);
  return ban;
}
