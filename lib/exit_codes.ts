/** How a process of this project ends; scripts and supervisors match on it. */
export const EXIT = {
  ok: 0,
  /** It could not be done; what failed was said on standard error. */
  failed: 1,
  /** The command line or the configuration is wrong: trying again changes nothing. */
  usage: 2,
  /** The token refused the PIN: trying again brings the user nearer to being locked. */
  pinRefused: 3,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
