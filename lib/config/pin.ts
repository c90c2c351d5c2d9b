import { messageOf } from "../errors.ts";
import { Secret } from "../secret.ts";
import type { ConfigSources, Settings } from "./settings.ts";

/** The environment variables that carry the PIN itself; whoever starts the service removes them after reading. */
export const PIN_VARIABLES: readonly string[] = ["HSM_PIN", "PIN"];

interface FoundPin {
  readonly pin: string;
  readonly origin: string;
  readonly file?: string;
}

/** The PIN of C_Login, from the first place that has one. */
export function readPin(settings: Settings, sources: ConfigSources, modulePath: string): Secret {
  const found = findPin(settings, sources);
  if (found === undefined) return new Secret("", "nowhere");
  const { pin, origin, file } = found;
  if (pin === "") settings.mistake(`${origin} holds no PIN.`);
  else if (/libcloudhsm_pkcs11/.test(modulePath) && !/^[^:]+:./.test(pin)) {
    // A PIN that CloudHSM can only refuse is not tried: refused logins lock the user.
    settings.mistake(`${origin} must hold <crypto user>:<password> for CloudHSM; it has no user part.`);
  }
  return new Secret(pin, origin, file);
}

function findPin(settings: Settings, sources: ConfigSources): FoundPin | undefined {
  const file = settings.text("HSM_PIN_FILE");
  if (file !== undefined) return pinInFile(file, "HSM_PIN_FILE", settings, sources);
  const credentials = settings.text("CREDENTIALS_DIRECTORY");
  if (credentials !== undefined && sources.fileExists(`${credentials}/hsm-pin`)) {
    return pinInFile(`${credentials}/hsm-pin`, 'The systemd credential "hsm-pin"', settings, sources);
  }
  for (const name of PIN_VARIABLES) {
    const pin = settings.text(name);
    if (pin !== undefined) return { pin, origin: name };
  }
  settings.mistake(
    'HSM_PIN_FILE must name the file with the PIN (or give the systemd credential "hsm-pin", or HSM_PIN).',
  );
  return undefined;
}

function pinInFile(
  path: string,
  origin: string,
  settings: Settings,
  sources: ConfigSources,
): FoundPin | undefined {
  try {
    return { pin: sources.readFile(path).replace(/\r?\n$/, ""), origin, file: path };
  } catch (error) {
    // Without the path: where somebody wrote the PIN itself instead, it would show here.
    settings.mistake(
      `${origin} cannot be read: ${messageOf(error).replaceAll(path, "…")} (from the working directory, where it is relative).`,
    );
    return undefined;
  }
}
