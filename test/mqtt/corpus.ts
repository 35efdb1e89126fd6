/**
 * Which packets do we hold the codec to? Each is written down once, with the rule that it is about and what must become
 * of it; `corpus.test.ts` decodes, re-encodes, splits and joins them.
 */
import type { InboundCase } from "./corpus-case.ts";
import { connectCases } from "./corpus-connect.ts";
import { flowCases } from "./corpus-flow.ts";
import { publishCases } from "./corpus-publish.ts";
import { subscribeCases } from "./corpus-subscribe.ts";

export function inboundCases(): InboundCase[] {
  return [...connectCases(), ...publishCases(), ...subscribeCases(), ...flowCases()];
}
