/** Rude clients among those who take part in a simulated trial. */

import type { Cast } from "../trial/cast.ts";
import type { RudeProfile } from "../trial/rude.ts";

export function rudeOnes(count: number, { topics }: Cast, pace: number): RudeProfile[] {
  const [willTopic] = topics.messages;
  return Array.from({ length: count }, (_, i) => ({
    clientId: `rude-${i}`,
    everyMs: 100 * pace,
    willTopic: willTopic!,
  }));
}
