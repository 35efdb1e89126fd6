/**
 * SCRAM-SHA-256 with users of the settings and of the directory. The directory is asked each time, also for a name that the
 * settings have: so the time tells nothing.
 */

import type { Exchange, Mechanism } from "../core/authentication/mechanism.ts";
import { claimedUser, ScramSha256 } from "../core/authentication/scram.ts";
import type { Users } from "../core/authentication/users.ts";
import type { Verifier } from "../core/authentication/verifier.ts";
import { cryptography } from "../edge/cryptography.ts";
import type { Directory } from "./directory.ts";

interface Kept {
  readonly verifier: Verifier;
  /** The verifier can be satisfied. */
  readonly known: boolean;
  readonly asOf: number | undefined;
}

export class DirectoryScram implements Mechanism {
  readonly method = "SCRAM-SHA-256";
  readonly #directory: Directory;
  readonly #users: Users | undefined;

  /** @param users those of the settings */
  constructor(directory: Directory, users: Users | undefined) {
    this.#directory = directory;
    this.#users = users;
  }

  begin(): Exchange {
    let kept: Kept | undefined;
    // It looks for a user only in a message that says who that is.
    const conversation = new ScramSha256({ find: () => kept! }, cryptography).begin();
    return {
      step: async (data, now) => {
        const user = kept ? undefined : claimedUser(data);
        if (user !== undefined) kept = await this.#find(user, now);
        const step = conversation.step(data);
        if (step.type !== "accepted" || kept?.asOf === undefined) return step;
        return { ...step, identity: { ...step.identity, asOf: kept.asOf } };
      },
    };
  }

  async #find(user: string, now: number): Promise<Kept> {
    if (this.#users?.has(user)) {
      await this.#directory.find(user, now).catch(() => undefined);
      return { ...this.#users.find(user), asOf: undefined };
    }
    const { verifier, provable, version } = await this.#directory.find(user, now);
    return { verifier, known: provable, asOf: version };
  }
}
