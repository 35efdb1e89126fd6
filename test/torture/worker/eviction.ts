/**
 * What workerd offers to tests: an object leaves memory and keeps its sockets, as it does by itself after ten idle
 * seconds. Miniflare offers the same, but blocks its process until the object is gone, and an object goes only when its
 * clients, which live there, let it.
 */
interface Unsafe {
  /** Resolves when the object has left, and rejects when it is not in memory, or busy for too long. */
  evict(object: unknown, options: { webSockets: "hibernate" | "close" }): Promise<void>;
}

export async function evict(object: unknown): Promise<void> {
  // A name that the bundler cannot read: it does not know the module.
  const name = ["workerd", "unsafe"].join(":");
  const { default: unsafe } = (await import(name)) as { default: Unsafe };
  await unsafe.evict(object, { webSockets: "hibernate" });
}
