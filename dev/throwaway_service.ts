import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ServiceProcess, type ServiceProcessOptions, startServiceProcess } from "./service_process.ts";
import { type SoftHsmToken, softHsmToken } from "./softhsm.ts";

/** A service on a SoftHSM2 token that protects nothing. */
export interface ThrowawayService extends ServiceProcess {
  readonly token: SoftHsmToken;
}

/**
 * Starts the service as `npm start` does it, on loopback, with a token, a key pair and a self-signed certificate in
 * a directory; what is not there is made.
 *
 * @param settings besides, and in place of, those that it takes
 * @throws ServiceStartError
 */
export async function startThrowawayService(
  directory: string,
  settings: Readonly<Record<string, string>> = {},
  options: Omit<ServiceProcessOptions, "environment"> = {},
): Promise<ThrowawayService> {
  const token = softHsmToken(directory);
  const pinFile = join(directory, "pin");
  writeFileSync(pinFile, token.pin, { mode: 0o600 });
  const environment = {
    ...token.environment,
    HSM_MODULE: token.modulePath,
    HSM_TOKEN_LABEL: token.label,
    HSM_PIN_FILE: pinFile,
    HSM_AUTO_PROVISION: "true",
    CERT_DIR: join(directory, "certs"),
    HOST: "127.0.0.1",
    PORT: "0",
    ...settings,
  };
  return { ...(await startServiceProcess({ ...options, environment })), token };
}
