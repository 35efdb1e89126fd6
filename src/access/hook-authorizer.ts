/**
 * The hook, asked about what no rule says anything of. It is told who the client is and what it wants, all at once, and says
 * "allow" or "deny" to each. What it says is remembered for as long as is set, by the connection that asked.
 */

import * as z from "zod/mini";
import type { Decide, Decided } from "../core/authentication/asking.ts";
import type { Authorizer } from "./authorizer.ts";
import { type Hook, HookUnavailable } from "./hook.ts";

/** So long a hook that is away is not asked the same again, which would each time keep a client waiting. */
const AWAY_SECONDS = 5;
/** Of the answer, besides its words, and for each of them with its quotes, its comma and room for an indent. */
const FRAME_BYTES = 1024;
const WORD_BYTES = 64;

const Said = z.strictObject({ results: z.array(z.enum(["allow", "deny"])) });

export class HookAuthorizer implements Authorizer {
  readonly #hook: Hook;
  readonly #cacheSeconds: number;

  constructor(hook: Hook, cacheSeconds: number) {
    this.#hook = hook;
    this.#cacheSeconds = cacheSeconds;
  }

  async authorize({ tenant, client, needs }: Decide): Promise<Decided> {
    const request = {
      tenant,
      user: client.user ?? null,
      clientId: client.clientId,
      claims: Object.fromEntries(client.claims),
      requests: needs.map(({ action, filter }) => ({ action, topic: filter })),
    };
    try {
      const said = Said.safeParse(await this.#hook.ask("authorize", request, FRAME_BYTES + needs.length * WORD_BYTES));
      if (!said.success || said.data.results.length !== needs.length) return away("its answer is wrong");
      const allowed = said.data.results.map((result) => result === "allow");
      return { type: "decided", allowed, seconds: this.#cacheSeconds };
    } catch (error) {
      return away(error instanceof HookUnavailable ? error.message : "it failed");
    }
  }
}

function away(problem: string): Decided {
  return { type: "decided", allowed: [], seconds: AWAY_SECONDS, problem: `hook: ${problem}` };
}
