/** What a client's session has on its way to the broker, and what the broker's answers say of it. */

import type { ClientEvent } from "../history.ts";
import type { Message } from "./message.ts";
import type { Verdict } from "./verdict.ts";

interface Underway {
  readonly message: Message;
  phase: "sent" | "received" | "released";
}

export class Outbox {
  readonly #client: string;
  readonly #verdict: Verdict;
  readonly #underway = new Map<number, Underway>();

  constructor(client: string, verdict: Verdict) {
    this.#client = client;
    this.#verdict = verdict;
  }

  /** What is sent again under this packet id. */
  again(packetId: number): Message | undefined {
    const known = this.#underway.get(packetId);
    if (known) known.phase = "sent";
    return known?.message;
  }

  sent(packetId: number, message: Message): void {
    this.#underway.set(packetId, { message, phase: "sent" });
  }

  released(packetId: number): void {
    const known = this.#underway.get(packetId);
    if (known) known.phase = "released";
  }

  /** An acknowledgement came. Nothing is answered that was not sent. */
  acknowledged({ packetId, by, reason }: ClientEvent & { type: "acknowledged" }): void {
    const known = this.#underway.get(packetId);
    const { index, ms } = this.#verdict.now;
    const isAwaited = known && known.phase === (by === "pubcomp" ? "released" : "sent");
    if (!isAwaited || (by === "puback") !== (known.message.qos === 1)) {
      const what = `${by.toUpperCase()} ${packetId} answers nothing`;
      this.#verdict.find("answer", this.#client, what, known?.message.payload);
      return;
    }
    const { message } = known;
    if (by !== "pubcomp" && reason < 0x80) {
      message.acknowledged = Math.min(message.acknowledged, index);
      message.acknowledgedMs = Math.min(message.acknowledgedMs, ms);
      message.done = index;
    }
    if (by !== "pubcomp" && reason >= 0x80) message.refused ??= this.#verdict.now;
    if (by === "pubrec" && reason < 0x80) known.phase = "received";
    else this.#underway.delete(packetId);
  }

  clear(): void {
    this.#underway.clear();
  }
}
