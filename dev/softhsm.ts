import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** Where distributions put SoftHSM2's library. */
const MODULE_PATHS = [
  "/usr/lib/softhsm/libsofthsm2.so",
  "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib64/pkcs11/libsofthsm2.so",
  "/usr/lib64/softhsm/libsofthsm2.so",
  "/usr/local/lib/softhsm/libsofthsm2.so",
  "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

/** A throwaway token for development and tests. Its PIN protects nothing. */
export interface SoftHsmToken {
  readonly modulePath: string;
  readonly label: string;
  readonly pin: string;
  /** What a process that loads the module has to have in its environment. */
  readonly environment: { readonly SOFTHSM2_CONF: string };
}

const PIN = "1234";

/** @throws Error that names the package when SoftHSM2 is not installed */
export function softHsmModulePath(): string {
  const path = MODULE_PATHS.find(existsSync);
  if (path === undefined) {
    throw new Error("Cannot find SoftHSM2: install the package softhsm2 (npm run setup does it)");
  }
  return path;
}

/** The token in a directory, which is made with it where there is none. Any user can do that. */
export function softHsmToken(directory: string, label = "hsm-signer-dev"): SoftHsmToken {
  const modulePath = softHsmModulePath();
  const tokens = resolve(directory, "tokens");
  const configuration = join(resolve(directory), "softhsm2.conf");
  const environment = { SOFTHSM2_CONF: configuration };
  mkdirSync(tokens, { recursive: true, mode: 0o700 });
  // Each time: the path in it is absolute, and a checkout may have been moved.
  writeFileSync(
    configuration,
    `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`,
  );
  if (!existsSync(join(resolve(directory), "ready"))) {
    execFileSync(
      "softhsm2-util",
      ["--init-token", "--free", "--label", label, "--so-pin", PIN, "--pin", PIN],
      { env: { ...process.env, ...environment }, stdio: ["ignore", "ignore", "pipe"] },
    );
    writeFileSync(join(resolve(directory), "ready"), "");
  }
  return { modulePath, label, pin: PIN, environment };
}
