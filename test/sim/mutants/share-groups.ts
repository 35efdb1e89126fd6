/**
 * Faults of share groups, as somebody might make them. Each breaks a promise, and the simulated trial is to find it.
 */

import type { Mutation } from "../mutation/mutation.ts";
import { type Mutant, RARE, type Unseen } from "./mutant.ts";

const GROUPS = "src/core/shard/share-groups.ts";
const GROUP = "src/core/shard/share-group.ts";
const PUMP = "src/core/shard/share-pump.ts";

const FAULTS: readonly Mutation[] = [
  {
    name: "a session that ends keeps what it had of its share groups at QoS 1",
    file: GROUPS,
    find: "      if (by.inflight.get(packetId)?.qos === 1) this.#giveBack(group, offset);\n      else group.done(offset);",
    replace: "      group.done(offset);",
  },
  {
    name: "a session that ends leaves what it had of its share groups at QoS 2 to others",
    file: GROUPS,
    find: "if (by.inflight.get(packetId)?.qos === 1) this.#giveBack",
    replace: "if (by.inflight.has(packetId)) this.#giveBack",
  },
  {
    name: "what a member of a share group is handed at QoS 2 is not stored at once",
    file: GROUPS,
    find: "    if (qos === 2) this.#exact.add(group);\n",
    replace: "",
  },
  {
    name: "a message of QoS 2 that comes back to its share group is not stored as such",
    file: GROUPS,
    find: "    if (group.out.get(offset)?.qos === 2) this.#exact.add(group);\n",
    replace: "",
  },
  {
    name: "the last shared delivery that came over a link counts as lost",
    file: GROUPS,
    find: "handed.sequence <= hello.sharedReceived;",
    replace: "handed.sequence < hello.sharedReceived;",
  },
  {
    name: "every shared delivery over a lost link counts as arrived",
    file: GROUPS,
    find: "const arrived = handed?.epoch !== hello.epoch || handed.sequence <= hello.sharedReceived;",
    replace: "const arrived = true;",
  },
  {
    name: "what nobody claims after a restart stays out",
    file: GROUPS,
    find: "for (const { group, offset } of unclaimed) this.#settle(group, offset);",
    replace: "for (const { group } of unclaimed) group.dirty = true;",
  },
  {
    name: "what nobody claims after a restart goes to others at QoS 2 too",
    file: GROUPS,
    find: "if (group.out.get(offset)?.qos === 1) this.#giveBack(group, offset);\n    else group.done(offset);\n  }\n\n  #giveBack",
    replace: "this.#giveBack(group, offset);\n  }\n\n  #giveBack",
  },
  {
    name: "others have what a member that left was sent at QoS 2",
    file: GROUPS,
    find: "delivery?.qos !== 1 || delivery.phase",
    replace: "delivery === undefined || delivery.phase",
  },
  {
    name: "who leaves a share group goes on in it",
    file: GROUPS,
    find: "    this.#part(by, group);\n  }\n\n  /** A session has ended here",
    replace: "  }\n\n  /** A session has ended here",
  },
  {
    name: "a member that left a share group takes what it was sent with it",
    file: GROUPS,
    find: "if (shared.group === group) by.unshare(packetId);",
    replace: "if (shared.group === group) {\n      by.unshare(packetId);\n      by.shared.delete(packetId);\n    }",
  },
  {
    name: "a delivery to a member is forgotten by its share group when the shard restarts",
    file: GROUPS,
    find: "  for (const [offset, { packetId, qos, session, epoch, sequence }] of out) {",
    replace: "  for (const [offset, { packetId, qos, session, epoch, sequence }] of [] as [number, Handed][]) {",
  },
  {
    name: "what two share groups handed a session is taken one for the other when the shard restarts",
    file: GROUPS,
    find: "return its === offset && group.out.get(offset)?.packetId === packetId;",
    replace: "return its === offset && packetId > 0;",
  },
  {
    name: "what came back to a share group is forgotten when the shard restarts",
    file: GROUPS,
    find: "  to.u48(behind ?? head).u32(back.length);\n  for (const offset of back) to.u48(offset);",
    replace: "  to.u48(behind ?? head).u32(0);",
  },
  {
    name: "what a share group has handed out of turn is forgotten when the shard restarts",
    file: GROUPS,
    find: "  to.u32(ahead.size);\n  for (const offset of ahead) to.u48(offset);",
    replace: "  to.u32(0);",
  },
  {
    name: "the log keeps nothing for what a share group has out",
    file: GROUP,
    find: "    for (const offset of this.out.keys()) oldest = Math.min(oldest, offset);\n",
    replace: "",
  },
  {
    name: "the log keeps one message too little for a share group",
    file: GROUP,
    find: "oldest - 1);",
    replace: "oldest);",
  },
  {
    name: "what a share group has handed out of turn is handed out again in its turn",
    file: GROUP,
    find: "return !this.out.has(offset) && !this.ahead.has(offset);",
    replace: "return !this.out.has(offset);",
  },
  {
    name: "what a share group has out is handed out again when it comes to it",
    file: GROUP,
    find: "return !this.out.has(offset) && !this.ahead.has(offset);",
    replace: "return !this.ahead.has(offset);",
  },
  {
    name: "the message that a share group cannot hand out is skipped",
    file: PUMP,
    find: "      group.behind = offset - 1;\n      group.dirty = true;",
    replace: "      group.behind = offset;\n      group.dirty = true;",
  },
  {
    name: "a message behind others of its share group is skipped",
    file: PUMP,
    find: "group.behind ??= offset - 1;",
    replace: "group.behind ??= offset;",
  },
  {
    name: "a message overtakes others that wait for its share group",
    file: PUMP,
    find: "if (queued && group.owed) {",
    replace: "if (queued && group.owed && group.behind !== undefined) {",
  },
  {
    name: "what comes back to a share group is dropped when nobody can take it",
    file: PUMP,
    find: "!this.#offer(group, message, offset, now)) return false;\n      group.back",
    replace: "!this.#offer(group, message, offset, now)) group.dirty = true;\n      group.back",
  },
  {
    name: "a share group reads on over what nobody can take",
    file: PUMP,
    find: "if (wanted && !this.#offer(group, message, offset, now)) return;",
    replace: "if (wanted) this.#offer(group, message, offset, now);",
  },
  {
    name: "members of share groups are sent new messages before those that they were sent",
    file: PUMP,
    find: "if (!member.outlet || member.resends.length > 0) return false;",
    replace: "if (!member.outlet) return false;",
  },
  {
    name: "shared deliveries have the identifier of no subscription",
    file: PUMP,
    find: "const terms = merge([group.members.get(member)!]);",
    replace: "const terms = merge([{ ...group.members.get(member)!, identifier: 0 }]);",
  },
];

/** Those that trials find, and how. */
const FOUND = new Map<string, Pick<Mutant, "seeds" | "signs">>([
  ["what a member of a share group is handed at QoS 2 is not stored at once", { seeds: 30, signs: ["repeated"] }],
  ["the last shared delivery that came over a link counts as lost", { seeds: 30, signs: ["repeated"] }],
  ["others have what a member that left was sent at QoS 2", { seeds: 20, signs: ["repeated", "stuck"] }],
  ["who leaves a share group goes on in it", { seeds: 20, signs: ["uninvited", "lost", "stuck"] }],
  ["the message that a share group cannot hand out is skipped", { seeds: 10, signs: ["lost", "stuck"] }],
  ["a share group reads on over what nobody can take", { seeds: 10, signs: ["lost", "stuck"] }],
  ["what comes back to a share group is dropped when nobody can take it", { seeds: 30, signs: ["will lost", "stuck"] }],
  ["shared deliveries have the identifier of no subscription", { seeds: 10, signs: ["uninvited", "lost", "stuck"] }],
]);

export const SHARE_GROUPS: readonly Mutant[] = FAULTS.flatMap((mutation) => {
  const { name } = mutation;
  const found = FOUND.get(name);
  return found ? [{ name, mutations: [mutation], ...found }] : [];
});

/** `test/core/schedules/shares.test.ts`, which has nothing but share groups, finds half of these. */
export const SHARE_GROUPS_UNSEEN: readonly Unseen[] = FAULTS.filter(({ name }) => !FOUND.has(name)).map((mutation) => ({
  name: mutation.name,
  why: RARE,
  mutations: [mutation],
}));
