import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "../../dev/service_process.ts";

/**
 * `npm run setup:systemd` by way of dev/setup.sh: the root of a machine to boot, made once and kept in the project's
 * .cache: Debian with systemd, SoftHSM2, OpenSSL and a Node.js that runs TypeScript, and nothing else of ours.
 * Prints nothing where all is there.
 */

/** What the service is run by there, from npm, where every version is. */
const NODE_VERSION = "24";
const PACKAGES = ["systemd", "systemd-sysv", "dbus", "softhsm2", "openssl"];
const CACHE = join(PROJECT, ".cache/systemd");

/** Which Debian; that of this machine, since what was compiled here runs there. */
export const MACHINE_SUITE: string = process.env["MACHINE_SUITE"] || ownSuite();

/** Where the root is, once it was made. */
export const MACHINE_ROOT: string = join(CACHE, MACHINE_SUITE);

export function makeMachineRoot(): void {
  if (existsSync(MACHINE_ROOT)) return;
  process.stderr.write(`setup: making a Debian ${MACHINE_SUITE} to boot, with Node.js ${NODE_VERSION}\n`);
  const half = `${MACHINE_ROOT}.half`;
  rmSync(half, { recursive: true, force: true });
  mkdirSync(CACHE, { recursive: true });
  run("mmdebstrap", "--quiet", "--variant=minbase", `--include=${PACKAGES}`, MACHINE_SUITE, half, mirror());
  addNode(join(half, "usr/local"));
  renameSync(half, MACHINE_ROOT);
}

function addNode(prefix: string): void {
  const target = `node-linux-${process.arch}@${NODE_VERSION}`;
  const packed = run("npm", "pack", "--silent", "--pack-destination", CACHE, target).trim();
  run("tar", "-xzf", join(CACHE, packed), "-C", prefix, "--strip-components=1", "package/bin/node");
  rmSync(join(CACHE, packed));
}

/** Debian's mirror, as apt is configured with it. */
function mirror(): string {
  const format = "$(CODENAME) $(COMPONENT) $(REPO_URI)";
  const targets = run("apt-get", "indextargets", "--format", format, "Created-By: Packages");
  const own = targets.split("\n").find((line) => line.startsWith(`${ownSuite()} main `));
  return own?.split(" ")[2] ?? "";
}

function ownSuite(): string {
  return /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "";
}

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
}
