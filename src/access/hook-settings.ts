/** What an operator says of the hook, and how it is read. */

import * as z from "zod/mini";
import { ConfigError } from "../config-error.ts";
import { whole } from "../whole.ts";
import { isSafeUrl } from "./safe-url.ts";

/** A Worker's entrypoint that is bound as `HOOK`; each method takes and returns what would be JSON. */
export interface HookService {
  authenticate(request: object): Promise<unknown>;
  authorize(request: object): Promise<unknown>;
}

export interface HookSettings {
  readonly at: { readonly service: HookService } | { readonly url: string; readonly secret: string | undefined };
  readonly secondsMax: number;
  /** Whether it is asked about what no rule says anything of. */
  readonly authorizes: boolean;
  readonly cacheSeconds: number;
}

/** For the shape of all settings. */
export const HOOK_VARIABLES = {
  HOOK: z.optional(
    z.custom<HookService>((value) => typeof value === "object" && value !== null, "must be a service binding"),
  ),
  HOOK_URL: z.optional(
    z
      .string()
      .check(z.refine(isSafeUrl, "must be an https URL, or an http one of this machine, without user and fragment")),
  ),
  // A header has no other characters.
  HOOK_SECRET: z.optional(z.string().check(z.regex(/^[\x21-\x7e]{16,1024}$/, "must be 16 to 1024 visible characters"))),
  HOOK_SECONDS_MAX: whole(1, 30, 3),
  HOOK_AUTHORIZE: z.optional(z.enum(["true", "false"], 'must be "true" or "false"')),
  HOOK_CACHE_SECONDS: whole(0, 3600, 60),
};

/** What is wrong with a URL is not said with it: it may have a key in it. */
export const HOOK_SECRETS: readonly string[] = ["HOOK_URL", "HOOK_SECRET"];

const Variables = z.object(HOOK_VARIABLES);

/**
 * Undefined: there is no hook.
 *
 * @param v as {@link HOOK_VARIABLES} reads them
 * @throws ConfigError when they contradict each other
 */
export function readHookSettings(v: z.infer<typeof Variables>): HookSettings | undefined {
  const { HOOK: service, HOOK_URL: url, HOOK_SECRET: secret, HOOK_SECONDS_MAX: secondsMax } = v;
  if (service && url !== undefined)
    throw new ConfigError("HOOK_URL is set: it must not be with HOOK, which is asked too");
  if (secret !== undefined && url === undefined) {
    throw new ConfigError("HOOK_SECRET is set: it needs HOOK_URL, which it is sent to");
  }
  const at = service ? { service } : url === undefined ? undefined : { url, secret };
  if (at) return { at, secondsMax, authorizes: v.HOOK_AUTHORIZE === "true", cacheSeconds: v.HOOK_CACHE_SECONDS };
  if (v.HOOK_AUTHORIZE !== undefined) throw new ConfigError("HOOK_AUTHORIZE is set: it needs HOOK_URL or HOOK");
  return undefined;
}
