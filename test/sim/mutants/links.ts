/** Faults of the links between connections and objects (`src/link`). */

import { mutant, of, RARE, unseen } from "./mutant.ts";

const records = of("src/link/records.ts");
const message = of("src/link/message.ts");
const batch = of("src/link/batch.ts");

export const LINKS = [
  mutant(
    "a stored place does not say how far a delivery has come",
    10,
    "repeated",
    records(
      "phase: ((flags & INFLIGHT_PHASE) >> INFLIGHT_PHASE_SHIFT) as Phase,",
      "phase: ((flags & 0b0100) >> INFLIGHT_PHASE_SHIFT) as Phase,",
    ),
  ),

  mutant(
    "a delivery of QoS 2 is one of QoS 1 to who reads of it",
    10,
    ["repeated", "packet id", "lost"],
    records("qos: flags & INFLIGHT_QOS_2 ? 2 : 1,", "qos: flags < 0 ? 2 : 1,"),
  ),
  mutant(
    "records lose No Local",
    10,
    "uninvited",
    records("noLocal: (flags & FLAG_NO_LOCAL) !== 0,", "noLocal: false,"),
  ),

  mutant(
    "WELCOME says that no session goes on",
    10,
    ["answer", "lost", "will lost"],
    records("persistent: (flags & WELCOME_PERSISTENT) !== 0,", "persistent: false,"),
  ),
  mutant(
    "WELCOME says that there was a session",
    10,
    ["session present", "will unwanted"],
    records("sessionPresent: (flags & WELCOME_PRESENT) !== 0,", "sessionPresent: (flags & WELCOME_PERSISTENT) !== 0,"),
  ),
  mutant(
    "END always has the will published",
    10,
    "will unwanted",
    records("publishWill: (flags & END_WILL) !== 0,", "publishWill: true,"),
  ),
  mutant(
    "a stored message loses its Message Expiry Interval",
    10,
    "expiry",
    message(
      "const expirySeconds = flags & EXPIRES ? from.u32() : undefined;",
      "const expirySeconds = flags & EXPIRES && from.u32() < 0 ? 0 : undefined;",
    ),
  ),
  mutant(
    "a stored message forgets when it was published",
    20,
    "expiry",
    message("  const at = from.u48();\n", "  const at = from.u48() + 1_000_000;\n"),
  ),

  mutant(
    "a frame that was lost counts as under way",
    20,
    "closed",
    batch(
      "    this.records.clear();\n    this.#outstandingBytes = 0;\n    this.#busyUntil = -Infinity;",
      "    this.records.clear();\n    this.#busyUntil = -Infinity;",
    ),
  ),

  mutant(
    "what is collected while a frame is under way never leaves",
    10,
    ["lost", "will lost", "stuck"],
    batch(
      "    this.#outstandingBytes = 0;\n    this.#busyUntil = now + BUSY_MS;",
      "    this.#outstandingBytes = this.records.length;\n    this.#busyUntil = now + BUSY_MS;",
    ),
  ),
  mutant(
    "what is collected waits for ever after a credit",
    10,
    "thrown",
    batch("    this.#ripe = this.#gatheringSince !== undefined;", "    this.#ripe = false;"),
  ),
];

export const LINKS_UNSEEN = [
  unseen(
    "a delivery is not said to be retained",
    RARE,
    records("retain: (flags & INFLIGHT_RETAIN) !== 0,", "retain: false,"),
  ),
  unseen(
    "records lose Retain As Published",
    RARE,
    records("retainAsPublished: (flags & FLAG_RETAIN_AS_PUBLISHED) !== 0,", "retainAsPublished: false,"),
  ),
  unseen(
    "a hello loses where scans are",
    RARE,
    records(
      "scan: extra & FLAG_SCANNING ? readScan(from) : undefined };\n    }),\n    inflight",
      "scan: extra & FLAG_SCANNING && readScan(from).upTo < 0 ? { after: 0, upTo: 0 } : undefined };\n    }),\n    inflight",
    ),
  ),
  unseen(
    "a shard's answer loses where scans are",
    RARE,
    records(
      "return { number, start, scan: from.u8() === 1 ? readScan(from) : undefined };",
      "return { number, start, scan: from.u8() === 1 && readScan(from).upTo < 0 ? { after: 0, upTo: 0 } : undefined };",
    ),
  ),
  unseen(
    "a stored message forgets who published it",
    RARE,
    message("return readBody(from, at, publisher);", "return readBody(from, at, publisher.slice(0, 0));"),
  ),
  unseen(
    "what was collected for a broken link goes over the next one",
    RARE,
    batch(
      "    this.records.clear();\n    this.#outstandingBytes = 0;\n    this.#busyUntil",
      "    this.#outstandingBytes = 0;\n    this.#busyUntil",
    ),
  ),
];
