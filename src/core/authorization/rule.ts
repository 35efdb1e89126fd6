/** What a rule of access says: who may, or may not, do what with which topics. */

/**
 * - `publish` to a topic
 * - `subscribe` with a filter, to all that it can match
 * - `retain`: publish with RETAIN, besides `publish`
 * - `will`: have it published when the connection ends, besides `publish` (and `retain`)
 */
export const ACTIONS = ["publish", "subscribe", "retain", "will"] as const;
export type Action = (typeof ACTIONS)[number];

export interface Rule {
  readonly effect: "allow" | "deny";
  readonly actions: readonly Action[];
  /**
   * A topic filter, without `$share/…`. In it `%u` is the user's name, `%c` the client id and `%{name}` a claim of the client's
   * token; `%%` is `%`.
   */
  readonly filter: string;
  /** Only for this user; absent: for all. */
  readonly user?: string;
  /** Only for the client of this id; absent: for all. */
  readonly clientId?: string;
  /** Only for clients that are nobody in particular. */
  readonly anonymous?: true;
}
