import { chownSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Order } from "../cloudhsm/order.ts";
import { cloudHsmSimulator, type Simulator } from "../cloudhsm/simulator.ts";
import { until } from "../support/until.ts";
import { CHECKOUT, Machine } from "./machine.ts";

/** Where a machine has the simulated HSM: its library, its token, its counters. */
const HSM = "/srv/hsm";
const UNIT = "hsm-signer.service";
const CONFIGURATION = "/etc/hsm-signer";

/** Times of the unit that would have a test wait for minutes. */
const IN_A_HURRY = `[Service]\nWatchdogSec=6s\nRestartSec=500ms\nReadWritePaths=${HSM}\n`;

/** The service as `systemd/install` leaves it, on a machine with a simulated CloudHSM. */
export class Installation {
  readonly machine: Machine;
  readonly simulator: Simulator;
  readonly url = "http://127.0.0.1:3756";
  readonly #settings: Readonly<Record<string, string>>;
  /** Of the service, which owns what belongs to the HSM there. */
  #uid = 0;

  private constructor(machine: Machine, simulator: Simulator, settings: Readonly<Record<string, string>>) {
    this.machine = machine;
    this.simulator = simulator;
    this.#settings = settings;
  }

  /** Boots a machine and follows the README there up to `hsm-signer provision`. */
  static async make(settings: Readonly<Record<string, string>> = {}): Promise<Installation> {
    const simulator = cloudHsmSimulator();
    const machine = await Machine.boot({ [HSM]: dirname(simulator.modulePath) });
    const installation = new Installation(machine, simulator, settings);
    await installation.install();
    await installation.#giveHsm();
    await installation.configure();
    await installation.writePin(simulator.pin);
    await machine.run("hsm-signer", "provision");
    return installation;
  }

  async install(): Promise<string> {
    return this.machine.run(`${CHECKOUT}/systemd/install`);
  }

  /** Writes the settings file. */
  async configure(settings: Readonly<Record<string, string>> = {}): Promise<void> {
    const all = {
      HSM_MODULE: join(HSM, "cloudhsm_simulator.so"),
      HSM_KEY_ALGORITHM: "P-256",
      HSM_SESSIONS: "4",
      CERT_DIR: "/var/lib/hsm-signer/certs",
      ...this.#settings,
      ...settings,
    };
    await this.write(`${CONFIGURATION}/hsm-signer.conf`, lines(all));
  }

  writePin(pin: string): Promise<unknown> {
    return this.write(`${CONFIGURATION}/pin`, pin);
  }

  /** In place of what is in a file of the machine; its owner and mode stay. */
  write(path: string, text: string): Promise<unknown> {
    return this.machine.run(
      "sh",
      "-c",
      'mkdir -p "$(dirname "$1")" && printf %s "$2" >"$1"',
      "sh",
      path,
      text,
    );
  }

  /** The drop-in of a unit. */
  async adjust(text: string, unit: string = UNIT): Promise<void> {
    await this.write(`/etc/systemd/system/${unit}.d/test.conf`, text);
    await this.machine.run("systemctl", "daemon-reload");
  }

  systemctl(...args: string[]): Promise<string> {
    return this.machine.run("systemctl", ...args);
  }

  property(name: string): Promise<string> {
    return this.machine.property(UNIT, name);
  }

  /** Waits until a property is as it should be. */
  untilProperty(name: string, pattern: RegExp): Promise<void> {
    return until(async () => {
      // Each look is a process.
      await delay(50);
      return pattern.test(await this.property(name));
    });
  }

  async mainPid(): Promise<number> {
    return Number(await this.property("MainPID"));
  }

  /** All that the unit runs. */
  async processes(): Promise<number[]> {
    const group = await this.property("ControlGroup");
    const text = await this.machine.run("cat", `/sys/fs/cgroup${group}/cgroup.procs`);
    return text.trim().split("\n").map(Number);
  }

  async signal(name: string, pid: number): Promise<void> {
    await this.machine.shell(`kill -${name} ${pid}`);
  }

  /** What the service and systemd wrote about it, without times. */
  journal(): Promise<string> {
    return this.machine.run("journalctl", "--unit=hsm-signer", "--output=cat", "--no-pager");
  }

  /** What is wrong with the HSM from now on. */
  order(order: Order = {}): void {
    this.simulator.order(order);
    this.#own(dirname(this.simulator.modulePath));
  }

  /** Of the service since the machine was booted, failed ones included. */
  get logins(): number {
    return this.simulator.calls("C_Login");
  }

  async certificate(): Promise<string> {
    return (await fetch(`${this.url}/certificate`)).text();
  }

  /** Asks for a signature over a digest, as CMS. */
  sign(digest: Uint8Array, signal: AbortSignal | null = null, token?: string): Promise<Response> {
    return fetch(`${this.url}/sign`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "application/cms",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify({ hash: Buffer.from(digest).toString("hex") }),
      signal,
    });
  }

  async isReady(): Promise<boolean> {
    try {
      return (await fetch(`${this.url}/readyz`)).ok;
    } catch {
      return false;
    }
  }

  async stop(): Promise<void> {
    await this.machine.stop();
  }

  async #giveHsm(): Promise<void> {
    const here = dirname(this.simulator.modulePath);
    const variables = Object.entries(this.simulator.environment).map(([name, value]) => [
      name,
      value.replace(here, HSM),
    ]);
    await this.write(`${CONFIGURATION}/environment`, lines(Object.fromEntries(variables)));
    await this.machine.run("sed", "-i", `s|${here}|${HSM}|`, `${HSM}/softhsm2.conf`);
    this.#uid = Number(await this.machine.run("id", "-u", "hsm-signer"));
    await this.machine.run("chown", "-R", "hsm-signer:", HSM);
    await this.adjust(IN_A_HURRY);
  }

  #own(directory: string): void {
    for (const name of readdirSync(directory)) chownSync(join(directory, name), this.#uid, this.#uid);
  }
}

function lines(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${value}\n`)
    .join("");
}
