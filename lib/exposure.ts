import type { Config } from "./config/config.ts";
import { isLoopback } from "./config/listener.ts";
import { SignerError } from "./errors.ts";
import type { Log } from "./log.ts";

/**
 * HOST is read with this in mind; a socket that was inherited is opened by others, and one that is open already
 * stays as it is when the configuration changes.
 *
 * @param address that is listened on; `undefined` for a Unix socket
 * @throws SignerError `ERR_CONFIGURATION` when other machines reach it, and everybody there could sign
 */
export function requireProtected(address: string | undefined, { acceptsNetwork }: Config["http"]): void {
  if (address === undefined || isLoopback(address) || acceptsNetwork) return;
  throw new SignerError(
    "ERR_CONFIGURATION",
    `Cannot listen on ${address} (HOST, ListenStream): nobody is authenticated, and whoever reaches it can sign; say ` +
      "who may with AUTH_TOKENS_FILE, AUTH_JWT_ISSUER or AUTH_TLS_NAMES_FILE, or accept the risk with " +
      "ALLOW_UNAUTHENTICATED_NETWORK=true",
  );
}

/** Where no proxy is known either, tokens may be read on their way, and used by whoever reads them. */
export function warnOfPlainHttp(
  address: string | undefined,
  { http, authentication }: Pick<Config, "http" | "authentication">,
  log: Log,
): void {
  const { tokens, jwt } = authentication;
  const isBehindProxy = address === undefined || isLoopback(address) || http.trustedProxies.length > 0;
  if (http.tls !== undefined || isBehindProxy || (tokens ?? jwt) === undefined) return;
  const advice = "set TLS_CERT_FILE and TLS_KEY_FILE, or TRUSTED_PROXIES where a proxy speaks TLS";
  log("warning", "http.plain", { host: address, advice });
}
