/**
 * Somebody who is asked about clients: a Worker that is bound to this one, or an endpoint over HTTPS. Whoever runs the broker
 * has written it (`docs/hook.md`).
 *
 * It has so many seconds. Whatever is no answer is {@link HookUnavailable}: none in time, another status than 200, something
 * that is no JSON or longer than it may be.
 */

import { bodyText } from "./body.ts";
import { before } from "./deadline.ts";
import type { HookService, HookSettings } from "./hook-settings.ts";
import type { Network } from "./network.ts";

/** There is no telling what it would have said. The message is for the log. */
export class HookUnavailable extends Error {
  override readonly name = "HookUnavailable";
}

export class Hook {
  readonly #settings: Pick<HookSettings, "at" | "secondsMax">;
  readonly #network: Network;

  constructor(settings: Pick<HookSettings, "at" | "secondsMax">, network: Network) {
    this.#settings = settings;
    this.#network = network;
  }

  /**
   * @param bytesMax of the answer as JSON; that of a Worker is not measured
   * @throws HookUnavailable
   */
  async ask(what: keyof HookService, request: object, bytesMax: number): Promise<unknown> {
    const { at, secondsMax } = this.#settings;
    const deadline = this.#network.deadline(secondsMax * 1000);
    const late = (): HookUnavailable => new HookUnavailable(`it does not answer within ${secondsMax} s`);
    const work = "service" in at ? called(at.service, what, request) : this.#fetch(what, request, bytesMax, deadline);
    return await before(deadline, work, late);
  }

  async #fetch(what: string, request: object, bytesMax: number, signal: AbortSignal): Promise<unknown> {
    const { url, secret } = this.#settings.at as { readonly url: string; readonly secret: string | undefined };
    let written: string | undefined;
    try {
      const response = await this.#network.fetch(methodUrl(url, what), {
        method: "POST",
        headers: {
          accept: "application/json",
          "content-type": "application/json",
          ...(secret !== undefined && { authorization: `Bearer ${secret}` }),
        },
        body: JSON.stringify(request),
        // Where it leads to was not configured, and would be sent passwords.
        redirect: "manual",
        signal,
      });
      if (response.status !== 200) {
        await response.body?.cancel();
        throw new HookUnavailable(`it answers ${response.status}`);
      }
      written = await bodyText(response, bytesMax);
    } catch (error) {
      // What fetch says can have the URL in it.
      throw error instanceof HookUnavailable ? error : new HookUnavailable("no connection");
    }
    if (written === undefined) throw new HookUnavailable(`it answers with more than ${bytesMax} bytes`);
    try {
      return JSON.parse(written) as unknown;
    } catch {
      throw new HookUnavailable("it answers with something that is not JSON");
    }
  }
}

async function called(service: HookService, what: keyof HookService, request: object): Promise<unknown> {
  try {
    return await service[what](request);
  } catch (error) {
    // The operator's own code has thrown it, to whom the log belongs too; but a password may be in its words.
    throw new HookUnavailable(`it throws ${error instanceof Error ? error.name : "something"}`);
  }
}

/** The path is added to, and a query stays. */
function methodUrl(url: string, what: string): string {
  const to = new URL(url);
  to.pathname = `${to.pathname.replace(/\/$/, "")}/${what}`;
  return to.href;
}
