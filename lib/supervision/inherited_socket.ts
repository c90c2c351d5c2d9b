import type { Environment } from "../config/settings.ts";
import { SignerError } from "../errors.ts";

/** The first file descriptor that is handed over (sd_listen_fds(3)). */
const FIRST_FD = 3;

/**
 * The listening socket that the service manager opened for this process.
 *
 * @returns its file descriptor; `undefined` where there is none
 * @throws SignerError `ERR_CONFIGURATION` when there are several
 */
export function inheritedSocket(environment: Environment, pid: number = process.pid): number | undefined {
  // The variables are inherited further than the sockets are meant to be.
  if (environment["LISTEN_PID"] !== String(pid)) return undefined;
  const count = Number(environment["LISTEN_FDS"] ?? "0");
  if (count > 1) {
    throw new SignerError(
      "ERR_CONFIGURATION",
      `Cannot listen on ${count} sockets: hsm-signer.socket must have one ListenStream`,
    );
  }
  return count === 1 ? FIRST_FD : undefined;
}
