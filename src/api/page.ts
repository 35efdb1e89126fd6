/** A part of a list: how much of it is asked for, and where the next one begins. */

import type { Context } from "hono";
import * as z from "zod/mini";
import { shaped } from "./refusal.ts";

const ENTRIES = 100;
const ENTRIES_MAX = 1_000;

const wrongLimit = `must be a whole number from 1 to ${ENTRIES_MAX}`;
const Limit = z.pipe(
  z.pipe(
    z.string(),
    z.transform((text: string) => (/^\d{1,4}$/.test(text) ? Number(text) : NaN)),
  ),
  z.number(wrongLimit).check(z.gte(1, wrongLimit), z.lte(ENTRIES_MAX, wrongLimit)),
);
const Position = z.optional(z.string().check(z.regex(/^\d{1,15}$/, "must be what `next` said")));

/** How many entries are wanted. @throws Refusal 400 */
export function limitOf(c: Context): number {
  return shaped(z.object({ limit: z.optional(Limit) }), { limit: c.req.query("limit") }).limit ?? ENTRIES;
}

/** The number behind which, or before which, they are wanted; undefined: from the beginning. @throws Refusal 400 */
export function positionOf(c: Context, parameter: "after" | "before"): number | undefined {
  const { position } = shaped(z.object({ position: Position }), { position: c.req.query(parameter) });
  return position === undefined ? undefined : Number(position);
}

/** As many as were wanted, and the cursor with which the next ones come; null: these are the last. */
export function pageOf<T, C>(
  found: readonly T[],
  limit: number,
  cursor: (last: T) => C,
): { entries: readonly T[]; next: C | null } {
  const entries = found.slice(0, limit);
  return { entries, next: found.length > limit ? cursor(entries.at(-1)!) : null };
}
