/** `TENANTS` and `TENANT_HOSTS`: which name spaces there are besides the main one, and who comes to which. */

import * as z from "zod/mini";
import { ConfigError } from "../config-error.ts";
import { isTenantName, MAIN } from "../names.ts";

export interface Tenants {
  /** Besides the main one. */
  readonly names: ReadonlySet<string>;
  /** The tenant of each host that is one's own, by the host's name as a URL has it. */
  readonly hosts: ReadonlyMap<string, string>;
}

/** Each is known by its name in every isolate, and may have a directory there. */
const TENANTS_MAX = 1_000;

/** For the shape of all settings. */
export const TENANT_VARIABLES = {
  TENANTS: z.optional(
    z.pipe(
      z.pipe(
        z.string("must be names"),
        z.transform((text: string): ReadonlySet<string> => new Set(text.split(",").map((name) => name.trim()))),
      ),
      z
        .custom<ReadonlySet<string>>(
          (names) => [...(names as ReadonlySet<string>)].every((name) => isTenantName(name) && name !== MAIN),
          `must be names with commas between them: 1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit, and not ${MAIN}`,
        )
        .check(z.refine(({ size }) => size <= TENANTS_MAX, `must have at most ${TENANTS_MAX} names`)),
    ),
  ),
  TENANT_HOSTS: z.optional(
    z.pipe(
      z.pipe(
        z.string("must be a JSON object"),
        z.transform((text: string) => entriesOf(text)),
      ),
      z
        .custom<ReadonlyMap<string, string>>(
          (hosts) => hosts instanceof Map && [...hosts.values()].every((tenant) => typeof tenant === "string"),
          'must be a JSON object of tenants by host: {"acme.example": "acme"}',
        )
        .check(
          z.refine(
            (hosts) => [...hosts.keys()].every(isHostname),
            "must have hosts as URLs have them: in lower case, without port",
          ),
        ),
    ),
  ),
};

const Variables = z.object(TENANT_VARIABLES);

/** @throws ConfigError when they contradict each other */
export function readTenants({ TENANTS, TENANT_HOSTS }: z.infer<typeof Variables>): Tenants {
  const names = TENANTS ?? new Set<string>();
  const hosts = TENANT_HOSTS ?? new Map<string, string>();
  for (const tenant of hosts.values()) {
    if (tenant !== MAIN && !names.has(tenant)) {
      throw new ConfigError(`TENANT_HOSTS has the tenant "${tenant}": it must be one of TENANTS, or ${MAIN}`);
    }
  }
  return { names, hosts };
}

function entriesOf(text: string): unknown {
  try {
    const written: unknown = JSON.parse(text);
    const isObject = typeof written === "object" && written !== null && !Array.isArray(written);
    return isObject ? new Map(Object.entries(written)) : undefined;
  } catch {
    return undefined;
  }
}

function isHostname(host: string): boolean {
  return host !== "" && !host.endsWith(".") && URL.parse(`https://${host}`)?.hostname === host;
}
