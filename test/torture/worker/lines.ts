/**
 * The links of one client's connection, so that its Worker can die: workerd runs all of them in one isolate, which dies
 * only with the process. A connection that is dead has lost its links without a word, and reaches no object any more;
 * its client's socket is for the client's side to cut.
 */
import type { Env } from "../../../src/env.ts";
import { parseSessionName } from "../../../src/names.ts";

const living = new Set<Lines>();

/** @param clientId undefined means every client's */
export function killWorkers(clientId?: string): number {
  let killed = 0;
  for (const lines of living) {
    if (clientId !== undefined && lines.clientId !== clientId) continue;
    lines.die();
    killed += 1;
  }
  return killed;
}

export class Lines {
  clientId: string | undefined;
  readonly env: Env;
  readonly #links = new Set<WebSocket>();
  readonly #death = Promise.withResolvers<void>();
  #dead = false;

  constructor(env: Env) {
    this.env = {
      ...env,
      SESSIONS: this.#namespace(env.SESSIONS, (name) => (this.clientId = parseSessionName(name).session)),
      TOPIC_SHARDS: this.#namespace(env.TOPIC_SHARDS, () => {}),
    };
    living.add(this);
    // Only the request that a socket belongs to may close it, so that is where death is waited for.
    void this.#death.promise.then(() => {
      for (const link of this.#links) link.close();
    });
  }

  /** Its client has left and everything is settled. */
  over(): void {
    living.delete(this);
  }

  die(): void {
    this.over();
    this.#dead = true;
    this.#death.resolve();
  }

  #namespace<Namespace extends { getByName(name: string): Fetcher }>(
    objects: Namespace,
    named: (name: string) => void,
  ): Namespace {
    const getByName = (name: string): Pick<Fetcher, "fetch"> => {
      named(name);
      const object = objects.getByName(name);
      return { fetch: (url: RequestInfo | URL, init?: RequestInit) => this.#open(object, url, init) };
    };
    return { getByName } as unknown as Namespace;
  }

  async #open(object: Fetcher, url: RequestInfo | URL, init?: RequestInit): Promise<Response> {
    if (this.#dead) throw new Error("this Worker is dead");
    const response = await object.fetch(url, init);
    const link = response.webSocket;
    if (link) this.#links.add(link);
    if (!this.#dead) return response;
    link?.accept();
    link?.close();
    throw new Error("this Worker is dead");
  }
}
