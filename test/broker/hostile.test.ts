/**
 * Hostile bytes over real sockets: the fuzzer's packets (test/fuzz), one socket after the other, while bystanders go on. The
 * broker stays up, answers what it may answer, closes whom it must, and says of nobody that it failed itself.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startBroker, type Broker } from "../../scripts/broker.ts";
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import { Judge } from "../fuzz/judge.ts";
import { type BytesStep, chunksOf, script } from "../fuzz/script.ts";
import { SOLO } from "../fuzz/solo.ts";
import { removeStateDir, temporaryStateDir } from "./support/broker.ts";
import { Bystander } from "./support/bystander.ts";
import { cutAll, PATIENCE_MS } from "./support/client.ts";
import { openWire, TRANSPORTS, type Transport, type Wire } from "./support/wire.ts";

let broker: Broker;
let stateDir: string;
const logged: string[] = [];

beforeAll(async () => {
  stateDir = await temporaryStateDir();
  broker = await startBroker({ port: 0, tcpPort: 0, stateDir, onLog: ({ message }) => logged.push(message) });
});
afterEach(cutAll);
afterAll(async () => {
  await broker.stop();
  await removeStateDir(stateDir);
});

/** One client of a script on a socket of its own. */
class Socket {
  readonly judge = new Judge(DEFAULT_LIMITS);
  #wire: Wire | undefined;
  #failure: unknown;
  #ended!: () => void;
  readonly #end = new Promise<void>((resolve) => (this.#ended = resolve));
  #partial: Buffer = Buffer.alloc(0);

  async open(transport: Transport): Promise<void> {
    this.#wire = await openWire(broker, transport, {
      bytes: (chunk) => this.#gets(chunk),
      closed: () => {
        this.judge.closed = true;
        this.#ended();
      },
    });
  }

  async send(steps: readonly BytesStep[]): Promise<void> {
    for (const step of steps) {
      for (const chunk of chunksOf(step)) {
        if (this.judge.closed) break;
        this.judge.sends(chunk.slice());
        this.#wire!.send(chunk);
      }
      this.judge.offends(step.offence);
    }
    // Who must be closed is waited for; of another one nobody knows what it still gets.
    if (this.judge.doomed === undefined && !this.judge.left) this.#wire!.cut();
    await this.#within(this.#end);
    if (this.#failure) throw this.#failure;
  }

  async #within(end: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`still open after: ${this.judge.doomed ?? "DISCONNECT"}`)),
        PATIENCE_MS,
      );
    });
    await Promise.race([end, late]).finally(() => clearTimeout(timer));
  }

  /** TCP cuts packets anywhere; the judge wants them whole. */
  #gets(chunk: Buffer): void {
    this.#partial = Buffer.concat([this.#partial, chunk]);
    const whole = wholePackets(this.#partial);
    if (whole === 0 || this.#failure) return;
    const bytes = this.#partial.subarray(0, whole);
    this.#partial = this.#partial.subarray(whole);
    try {
      this.judge.gets(bytes);
    } catch (error) {
      this.#failure = error;
      this.#wire!.cut();
    }
  }
}

/** Bytes of the packets that are there to their end. */
function wholePackets(bytes: Buffer): number {
  let at = 0;
  for (;;) {
    let length = 0;
    let header = at + 1;
    for (let shift = 0; ; shift += 7, header += 1) {
      const byte = bytes[header];
      if (byte === undefined) return at;
      length += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    if (header + 1 + length > bytes.length) return at;
    at = header + 1 + length;
  }
}

function bystanders(): Promise<[Bystander, Bystander]> {
  return Promise.all([Bystander.connected(broker), Bystander.connected(broker)]);
}

test.each(TRANSPORTS)(
  "hostile bytes harm nobody else, over %s (seeds 1 to 120)",
  { timeout: 120_000 },
  async (transport) => {
    const [one, other] = await bystanders();
    let packets = 0;
    for (let seed = 1; seed <= 120; seed++) {
      const clients = new Map<number, BytesStep[]>();
      for (const step of script(seed, SOLO).steps) {
        if (step.type !== "bytes") continue;
        const steps = clients.get(step.client);
        if (steps) steps.push(step);
        else clients.set(step.client, [step]);
      }
      // All clients of a script at once; they share client ids, so they also take each other over.
      await Promise.all(
        [...clients].map(async ([client, steps]) => {
          const socket = new Socket();
          await socket.open(transport);
          await socket.send(steps).catch((error: unknown) => {
            throw new Error(`seed ${seed}, client ${client}: ${String(error)}`, { cause: error });
          });
          packets += socket.judge.packets;
        }),
      );
      if (seed % 10 === 0) await Promise.all([one.undisturbed(), other.undisturbed()]);
    }
    expect(packets).toBeGreaterThan(1000);
    const response = await fetch(`${broker.url}/health`);
    expect(await response.json()).toEqual({ status: "ok" });
    // What is looked for would be there.
    expect(logged.some((line) => line.includes("malformed packet"))).toBe(true);
    expect(logged.filter((line) => /unspecified error|uncaught|TypeError|RangeError/i.test(line))).toEqual([]);
  },
);
