import { type ChildProcess, execFile, spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { PROJECT } from "../../dev/service_process.ts";
import { until } from "../support/until.ts";
import { MACHINE_ROOT } from "./machine_root.ts";

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where a machine has this checkout. */
export const CHECKOUT = "/usr/src/hsm-signer";

/**
 * Boots $1 with the checkout $2. Its cgroup is one of the unified hierarchy, wherever this machine has that mounted.
 * Whatever ends the test, however, ends the shell, unshare and with that all that is in the namespace of processes.
 */
const BOOT = `
  tree=/sys/fs/cgroup
  remove() { find "$@" -depth -type d -exec rmdir {} + 2>/dev/null; }
  mount -t cgroup2 none $tree
  remove $tree/hsm-signer-test.*
  mkdir $tree/hsm-signer-test.$$ && echo $$ >$tree/hsm-signer-test.$$/cgroup.procs || exit 1
  export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
  setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount-proc systemd-nspawn --quiet \\
    --machine=hsm-signer-test-$$ --register=no --keep-unit --console=pipe \\
    --directory="$1" --volatile=overlay --bind-ro="$2":${CHECKOUT} "\${@:3}" --boot
  echo $$ >$tree/cgroup.procs
  remove $tree/hsm-signer-test.$$`;

/**
 * A machine with a systemd of its own: a container that systemd-nspawn boots, on a root that it cannot change. It
 * shares this process's network, which is one that only the tests are in, and does not outlive it.
 */
export class Machine {
  readonly #nspawn: ChildProcess;
  readonly #ended: Promise<unknown>;
  #complaint = "";
  #leader = 0;

  private constructor(nspawn: ChildProcess) {
    this.#nspawn = nspawn;
    this.#ended = new Promise((resolve) => nspawn.once("close", resolve));
    nspawn.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#complaint += text;
    });
  }

  /** @param folders of this machine that it shall have, by their path there */
  static async boot(folders: Readonly<Record<string, string>> = {}): Promise<Machine> {
    const binds = Object.entries(folders).map(([path, source]) => `--bind=${source}:${path}`);
    const arguments_ = ["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"];
    const nspawn = spawn(
      "setpriv",
      [...arguments_, "bash", "-c", BOOT, "bash", MACHINE_ROOT, PROJECT, ...binds],
      {
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    const machine = new Machine(nspawn);
    await machine.#started();
    return machine;
  }

  /**
   * @returns what the command printed
   * @throws Error with all that it said when it fails
   */
  async run(command: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try(command, ...args);
    if (code === 0) return stdout;
    throw new Error(`${[command, ...args].join(" ")} ended with ${code}: ${stdout}${stderr}`);
  }

  /** Runs a command there, as root, and says how it ended. */
  try(command: string, ...args: string[]): Promise<Outcome> {
    const inside = ["--target", String(this.#leader), "--all", "--", command, ...args];
    const env = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };
    return new Promise((resolve) => {
      execFile("nsenter", inside, { env, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
        resolve({ code, stdout, stderr });
      });
    });
  }

  shell(script: string): Promise<string> {
    return this.run("sh", "-c", script);
  }

  /** A property of a unit, as `systemctl show` has it. */
  async property(unit: string, name: string): Promise<string> {
    return (await this.run("systemctl", "show", "--value", `--property=${name}`, unit)).trim();
  }

  async stop(): Promise<void> {
    if (this.#leader !== 0) process.kill(this.#leader, "SIGKILL");
    else this.#nspawn.kill("SIGKILL");
    await this.#ended;
    rmSync(`/run/systemd/nspawn/propagate/hsm-signer-test-${this.#nspawn.pid}`, {
      recursive: true,
      force: true,
    });
  }

  async #started(): Promise<void> {
    await until(() => {
      if (this.#nspawn.exitCode !== null) throw new Error(`Cannot boot: ${this.#complaint}`);
      this.#leader = firstProcess(this.#nspawn.pid ?? 0);
      return this.#leader !== 0;
    });
    await until(async () => {
      const { stdout } = await this.try("systemctl", "is-system-running");
      return /^(running|degraded)$/.test(stdout.trim());
    });
  }
}

/** The first process of the machine, far below ours; 0 while there is none. */
function firstProcess(ancestor: number): number {
  const children = readQuietly(`/proc/${ancestor}/task/${ancestor}/children`)
    .split(" ")
    .filter(Boolean)
    .map(Number);
  const found = children.find((pid) => readQuietly(`/proc/${pid}/comm`) === "systemd");
  return found ?? children.map(firstProcess).find((pid) => pid !== 0) ?? 0;
}

/** Of a process that may be gone. */
function readQuietly(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}
