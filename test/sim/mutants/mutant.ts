/** A deliberate fault in the broker, and how soon it must be found out. */

import type { Mutation } from "../mutation/mutation.ts";
import type { Rule } from "../../trial/judge/verdict.ts";

/** How a trial shows that something is wrong: it breaks a rule of the judge, does not end, leaves something behind, or an error is thrown. */
export type Sign = Rule | "stuck" | "left behind" | "thrown";

export interface Mutant {
  /** What is wrong with the broker. */
  readonly name: string;
  readonly mutations: readonly Mutation[];
  /** It shows within so many seeds, from 1 on: measured, with a margin. */
  readonly seeds: number;
  /** How it showed when that was measured. */
  readonly signs: readonly Sign[];
}

/** A fault that the trial does not find: nothing that anybody can see changes, or it hardly ever comes to where that shows. */
export interface Unseen {
  readonly name: string;
  readonly why: string;
  readonly mutations: readonly Mutation[];
}

/** It needs things to meet that did not meet within the first seeds. */
export const RARE = "rare: not within the first seeds";

export function unseen(name: string, why: string, first: Change, ...more: readonly Change[]): Unseen {
  return { name, why, mutations: [first, ...more].map((change) => ({ name, ...change })) };
}

type Change = Omit<Mutation, "name">;

export function mutant(
  name: string,
  seeds: number,
  signs: readonly Sign[] | Sign,
  first: Change,
  ...more: readonly Change[]
): Mutant {
  const mutations = [first, ...more].map((change) => ({ name, ...change }));
  return { name, mutations, seeds, signs: [signs].flat() as Sign[] };
}

/** Replaces text of one file. */
export function of(file: string): (find: string, replace: string) => Change {
  return (find, replace) => ({ file, find, replace });
}
