/** An admin, as a program that talks to the broker over HTTP. */
import type { Broker } from "../../../scripts/broker.ts";

export const ADMIN_TOKEN = "an-admin-token-that-only-the-tests-know";

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  /** Undefined: there was none. */
  readonly json: unknown;
}

export class Admin {
  readonly #broker: () => Broker;
  readonly #headers: Record<string, string>;

  constructor(broker: () => Broker, headers: Record<string, string> = { Authorization: `Bearer ${ADMIN_TOKEN}` }) {
    this.#broker = broker;
    this.#headers = headers;
  }

  get(path: string): Promise<Reply> {
    return this.send("GET", path);
  }

  delete(path: string): Promise<Reply> {
    return this.send("DELETE", path);
  }

  /** With a JSON body. */
  put(path: string, body: unknown, method = "PUT"): Promise<Reply> {
    return this.send(method, path, JSON.stringify(body), { "Content-Type": "application/json" });
  }

  post(path: string, body: unknown): Promise<Reply> {
    return this.put(path, body, "POST");
  }

  /** With the text of a file. */
  load(path: string, file: string): Promise<Reply> {
    return this.send("POST", path, file, { "Content-Type": "text/plain" });
  }

  async send(
    method: string,
    path: string,
    body?: string | Uint8Array<ArrayBuffer>,
    headers: Record<string, string> = {},
  ): Promise<Reply> {
    const response = await fetch(`${this.#broker().url}/api/v1${path}`, {
      method,
      headers: { ...this.#headers, ...headers },
      redirect: "manual",
      ...(body !== undefined && { body }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      json: text === "" ? undefined : (JSON.parse(text) as unknown),
    };
  }
}
