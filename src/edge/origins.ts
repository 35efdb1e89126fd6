/**
 * Which web pages may open a WebSocket here? A browser lets any page open one to anywhere, and says in `Origin` whose page it
 * is. Who is known by a certificate, by an address or by being on this machine would otherwise speak for every page
 * that it looks at.
 */

import * as z from "zod/mini";

/** Origins besides the broker's own; `any` for all of them. */
export type Origins = "any" | ReadonlySet<string>;

/** `ORIGINS`. */
export const OriginsSetting = z._default(
  z.pipe(
    z.pipe(
      z.string(),
      z.transform((text: string): Origins => {
        const items = text.split(",").map((item) => item.trim());
        return items.includes("*") ? "any" : new Set(items);
      }),
    ),
    z.custom<Origins>(
      (read) => read === "any" || [...(read as ReadonlySet<string>)].every(isOrigin),
      "must be origins as browsers write them, like https://app.example, with commas between them, or *",
    ),
  ),
  new Set<string>() as unknown as string & Origins,
);

/** A page without an origin of its own, in a sandbox or a file, says `null`. */
function isOrigin(item: string): boolean {
  if (item === "null") return true;
  const url = URL.parse(item);
  if (url === null) return false;
  if (url.protocol === "https:" || url.protocol === "http:") return url.origin === item;
  return /^[a-z][a-z0-9+.-]*:\/\/[^/?#\s]+$/.test(item);
}

/** Programs that are no browsers say nothing of an origin, or what they like. */
export function mayOpen(origin: string | null, url: string, origins: Origins): boolean {
  return origin === null || origins === "any" || origins.has(origin) || isSame(origin, new URL(url));
}

/**
 * Whether a page is of the host and port that it wants to connect to. Paho calls itself a page of the broker's own, always
 * with `https:` and a port; so that is taken too where the broker is not reached by TLS. Not the other way round: whoever
 * is in the network between makes pages with `http:`.
 */
function isSame(origin: string, to: URL): boolean {
  const from = /^https?:\/\/[^/?#@\s]+$/.test(origin) ? URL.parse(origin) : null;
  if (from === null || from.hostname !== to.hostname || portOf(from) !== portOf(to)) return false;
  return from.protocol === "https:" || from.protocol === to.protocol;
}

function portOf({ port, protocol }: URL): string {
  return port || (protocol === "https:" ? "443" : "80");
}
