/** Which tenant does a client come to? */

import type { Tenants } from "../access/tenants-setting.ts";

/**
 * The tenant that a URL names, by its host or by the path behind `/mqtt/`: `{ tenant: undefined }` if neither names one, undefined
 * if there is no such tenant, or not at this host.
 *
 * @param path undefined: the path is `/mqtt`
 */
export function tenantAt(
  url: string,
  path: string | undefined,
  { names, hosts }: Tenants,
): { readonly tenant: string | undefined } | undefined {
  // A name with a dot at its end is the same host's.
  const own = hosts.get(new URL(url).hostname.replace(/\.$/, ""));
  if (path === undefined) return { tenant: own };
  return names.has(path) && (own === undefined || own === path) ? { tenant: path } : undefined;
}
