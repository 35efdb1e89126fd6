/** A client that minds its own business; whatever others do, its messages keep arriving. */
import type { Broker } from "../../../scripts/broker.ts";
import { Client } from "./client.ts";
import { scope } from "./broker.ts";

export class Bystander {
  readonly #client: Client;
  readonly #topic: string;
  #sent = 0;

  private constructor(client: Client, topic: string) {
    this.#client = client;
    this.#topic = topic;
  }

  static async connected(broker: Broker): Promise<Bystander> {
    const client = await Client.connected(broker, "tcp", 4);
    const topic = scope("bystander");
    await client.subscribe({ topic, qos: 1 });
    return new Bystander(client, topic);
  }

  /** Sends itself a message and receives it, and nothing else. */
  async undisturbed(): Promise<void> {
    const payload = `undisturbed ${++this.#sent}`;
    await this.#client.publish(this.#topic, payload, { qos: 1 });
    await this.#client.expectMessage(this.#topic, payload);
  }
}
