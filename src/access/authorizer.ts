/** Somebody who is asked about what no rule says anything of. */

import type { Decide, Decided } from "../core/authentication/asking.ts";

export interface Authorizer {
  /** Does not throw: what cannot be found out is not allowed, and why is in the answer. */
  authorize(question: Decide): Decided | Promise<Decided>;
}
