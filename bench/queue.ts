/**
 * Messages that wait for a client that is away. A session is made and left, messages are published to it until the
 * last is acknowledged, and its client comes back for them: two spans, between which nothing is connected but the
 * publisher.
 */

import type { Client } from "./client.ts";
import type { LoadOrder, Measurement } from "./measurement.ts";
import type { Qos } from "./mqtt-frames.ts";
import { Publisher, publishAll } from "./publisher.ts";
import { beginSpan } from "./span.ts";
import { Tally, allDelivered, countDeliveries } from "./subscriber.ts";

/** Opens the transport of a client that then says CONNECT itself. */
export type OpenClient = (clientId: string) => Promise<Client>;

/** What of an order says how clients connect and what they send. */
type Wire = Pick<LoadOrder, "address" | "packetsPerFrame" | "payloadBytes">;

/** A session that outlives its connections. */
export class OfflineSession {
  readonly #open: OpenClient;
  readonly #clientId: string;
  readonly #qos: Qos;

  private constructor(open: OpenClient, clientId: string, qos: Qos) {
    this.#open = open;
    this.#clientId = clientId;
    this.#qos = qos;
  }

  /** Connects, subscribes and leaves. */
  static async leave(open: OpenClient, clientId: string, topic: string, qos: Qos): Promise<OfflineSession> {
    const session = new OfflineSession(open, clientId, qos);
    const client = await open(clientId);
    await client.connect(false);
    await client.subscribe(topic, qos);
    await client.disconnect();
    return session;
  }

  /**
   * Makes its client ready to come back.
   *
   * @returns what makes it say CONNECT, and resolves with the last of `due` deliveries or when no more come
   */
  async client(due: number, wire: Wire, tally: Tally): Promise<{ drain(): Promise<void>; leave(): Promise<void> }> {
    const client = await this.#open(this.#clientId);
    const complete = Promise.withResolvers<void>();
    const onReadEnd = (): void => {
      if (tally.deliveries >= due) complete.resolve();
    };
    countDeliveries(client, this.#qos, wire, tally, { onReadEnd });
    return {
      drain: async () => {
        if (!(await client.connect(false))) throw new Error(`${this.#clientId}: the broker did not keep the session`);
        await Promise.race([complete.promise, allDelivered(tally, due)]);
      },
      leave: () => client.disconnect(),
    };
  }

  /** Makes the broker forget it. */
  async end(): Promise<void> {
    const client = await this.#open(this.#clientId);
    await client.connect();
    await client.disconnect();
  }
}

/** Small enough for several within a warm-up. */
const WARMUP_MESSAGES = 1_000;

/** One measured queue, after small ones for as long as the warm-up lasts, each with a session and a topic of its own. */
export async function measureQueue(
  order: LoadOrder,
  pace: { readonly messages: number; readonly window: number },
  qos: Qos,
  id: string,
  open: OpenClient,
): Promise<Measurement> {
  let lost = 0;
  let misordered = 0;
  const warmUntil = performance.now() + order.warmupSeconds * 1_000;
  for (let run = 1; performance.now() < warmUntil; run++) {
    const warmup = await queueAndDrain(order, { ...pace, messages: WARMUP_MESSAGES }, qos, `${id}w${run}`, open);
    lost += warmup.lost;
    misordered += warmup.misordered;
  }
  const measured = await queueAndDrain(order, pace, qos, id, open);
  return { ...measured, lost: measured.lost + lost, misordered: measured.misordered + misordered };
}

async function queueAndDrain(
  order: LoadOrder,
  { messages, window }: { readonly messages: number; readonly window: number },
  qos: Qos,
  id: string,
  open: OpenClient,
): Promise<Measurement> {
  const topic = `bench/${id}/queue`;
  const session = await OfflineSession.leave(open, `${id}-s`, topic, qos);
  const client = await open(`${id}-p`);
  await client.connect();
  const publisher = new Publisher(client, qos, topic, order);
  const endQueueing = beginSpan(order.brokerPids);
  await publishAll(publisher, messages, window);
  const queueing = endQueueing(messages);

  const tally = new Tally();
  const returning = await session.client(messages, order, tally);
  const endDraining = beginSpan(order.brokerPids);
  await returning.drain();
  const delivering = endDraining(tally.deliveries);

  await returning.leave();
  await session.end();
  await client.disconnect();
  return {
    delivering,
    queueing,
    lost: messages - tally.deliveries,
    misordered: tally.misordered,
    latencyMs: null,
  };
}
