/**
 * By which hosts is the broker reached? A page can have its own name stand for 127.0.0.1 once it is loaded (DNS rebinding). The
 * browser then takes the broker on this machine for the page's own host: `Origin` is that of the broker, and the page reads
 * what is answered. `Host` still has the page's name, and a page cannot change it.
 */

import * as z from "zod/mini";

/** As URLs have them, without ports; `any` for all of them. */
export type Hosts = "any" | ReadonlySet<string>;

/** `HOSTS`. */
export const HostsSetting = z._default(
  z.pipe(
    z.pipe(
      z.string(),
      z.transform((text: string): Hosts => {
        const items = text.split(",").map((item) => item.trim());
        return items.includes("*") ? "any" : new Set(items);
      }),
    ),
    z.custom<Hosts>(
      (read) => read === "any" || [...(read as ReadonlySet<string>)].every(isHost),
      "must be hosts as URLs have them, without ports, like broker.example or [::1], with commas between them, or *",
    ),
  ),
  "any",
);

function isHost(item: string): boolean {
  return item !== "" && !item.includes("*") && URL.parse(`http://${item}`)?.hostname === item;
}

export function isReached(url: string, hosts: Hosts): boolean {
  return hosts === "any" || hosts.has(new URL(url).hostname);
}
