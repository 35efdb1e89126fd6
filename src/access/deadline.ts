/** Waiting no longer than that. */

/** What `work` comes to, unless the deadline is earlier: not everything that is aborted says so. */
export function before<T>(deadline: AbortSignal, work: Promise<T>, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const over = (): void => reject(late());
    if (deadline.aborted) over();
    else deadline.addEventListener("abort", over, { once: true });
    work.then(resolve, reject);
  });
}
