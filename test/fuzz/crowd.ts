/**
 * The whole broker in one process, hostile clients, and two witnesses who behave well: one publishes to the other at QoS
 * 1 and 2 all the while, and must not notice anything.
 */
import { Reason } from "../../src/mqtt/reason.ts";
import type { Client } from "../sim/world/client.ts";
import type { SessionNode, ShardNode } from "../sim/world/node.ts";
import { Random } from "../support/random.ts";
import { World } from "../sim/world/world.ts";
import { Find, Judge } from "./judge.ts";
import { chunksOf, type Habits, type Script, type Step } from "./script.ts";
import type { Tally } from "./solo.ts";

export const CROWD: Habits = { clients: 4, steps: 120, faults: 0.02, waitMsMax: 50_000 };

/** One on each shard, most likely. */
const WITNESS_TOPICS = ["witness/1", "witness/2", "witness/3", "witness/4", "witness/5", "witness/6"];

interface Hostile {
  readonly client: Client;
  readonly judge: Judge;
  cut: boolean;
}

/** @throws Find, or what the core throws */
export function crowd(script: Script): Tally {
  const one = new Crowd(script.chance);
  one.run(script.steps);
  const tally = { packets: 0, answers: 0, connections: one.hostiles.size };
  for (const { judge } of one.hostiles.values()) {
    tally.packets += judge.packets;
    tally.answers += judge.answers;
  }
  return tally;
}

class Crowd {
  readonly hostiles = new Map<number, Hostile>();
  readonly #world: World;
  readonly #random: Random;
  readonly #publisher: Client;
  readonly #subscriber: Client;
  readonly #sent: string[] = [];

  constructor(chance: number) {
    const random = (this.#random = new Random(chance));
    const order = new Random(chance + 0x10000);
    this.#world = new World({
      shards: random.of([1, 2, 4]),
      limits: { packetBytesMax: random.of([2048, 1 << 20]), inflightMax: random.of([2, 1024]) },
      random: () => order.next(),
      pick: (ready) => order.below(ready),
    });
    this.#subscriber = this.#world.connected("witness-subscriber", {}, random.of([4, 5]));
    this.#publisher = this.#world.connected("witness-publisher", {}, random.of([4, 5]));
    this.#subscriber.subscribe(WITNESS_TOPICS.map((topic) => ({ topic, qos: 2 })));
    this.#world.settle();
  }

  run(steps: readonly Step[]): void {
    for (const [number, step] of steps.entries()) {
      this.#step(step);
      if (number % 4 === 0) this.#witness();
      this.#world.advance(this.#random.of([0, 0, 1, 5, 20]));
    }
    // Longer than links wait, shards confirm and objects are given up on.
    this.#world.advance(45_000);
    for (const { judge, cut } of this.hostiles.values()) if (!cut) judge.settled();
    this.#checkWitnesses();
    for (const hostile of this.hostiles.values()) if (!hostile.cut) hostile.client.cut();
    this.#world.advance(150_000);
    for (const { client } of this.hostiles.values()) {
      if (!client.driver.done) throw new Find("a connection does not end");
    }
    this.#checkObjects();
  }

  #witness(): void {
    const payload = `${this.#sent.length}`;
    this.#sent.push(payload);
    this.#publisher.publish(this.#random.of(WITNESS_TOPICS), payload, { qos: this.#random.of([1, 2]) });
  }

  #step(step: Step): void {
    switch (step.type) {
      case "bytes": {
        const { client, judge, cut } = this.#hostile(step.client);
        for (const chunk of chunksOf(step)) {
          if (client.closed !== undefined || cut) return;
          const copy = chunk.slice();
          this.#world.push(client.up, () => {
            if (!judge.closed) judge.sends(chunk);
            client.driver.bytes(copy);
          });
        }
        this.#world.push(client.up, () => judge.offends(step.offence));
        return;
      }
      case "text": {
        const { client, judge } = this.#hostile(step.client);
        if (client.closed !== undefined) return;
        this.#world.push(client.up, () => {
          judge.doomed ??= "a text frame";
          client.driver.textFrame();
        });
        return;
      }
      case "cut": {
        const hostile = this.#hostile(step.client);
        hostile.cut = true;
        hostile.client.cut();
        return;
      }
      case "wait":
        return this.#world.advance(step.ms);
      case "fault":
        return this.#fault(step.number);
    }
  }

  #hostile(number: number): Hostile {
    let hostile = this.hostiles.get(number);
    if (hostile) return hostile;
    const client = this.#world.client(`hostile-${number}`, 5);
    const judge = new Judge(this.#world.limits);
    hostile = { client, judge, cut: false };
    this.hostiles.set(number, hostile);
    // What the broker sends is judged, and not acted on: what clients say is in the script.
    client.deliver = (bytes) => {
      if (client.closed === undefined) judge.gets(bytes);
    };
    const close = client.close.bind(client);
    client.close = (code) => {
      judge.closed = true;
      close(code);
    };
    return hostile;
  }

  #fault(number: number): void {
    const nodes: (ShardNode | SessionNode)[] = [...this.#world.shards, ...this.#world.sessions.values()];
    const node = nodes[number % nodes.length]!;
    if (number % 3 === 0) {
      // A shard that has a timer does not sleep.
      if (node.deadline === undefined) node.evict();
    } else node.crash();
  }

  #checkWitnesses(): void {
    const { payloads, closed, reused } = this.#subscriber;
    if (closed !== undefined || this.#publisher.closed !== undefined) {
      const why = [...this.#subscriber.driver.reports, ...this.#publisher.driver.reports];
      throw new Find(`a witness was closed: ${JSON.stringify(why)}`);
    }
    if (reused.length > 0) throw new Find(`packet ids of the witness were reused: ${reused.join(", ")}`);
    const counts = new Map<string, number>();
    for (const payload of payloads) counts.set(payload, (counts.get(payload) ?? 0) + 1);
    for (const payload of this.#sent) {
      if (!counts.has(payload)) throw new Find(`the witness did not get message ${payload} of ${this.#sent.length}`);
    }
    for (const message of this.#subscriber.all("publish")) {
      const payload = message.payload!.toString();
      const times = counts.get(payload)!;
      if (message.qos === 2 && times > 1) throw new Find(`the witness got message ${payload} ${times} times`);
    }
    const answered = this.#publisher.acknowledged.length + this.#publisher.completed.length;
    if (answered !== this.#sent.length) throw new Find(`the witness has ${answered} of ${this.#sent.length} answers`);
  }

  #checkObjects(): void {
    for (const node of [...this.#world.shards, ...this.#world.sessions.values()]) {
      if (node.failures.length > 0) throw node.failures[0];
    }
    for (const { driver } of this.#world.clients) {
      const caught = driver.reports.find(({ reason }) => reason === Reason.UnspecifiedError);
      if (caught) throw new Find(`caught in the core: ${caught.detail}`);
    }
  }
}
