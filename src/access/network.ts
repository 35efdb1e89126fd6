/** What asking somebody else takes of the platform; tests have one of their own. */
export interface Network {
  fetch(url: string, request: RequestInit): Promise<Response>;
  /** Aborts after so long. */
  deadline(milliseconds: number): AbortSignal;
  /** Lets work go on when the client that it was begun for is gone: others wait for it too. Never rejects. */
  keep(work: Promise<void>): void;
}
