/** The network as a Worker has it. */

import { waitUntil } from "cloudflare:workers";
import type { Network } from "./network.ts";

export const workersNetwork: Network = {
  fetch: (url, request) => fetch(url, request),
  deadline: (milliseconds) => AbortSignal.timeout(milliseconds),
  keep: (work) => waitUntil(work),
};
