/** Exit codes of every program of Weft. */
export const exitCodes = {
  ok: 0,
  /** It could not be done; also a wait whose epoch ended. */
  failed: 1,
  /** Wrong flags, or input that was refused in part. */
  usage: 2,
  timedOut: 3,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];
