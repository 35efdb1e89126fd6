/** The text frame that proves both ends of a link to each other, and its answer: the platform gives it and wakes nobody. */
export const PING = "ping";
export const PONG = "pong";
