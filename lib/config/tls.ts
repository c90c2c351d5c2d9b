import type { Settings } from "./settings.ts";

export const TLS_SETTINGS: readonly string[] = ["TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CLIENT_CA_FILE"];

/** The files that the service speaks TLS with; `undefined` for plain HTTP. */
export interface TlsConfig {
  /** The chain, leaf first, PEM. */
  readonly certificateFile: string;
  readonly keyFile: string;
  /** The authorities of clients, PEM; `undefined` where no client is asked for a certificate. */
  readonly clientCaFile: string | undefined;
}

export function readTls(settings: Settings): TlsConfig | undefined {
  const certificateFile = settings.text("TLS_CERT_FILE");
  const keyFile = settings.text("TLS_KEY_FILE");
  const clientCaFile = settings.text("TLS_CLIENT_CA_FILE");
  if (certificateFile !== undefined && keyFile !== undefined) {
    return Object.freeze({ certificateFile, keyFile, clientCaFile });
  }
  if (certificateFile !== undefined) settings.mistake("TLS_CERT_FILE needs TLS_KEY_FILE.");
  else if (keyFile !== undefined) settings.mistake("TLS_KEY_FILE needs TLS_CERT_FILE.");
  else if (clientCaFile !== undefined) {
    settings.mistake("TLS_CLIENT_CA_FILE needs TLS_CERT_FILE and TLS_KEY_FILE.");
  }
  return undefined;
}
