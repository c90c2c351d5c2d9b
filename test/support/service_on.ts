import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ServiceProcess, startServiceProcess } from "../../dev/service_process.ts";
import type { BackEnd } from "./back_ends.ts";
import { temporaryDirectory } from "./temporary.ts";
import { until } from "./until.ts";

/** A service in a process of its own whose settings stand in a file, and what it logs. */
export interface ReloadableService extends ServiceProcess {
  readonly directory: string;
  /** The file with the PIN. */
  readonly pinFile: string;
  /** Writes the settings file, and sends SIGHUP; resolves with the event that tells how it went. */
  reload(settings: Readonly<Record<string, string>>): Promise<Record<string, unknown>>;
  /** What was logged under a name so far; without one, all of it. */
  events(name?: string): readonly Record<string, unknown>[];
}

const OUTCOMES: readonly string[] = ["reloaded", "reload.failed"];

/** @param settings beside those of the back end, all in the file */
export async function reloadableServiceOn(
  backEnd: BackEnd,
  settings: Readonly<Record<string, string>>,
): Promise<ReloadableService> {
  const directory = temporaryDirectory();
  const file = join(directory, "settings");
  const write = (values: Readonly<Record<string, string>>): void => {
    writeFileSync(file, "");
    for (const [name, value] of Object.entries(values)) appendFileSync(file, `${name}=${value}\n`);
  };
  const { HSM_PIN, HSM_PIN_FILE, ...environment } = backEnd.settings;
  const pin = HSM_PIN_FILE ?? join(directory, "pin");
  if (HSM_PIN !== undefined) writeFileSync(pin, HSM_PIN);
  write({ HSM_PIN_FILE: pin, CERT_DIR: join(directory, "certs"), ...settings });
  const events: Record<string, unknown>[] = [];
  const service = await startServiceProcess({
    environment: { ...environment, CONFIG_FILE: file, PORT: "0" },
    onLine: (line) => events.push(JSON.parse(line)),
  });
  const outcomes = (): Record<string, unknown>[] =>
    events.filter(({ event }) => OUTCOMES.includes(String(event)));
  return {
    ...service,
    directory,
    pinFile: pin,
    events: (name) => events.filter(({ event }) => name === undefined || event === name),
    reload: async (values) => {
      const before = outcomes().length;
      write({ HSM_PIN_FILE: pin, CERT_DIR: join(directory, "certs"), ...values });
      service.kill("SIGHUP");
      await until(() => outcomes().length > before);
      return outcomes()[before] ?? {};
    },
  };
}
