/**
 * Who gets a message of this topic, and on what terms? The answer is worked out once and kept while no subscription
 * changes: a busy topic is published to far more often than it is subscribed to.
 */

import type { Message } from "../../mqtt/message.ts";
import type { Attendance, Subscription } from "./attendance.ts";
import { merge, type Terms } from "./delivery.ts";
import { ShareGroup } from "./share-group.ts";
import type { SubscriptionTree } from "./subscription-tree.ts";

/** Sessions by their filters, and share groups by theirs. */
export type FanoutTree = SubscriptionTree<Attendance | ShareGroup, Subscription | undefined>;

/** One session that a topic reaches. */
export interface Recipient {
  readonly attendance: Attendance;
  readonly subscriptions: readonly Subscription[];
  readonly terms: Terms;
  /** Terms for what the session published itself, without its No Local subscriptions; undefined: nothing [MQTT-3.8.3-3]. */
  readonly ownTerms: Terms | undefined;
  /** Recipients of equal encoding share one number: the same packet serves all of them at one QoS. */
  readonly encoding: number;
}

/** Everybody that a topic reaches. */
export class Plan {
  readonly recipients: readonly Recipient[];
  readonly groups: readonly ShareGroup[];
  /** How many different packets serve all of them at one QoS. */
  readonly encodings: number;
  /** True when some client can be told a topic alias. */
  readonly aliasing: boolean;
  #byAttendance: Map<Attendance, Recipient> | undefined;

  constructor(recipients: readonly Recipient[], groups: readonly ShareGroup[], encodings: number) {
    this.recipients = recipients;
    this.groups = groups;
    this.encodings = encodings;
    this.aliasing = recipients.some(({ attendance }) => attendance.aliasSlots > 0);
  }

  /** True when somebody wants messages of QoS > 0 as such. */
  get keeps(): boolean {
    return this.recipients.some(({ terms }) => terms.qos > 0) || this.groups.some(({ qos }) => qos > 0);
  }

  of(attendance: Attendance): Recipient | undefined {
    this.#byAttendance ??= new Map(this.recipients.map((recipient) => [recipient.attendance, recipient]));
    return this.#byAttendance.get(attendance);
  }
}

/** Topics whose plans are kept. */
const PLANS_MAX = 1024;
/** Recipients in all plans that are kept, at some 200 bytes each. */
const RECIPIENTS_MAX = 200_000;

export class Fanout {
  readonly #tree: FanoutTree;
  readonly #plans = new Map<string, Plan>();
  #recipients = 0;

  constructor(tree: FanoutTree) {
    this.#tree = tree;
  }

  /** Some subscription changed. */
  changed(): void {
    if (this.#plans.size === 0) return;
    this.#plans.clear();
    this.#recipients = 0;
  }

  plan(topic: string): Plan {
    const known = this.#plans.get(topic);
    if (known) return known;
    const plan = this.#work(topic);
    if (this.#plans.size >= PLANS_MAX || this.#recipients + plan.recipients.length > RECIPIENTS_MAX) this.changed();
    if (plan.recipients.length <= RECIPIENTS_MAX) {
      this.#plans.set(topic, plan);
      this.#recipients += plan.recipients.length;
    }
    return plan;
  }

  /**
   * What a session's subscriptions say of an entry of the log: those that are older than it and had it logged. Undefined
   * when it is not the session's.
   */
  terms(attendance: Attendance, { topic, publisher }: Message, offset: number): Terms | undefined {
    const subscriptions = this.plan(topic)
      .of(attendance)
      ?.subscriptions.filter(({ start, noLocal }) => start < offset && !(noLocal && publisher === attendance.session));
    if (!subscriptions || subscriptions.length === 0) return undefined;
    // What nobody wanted above QoS 0 was delivered live.
    return subscriptions.some(({ qos }) => qos > 0) ? merge(subscriptions) : undefined;
  }

  #work(topic: string): Plan {
    const matches = new Map<Attendance, Subscription[]>();
    const groups: ShareGroup[] = [];
    this.#tree.match(topic, (subscriber, subscription) => {
      if (subscriber instanceof ShareGroup) {
        groups.push(subscriber);
        return;
      }
      const subscriptions = matches.get(subscriber);
      if (subscriptions) subscriptions.push(subscription!);
      else matches.set(subscriber, [subscription!]);
    });
    const encodings = new Map<string, number>();
    const recipients: Recipient[] = [];
    for (const [attendance, subscriptions] of matches) {
      const terms = merge(subscriptions);
      const others = subscriptions.filter((subscription) => !subscription.noLocal);
      const ownTerms = others.length === subscriptions.length ? terms : others.length > 0 ? merge(others) : undefined;
      const key = encodingKey(attendance.mqttVersion, terms);
      let encoding = encodings.get(key);
      if (encoding === undefined) {
        encoding = encodings.size;
        encodings.set(key, encoding);
      }
      recipients.push({ attendance, subscriptions, terms, ownTerms, encoding });
    }
    return new Plan(recipients, groups, encodings.size);
  }
}

/** Equal for terms that encode any one message to equal packets. */
function encodingKey(version: number, terms: Terms): string {
  const identifiers = version === 5 ? terms.identifiers.join(",") : "";
  return `${version === 5 ? 5 : 4}:${terms.qos}:${terms.retainAsPublished}:${identifiers}`;
}
