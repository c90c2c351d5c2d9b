import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { ServiceWanted } from "../bench.ts";
import { DIRECTORY_VARIABLE } from "../inside/on_signal.ts";

const LOOK_EVERY_MS = 10;
const MOST_WAITS = 1_000;

/** What one of the modules of `inside` says from inside of the service's processes. */
export class Inside<Answer> {
  readonly #directory: string;
  readonly #module: string;

  /** @param module of the folder `inside`, by its name */
  constructor(module: string, directory: string) {
    this.#module = new URL(`../inside/${module}`, import.meta.url).href;
    this.#directory = mkdtempSync(join(directory, "inside-"));
  }

  /** With what the service is to be run. */
  get wanted(): Pick<Required<ServiceWanted>, "nodeArguments" | "environment"> {
    return {
      nodeArguments: ["--import", this.#module],
      environment: { [DIRECTORY_VARIABLE]: this.#directory },
    };
  }

  /** Has each process answer about the time since it was asked last. */
  async ask(): Promise<readonly Answer[]> {
    const names = readdirSync(this.#directory).filter((name) => /^\d+$/.test(name));
    const processes = names.filter((pid) => existsSync(`/proc/${pid}`));
    return Promise.all(processes.map((pid) => this.#askProcess(pid)));
  }

  async #askProcess(pid: string): Promise<Answer> {
    const answer = join(this.#directory, `${pid}.answer`);
    rmSync(answer, { force: true });
    process.kill(Number(pid), "SIGUSR2");
    for (let waits = 0; waits < MOST_WAITS; waits += 1) {
      if (existsSync(answer)) return JSON.parse(readFileSync(answer, "utf8"));
      await delay(LOOK_EVERY_MS);
    }
    throw new Error("Cannot measure: a process of the service does not say how it is inside");
  }
}

/** How late the event loop is; of several processes the slowest. */
export class LoopDelay extends Inside<{ readonly p99Ms: number }> {
  constructor(directory: string) {
    super("loop_delay.ts", directory);
  }

  /** What 99 of 100 delays since the last call did not exceed, in milliseconds. */
  async p99Ms(): Promise<number> {
    const answers = await this.ask();
    return Math.max(...answers.map(({ p99Ms }) => p99Ms));
  }
}
