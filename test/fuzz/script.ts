/**
 * What a fuzzer does, written down: steps that can be left out one by one, printed and read again. Everything else that
 * a run decides comes from the script's `chance`, so the same script is the same run.
 */
import { Random } from "../support/random.ts";
import { assemble, connect, packet, type Version } from "./grammar.ts";
import { mutate, offend } from "./mutate.ts";

/** Packets that are sent one behind the other; `cuts` are the places where the bytes are split into chunks. */
export interface BytesStep {
  readonly type: "bytes";
  readonly client: number;
  readonly packets: readonly Uint8Array[];
  readonly cuts: readonly number[];
  /** The last packet ends its connection for certain, whatever the codec thinks of it, and for this reason. */
  readonly offence?: string | undefined;
}

export type Step =
  | BytesStep
  /** The client's network fails. */
  | { readonly type: "cut"; readonly client: number }
  /** A WebSocket text frame. */
  | { readonly type: "text"; readonly client: number }
  | { readonly type: "wait"; readonly ms: number }
  /** A fault of the broker's own, of which there is one for each number. */
  | { readonly type: "fault"; readonly number: number };

export interface Script {
  readonly chance: number;
  readonly steps: readonly Step[];
}

export interface Habits {
  /** How many clients take turns; one that was closed is followed by another. */
  readonly clients: number;
  readonly steps: number;
  /** Chance of a fault instead of a step. */
  readonly faults: number;
  readonly waitMsMax: number;
}

interface Sender {
  version: Version;
  connected: boolean;
  /** Nothing that it has sent was broken, so that every packet begins where it seems to. */
  clean: boolean;
  /** Of its packets. */
  readonly mutated: number;
  readonly offending: number;
}

export function script(seed: number, habits: Habits): Script {
  const random = new Random(seed);
  const senders = new Map<number, Sender>();
  const steps: Step[] = [];
  let next = habits.clients;
  const present = Array.from({ length: habits.clients }, (_, client) => client);
  for (let left = 1 + random.below(habits.steps); left > 0; left--) {
    const place = random.below(present.length);
    const client = present[place]!;
    const sender = senders.get(client) ?? newSender(random);
    senders.set(client, sender);
    const die = random.next();
    if (die < 0.01) {
      steps.push({ type: random.chance(0.8) ? "cut" : "text", client });
      present[place] = next++;
    } else if (die < 0.05) steps.push({ type: "wait", ms: random.below(random.chance(0.1) ? habits.waitMsMax : 50) });
    else if (die < 0.05 + habits.faults) steps.push({ type: "fault", number: random.below(1000) });
    else {
      const step = bytes(client, sender, random);
      steps.push(step);
      if (step.offence !== undefined) present[place] = next++;
    }
  }
  return { chance: seed, steps };
}

function newSender(random: Random): Sender {
  const mutated = random.of([0, 0.02, 0.1, 0.5]);
  return {
    version: random.of([3, 4, 5, 5, 5]),
    connected: false,
    clean: true,
    mutated,
    offending: random.of([0, 0.02, 0.05]),
  };
}

function bytes(client: number, sender: Sender, random: Random): BytesStep {
  const packets: Uint8Array[] = [];
  let offence: string | undefined;
  if (!sender.connected) {
    sender.connected = true;
    const draft = connect(random, sender.version);
    // Most of them get in, or nothing behind this would be tried.
    if (random.chance(0.9)) packets.push(assemble(draft));
    else {
      sender.clean = false;
      if (random.chance(0.8)) packets.push(mutate(draft, packet(random, sender.version), random));
    }
  }
  for (let left = random.of([1, 1, 1, 2, 4]); left > 0 && offence === undefined; left--) {
    const draft = packet(random, sender.version);
    const die = random.next();
    if (die < sender.offending) {
      const offended = offend(draft, random, sender.version);
      if (offended) packets.push(offended.bytes);
      offence = offended?.what;
    } else if (die < sender.offending + sender.mutated) {
      sender.clean = false;
      packets.push(mutate(draft, packet(random, sender.version), random));
    } else packets.push(assemble(draft));
  }
  let length = 0;
  for (const one of packets) length += one.length;
  const cuts = length > 1 && random.chance(0.3) ? cutsOf(length, random) : [];
  return { type: "bytes", client, packets, cuts, ...(sender.clean && { offence }) };
}

function cutsOf(length: number, random: Random): number[] {
  if (length < 200 && random.chance(0.1)) return Array.from({ length: length - 1 }, (_, at) => at + 1);
  const cuts = new Set(Array.from({ length: 1 + random.below(4) }, () => 1 + random.below(length - 1)));
  return [...cuts].sort((a, b) => a - b);
}

export function chunksOf({ packets, cuts }: BytesStep): Uint8Array[] {
  const whole = packets.length === 1 ? packets[0]! : new Uint8Array(Buffer.concat(packets));
  if (cuts.length === 0) return [whole];
  const chunks: Uint8Array[] = [];
  let from = 0;
  for (const cut of [...cuts, whole.length]) {
    // A copy each, as a socket gives it.
    if (cut > from) chunks.push(whole.slice(from, cut));
    from = Math.max(from, cut);
  }
  return chunks;
}

// How a script is written down.

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

export function print({ chance, steps }: Script): string {
  return [`chance ${chance}`, ...steps.map(printStep)].join("\n");
}

function printStep(step: Step): string {
  switch (step.type) {
    case "bytes": {
      const cuts = step.cuts.length > 0 ? ` cut at ${step.cuts.join(",")}` : "";
      const offence = step.offence === undefined ? "" : ` # ${step.offence}`;
      return `${step.client} sends ${step.packets.map(hex).join(" ")}${cuts}${offence}`;
    }
    case "cut":
      return `${step.client} is cut`;
    case "text":
      return `${step.client} sends a text frame`;
    case "wait":
      return `wait ${step.ms} ms`;
    case "fault":
      return `fault ${step.number}`;
  }
}

/** @throws Error for a line that {@link print} does not write */
export function parse(text: string): Script {
  let chance = 0;
  const steps: Step[] = [];
  for (const line of text.split("\n")) {
    const words = line.split(" ");
    if (line.trim() === "" || line.startsWith("#")) continue;
    if (words[0] === "chance") chance = Number(words[1]);
    else if (words[0] === "wait") steps.push({ type: "wait", ms: Number(words[1]) });
    else if (words[0] === "fault") steps.push({ type: "fault", number: Number(words[1]) });
    else if (line.endsWith(" is cut")) steps.push({ type: "cut", client: Number(words[0]) });
    else if (line.endsWith(" sends a text frame")) steps.push({ type: "text", client: Number(words[0]) });
    else {
      const [, client, packets, cuts, offence] =
        /^(\d+) sends ([0-9a-f ]*?)(?: cut at ([\d,]+))?(?: # (.*))?$/.exec(line) ?? [];
      if (client === undefined) throw new Error(`not a step: ${line}`);
      steps.push({
        type: "bytes",
        client: Number(client),
        packets: packets!.split(" ").map((one) => new Uint8Array(Buffer.from(one, "hex"))),
        cuts: cuts?.split(",").map(Number) ?? [],
        offence,
      });
    }
  }
  return { chance, steps };
}

/** Leaves out what is not needed for `fails` to be true: steps, then packets, then cuts. */
export function shrink(failing: Script, fails: (candidate: Script) => boolean): Script {
  let steps = [...failing.steps];
  const still = (candidate: readonly Step[]): boolean => {
    if (!fails({ ...failing, steps: candidate })) return false;
    steps = [...candidate];
    return true;
  };
  for (let size = Math.ceil(steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < steps.length;) if (!still(steps.toSpliced(at, size))) at += size;
  }
  for (let at = 0; at < steps.length; at++) {
    const step = steps[at]!;
    if (step.type !== "bytes") continue;
    for (let one = 0; one < (steps[at] as BytesStep).packets.length && (steps[at] as BytesStep).packets.length > 1;) {
      const now = steps[at] as BytesStep;
      const last = one === now.packets.length - 1;
      const fewer = { ...now, packets: now.packets.toSpliced(one, 1), cuts: [], ...(last && { offence: undefined }) };
      if (!still(steps.with(at, fewer))) one += 1;
    }
    const now = steps[at] as BytesStep;
    if (now.cuts.length > 0) still(steps.with(at, { ...now, cuts: [] }));
    for (const cut of now.cuts) {
      const left = steps[at] as BytesStep;
      if (left.cuts.length > 1) still(steps.with(at, { ...left, cuts: left.cuts.filter((other) => other !== cut) }));
    }
  }
  return { ...failing, steps };
}
