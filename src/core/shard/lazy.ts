/**
 * Collections that most sessions never put anything into. An empty `Map` takes some 180 bytes and a `Set` 150 (Node 24),
 * and a shard holds every session that is away in memory: so they are made for the first entry.
 */

const NOTHING = new Map<never, never>();
const NOBODY = new Set<never>();

export class LazyMap<Key, Value> {
  #map: Map<Key, Value> | undefined = undefined;

  get size(): number {
    return this.#map === undefined ? 0 : this.#map.size;
  }

  get(key: Key): Value | undefined {
    return this.#map?.get(key);
  }

  has(key: Key): boolean {
    return this.#map !== undefined && this.#map.has(key);
  }

  set(key: Key, value: Value): void {
    (this.#map ??= new Map()).set(key, value);
  }

  delete(key: Key): boolean {
    return this.#map !== undefined && this.#map.delete(key);
  }

  clear(): void {
    this.#map = undefined;
  }

  values(): MapIterator<Value> {
    return (this.#map ?? NOTHING).values();
  }

  [Symbol.iterator](): MapIterator<[Key, Value]> {
    return (this.#map ?? NOTHING)[Symbol.iterator]();
  }
}

export class LazySet<Member> {
  #set: Set<Member> | undefined = undefined;

  get size(): number {
    return this.#set === undefined ? 0 : this.#set.size;
  }

  add(member: Member): void {
    (this.#set ??= new Set()).add(member);
  }

  delete(member: Member): boolean {
    return this.#set !== undefined && this.#set.delete(member);
  }

  [Symbol.iterator](): SetIterator<Member> {
    return (this.#set ?? NOBODY)[Symbol.iterator]();
  }
}
