/** What is known of the service when the watchdog is due. */
export interface Pulse {
  /** See `SessionPoolState`; `leased` and `overdue` count the calls on former connections too. */
  readonly sessions: { readonly open: number; readonly leased: number; readonly overdue: number };
  /** Whether the last signature that was tried came about. */
  readonly signs: boolean;
}

/**
 * Whether the service is to be left alone. That this is asked at all shows that the event loop turns.
 *
 * A service is not well when each session that there is hangs inside the module and nothing is signed: no call can
 * be taken back, and a module is not finalized under it, so only another process helps. An HSM that is away, busy
 * or that refuses the PIN hangs in no call: from that the service comes back by itself, or a new process would
 * fare no better.
 */
export function isWell({ sessions: { open, leased, overdue }, signs }: Pulse): boolean {
  const allHang = overdue > 0 && overdue === leased && leased >= open;
  return signs || !allHang;
}
