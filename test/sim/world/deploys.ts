/**
 * Which release runs where. Of a release only its link versions matter here. A Worker's connections keep theirs until they
 * end, and an object its own until it is restarted, one after the other.
 */

import { LINK_VERSIONS, type LinkVersions } from "../../../src/link/records.ts";
import { PLATFORM } from "./step.ts";
import type { World } from "./world.ts";

export class Deploys {
  readonly #world: World;
  readonly #workers = new Map<string, LinkVersions>();
  /** What Workers run that have no release of their own. */
  #workerVersions = LINK_VERSIONS;
  #objectVersions = LINK_VERSIONS;

  constructor(world: World) {
    this.#world = world;
  }

  /** What an object runs that nobody has used yet. */
  get objectVersions(): LinkVersions {
    return this.#objectVersions;
  }

  /** What the next connection of a Worker runs. */
  of(worker: string): LinkVersions {
    return this.#workers.get(worker) ?? this.#workerVersions;
  }

  /** Connections that begin from now on, at one Worker or at all, run another release. */
  workers(versions: LinkVersions, worker?: string): void {
    if (worker !== undefined) {
      this.#workers.set(worker, versions);
      return;
    }
    this.#workers.clear();
    this.#workerVersions = versions;
  }

  /** The objects that there are run another release, one more each `everyMs`, and from now on those that are new. */
  objects(versions: LinkVersions, everyMs: number): void {
    const world = this.#world;
    this.#objectVersions = versions;
    let afterMs = 0;
    for (const node of [...world.sessions.values(), ...world.shards]) {
      const way = world.channel({ from: { party: PLATFORM }, to: node, words: () => "" });
      world.push(way, () => node.deploy(versions), 0, `deploy [${versions.min}, ${versions.max}]`, afterMs);
      afterMs += everyMs;
    }
  }
}
