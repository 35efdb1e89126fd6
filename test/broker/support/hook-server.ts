/** A hook over HTTP, as whoever runs a broker would write one: it says what a test tells it to. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Asked {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly request: Record<string, unknown>;
}

type Reply = (asked: Asked, response: ServerResponse) => void;

export class HookServer {
  readonly asked: Asked[] = [];
  readonly #server: Server;
  /** What it says; an object is sent as JSON. */
  reply: object | Reply = { result: "ignore" };

  private constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(): Promise<HookServer> {
    const hook = new HookServer();
    hook.#server.listen(0, "127.0.0.1");
    await once(hook.#server, "listening");
    return hook;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook?v=1`;
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const { url = "", headers } = request;
    const asked = { path: url, authorization: headers.authorization, request: JSON.parse(body) as Asked["request"] };
    this.asked.push(asked);
    if (typeof this.reply === "function") this.reply(asked, response);
    else response.setHeader("content-type", "application/json").end(JSON.stringify(this.reply));
  }
}
