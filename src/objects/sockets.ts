/**
 * The sockets of an object's links. The core knows a link by a number, which lives as long as the object is awake;
 * what has to outlive a sleep is the socket's attachment.
 */

import { PING, PONG } from "../link/ping.ts";

export class Sockets {
  readonly #ctx: DurableObjectState;
  readonly #byLink = new Map<number, WebSocket>();
  readonly #links = new Map<WebSocket, number>();
  /** Sockets that we closed. */
  readonly #closed = new WeakSet<WebSocket>();
  #last = 0;

  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
    for (const socket of ctx.getWebSockets()) if (socket.readyState === WebSocket.OPEN) this.#add(socket);
  }

  /** The links that the object woke with. */
  get links(): Iterable<[number, WebSocket]> {
    return this.#byLink;
  }

  /** Answers a link's upgrade. */
  accept(request: Request): Response {
    if (request.headers.get("Upgrade") !== "websocket")
      return new Response("this is a link, not a page", { status: 426 });
    const { 0: theirs, 1: ours } = new WebSocketPair();
    this.#ctx.acceptWebSocket(ours);
    this.#add(ours);
    return new Response(null, { status: 101, webSocket: theirs });
  }

  link(socket: WebSocket): number | undefined {
    return this.#links.get(socket);
  }

  send(link: number, frame: Uint8Array): void {
    try {
      this.#byLink.get(link)?.send(frame);
    } catch {
      // The socket is closing; its close event follows.
    }
  }

  attach(link: number, attachment: unknown): void {
    this.#byLink.get(link)?.serializeAttachment(attachment);
  }

  lastPingAt(link: number): number | undefined {
    const socket = this.#byLink.get(link);
    return socket && this.#ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime();
  }

  close(link: number): void {
    const socket = this.#byLink.get(link);
    if (!socket) return;
    this.#closed.add(socket);
    this.#forget(link);
    this.#close(socket, 1000);
  }

  /**
   * The other end closed a socket, or vanished. Returns its link; undefined when it closed while the object slept; null
   * when we closed it ourselves before.
   */
  closed(socket: WebSocket, code: number): number | undefined | null {
    const link = this.#closed.has(socket) ? null : this.#links.get(socket);
    if (typeof link === "number") this.#forget(link);
    // A hibernatable socket's close is not answered by the platform; 1005 and 1006 may not be sent.
    this.#close(socket, code === 1005 || code === 1006 || code === 1015 ? undefined : code);
    return link;
  }

  #add(socket: WebSocket): void {
    const link = ++this.#last;
    this.#byLink.set(link, socket);
    this.#links.set(socket, link);
  }

  #forget(link: number): void {
    const socket = this.#byLink.get(link);
    if (socket) this.#links.delete(socket);
    this.#byLink.delete(link);
  }

  #close(socket: WebSocket, code: number | undefined): void {
    try {
      if (code === undefined) socket.close();
      else socket.close(code);
    } catch {
      // It is closed already.
    }
  }
}
