/** The text frame that proves both ends of a link to each other, and its answer: the platform gives it and wakes nobody. */
export const PING = "ping";
export const PONG = "pong";
/** How often an object that keeps something for its links makes sure that none vanished without a close. */
export const STILL_HERE_MS = 12 * 3600 * 1000;
/** A link that was silent for this long, at a ping every four minutes, has nobody at its other end. */
export const SILENCE_MAX_MS = 15 * 60 * 1000;
