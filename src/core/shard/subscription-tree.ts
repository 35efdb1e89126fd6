/**
 * Which subscriptions match this topic?
 *
 * A tree with one node for each level of each filter. The wildcards have pointers of their own, so that a literal
 * level can never be taken for one:
 *
 *     sport ─ tennis ─ +   player1 ─ #          filters: sport/tennis/+, sport/tennis/player1/#
 *
 * A match walks down level by level and keeps the nodes whose path matches the topic so far: from each of them the
 * literal child and the `+` child stay in, and the `#` child is a hit at any depth. It does not recurse, and stops
 * reading the topic when no node is left.
 *
 * Cost. A match looks at each node at most once, and only at nodes whose path matches the beginning of the topic;
 * there is no backtracking. A topic of L levels can have up to 2^L such paths (`a` or `+` at every level), but only
 * those that were subscribed to exist: hostile filters like `+/+/+/…` cost a publish no more nodes than the number of
 * levels they took to subscribe. Limits on filters per client and on levels per filter are therefore limits on this too.
 *
 * Memory. Most nodes have few children and most filters one subscriber, so maps are made for the second entry and not
 * for the first. With 100,000 filters `devices/<n>/state` that is 270 bytes a filter instead of 600 (Node 24). With a
 * million that have levels and filters in common it is 129 a subscription, and a match takes some 4 µs (bench/README.md).
 */

/** The one subscriber of a filter; from the second one on a `Map` takes its place. */
interface Single<Subscriber, Subscription> {
  readonly subscriber: Subscriber;
  subscription: Subscription;
}

class Node<Subscriber, Subscription> {
  /** Name of the only literal child, while there is at most one; then `children` takes its place. */
  onlyLevel: string | undefined = undefined;
  onlyChild: Node<Subscriber, Subscription> | undefined = undefined;
  children: Map<string, Node<Subscriber, Subscription>> | undefined = undefined;
  plus: Node<Subscriber, Subscription> | undefined = undefined;
  hash: Node<Subscriber, Subscription> | undefined = undefined;
  subscribers: Single<Subscriber, Subscription> | Map<Subscriber, Subscription> | undefined = undefined;

  child(level: string): Node<Subscriber, Subscription> | undefined {
    return this.children === undefined
      ? this.onlyLevel === level
        ? this.onlyChild
        : undefined
      : this.children.get(level);
  }

  /** The node of the next level of a filter, where the wildcards are themselves. */
  step(level: string): Node<Subscriber, Subscription> | undefined {
    return level === "+" ? this.plus : level === "#" ? this.hash : this.child(level);
  }

  attach(level: string, node: Node<Subscriber, Subscription>): void {
    if (level === "+") this.plus = node;
    else if (level === "#") this.hash = node;
    else if (this.children !== undefined) this.children.set(level, node);
    else if (this.onlyLevel === undefined) {
      this.onlyLevel = level;
      this.onlyChild = node;
    } else {
      this.children = new Map([
        [this.onlyLevel, this.onlyChild!],
        [level, node],
      ]);
      this.onlyLevel = undefined;
      this.onlyChild = undefined;
    }
  }

  detach(level: string): void {
    if (level === "+") this.plus = undefined;
    else if (level === "#") this.hash = undefined;
    else if (this.children === undefined) {
      this.onlyLevel = undefined;
      this.onlyChild = undefined;
    } else {
      this.children.delete(level);
      if (this.children.size === 0) this.children = undefined;
    }
  }

  isEmpty(): boolean {
    return (
      this.subscribers === undefined &&
      this.onlyLevel === undefined &&
      this.children === undefined &&
      this.plus === undefined &&
      this.hash === undefined
    );
  }
}

/**
 * Subscriptions by filter and subscriber: a subscriber has at most one subscription for a filter [MQTT-3.8.4-3], and
 * several may match the same topic. Subscribers are compared as keys of a `Map` are.
 *
 * Filters must be valid and are compared character by character [MQTT-3.10.4-1]. `$share` has no meaning here: the
 * filter of a share group is the inner one, and the group is the subscriber.
 */
export class SubscriptionTree<Subscriber, Subscription> {
  readonly #root = new Node<Subscriber, Subscription>();
  #size = 0;
  #nodes = 0;

  /** Number of subscriptions. */
  get size(): number {
    return this.#size;
  }

  /** Number of nodes below the root: what the filters occupy, and the most that one match can look at. */
  get nodes(): number {
    return this.#nodes;
  }

  get(filter: string, subscriber: Subscriber): Subscription | undefined {
    let node: Node<Subscriber, Subscription> | undefined = this.#root;
    for (const level of filter.split("/")) {
      node = node.step(level);
      if (node === undefined) return undefined;
    }
    const { subscribers } = node;
    if (subscribers instanceof Map) return subscribers.get(subscriber);
    return subscribers?.subscriber === subscriber ? subscribers.subscription : undefined;
  }

  /** Adds a subscription, or puts it in the place of the subscriber's earlier one, which is returned [MQTT-3.8.4-3]. */
  set(filter: string, subscriber: Subscriber, subscription: Subscription): Subscription | undefined {
    let node = this.#root;
    for (const level of filter.split("/")) {
      let next = node.step(level);
      if (next === undefined) {
        next = new Node();
        node.attach(level, next);
        this.#nodes++;
      }
      node = next;
    }
    const { subscribers } = node;
    if (subscribers === undefined) {
      node.subscribers = { subscriber, subscription };
      this.#size++;
      return undefined;
    }
    if (subscribers instanceof Map) {
      const sizeBefore = subscribers.size;
      const replaced = subscribers.get(subscriber);
      subscribers.set(subscriber, subscription);
      this.#size += subscribers.size - sizeBefore;
      return replaced;
    }
    if (subscribers.subscriber === subscriber) {
      const replaced = subscribers.subscription;
      subscribers.subscription = subscription;
      return replaced;
    }
    node.subscribers = new Map([
      [subscribers.subscriber, subscribers.subscription],
      [subscriber, subscription],
    ]);
    this.#size++;
    return undefined;
  }

  /** Removes a subscription, with the nodes that only it needed, and returns it; `undefined` when there is none. */
  delete(filter: string, subscriber: Subscriber): Subscription | undefined {
    const levels = filter.split("/");
    const path: Node<Subscriber, Subscription>[] = [];
    let node = this.#root;
    for (const level of levels) {
      const next = node.step(level);
      if (next === undefined) return undefined;
      path.push(node);
      node = next;
    }

    const { subscribers } = node;
    let removed: Subscription | undefined;
    if (subscribers instanceof Map) {
      removed = subscribers.get(subscriber);
      if (!subscribers.delete(subscriber)) return undefined;
      if (subscribers.size === 0) node.subscribers = undefined;
    } else {
      if (subscribers?.subscriber !== subscriber) return undefined;
      removed = subscribers.subscription;
      node.subscribers = undefined;
    }
    this.#size--;

    for (let i = path.length - 1; i >= 0 && node.isEmpty(); i--) {
      node = path[i]!;
      node.detach(levels[i]!);
      this.#nodes--;
    }
    return removed;
  }

  /**
   * Calls `visit` once for each subscription whose filter matches `topic`, in no particular order: a subscriber with
   * several matching filters is visited several times. `topic` is a topic name, so without wildcards. `visit` must not
   * change the tree.
   */
  match(topic: string, visit: (subscriber: Subscriber, subscription: Subscription) => void): void {
    // [MQTT-4.7.2-1] A wildcard in the first level does not match topics that begin with `$`; `$SYS/#` does.
    let wildcards = !topic.startsWith("$");
    let reached: Node<Subscriber, Subscription>[] = [this.#root];
    let next: Node<Subscriber, Subscription>[] = [];

    for (let start = 0; start <= topic.length;) {
      const slash = topic.indexOf("/", start);
      const end = slash === -1 ? topic.length : slash;
      const level = topic.slice(start, end);
      for (const node of reached) {
        if (wildcards) {
          if (node.hash !== undefined) visitSubscribers(node.hash, visit);
          if (node.plus !== undefined) next.push(node.plus);
        }
        const child = node.child(level);
        if (child !== undefined) next.push(child);
      }
      if (next.length === 0) return;
      const spent = reached;
      reached = next;
      next = spent;
      next.length = 0;
      wildcards = true;
      start = end + 1;
    }

    for (const node of reached) {
      visitSubscribers(node, visit);
      // [§4.7.1.2] `sport/#` matches `sport` too: the `#` stands also for the parent level.
      if (node.hash !== undefined) visitSubscribers(node.hash, visit);
    }
  }
}

function visitSubscribers<Subscriber, Subscription>(
  node: Node<Subscriber, Subscription>,
  visit: (subscriber: Subscriber, subscription: Subscription) => void,
): void {
  const { subscribers } = node;
  if (subscribers === undefined) return;
  if (subscribers instanceof Map) subscribers.forEach((subscription, subscriber) => visit(subscriber, subscription));
  else visit(subscribers.subscriber, subscribers.subscription);
}
