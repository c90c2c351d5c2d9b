import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { PROJECT } from "../dev/service_process.ts";
import { softHsmToken } from "../dev/softhsm.ts";
import { type Bench, type BenchToken, serviceEnvironment } from "./bench.ts";
import { withForkedServer } from "./forked_server.ts";
import type { LoadResult } from "./jobs/load.ts";
import type { RequestKind } from "./jobs/requests.ts";
import { fullLoad, type JudgedServer } from "./measure/loads.ts";
import type { Rate } from "./measure/rows.ts";

/** The guide's way as a server of its own, on a token of its own: it takes the first private key there is. */

const SERVER = new URL("guide/server.js", import.meta.url);
const FOLDER = dirname(fileURLToPath(SERVER));
/** What its limit of 100 kB lets pass by far, and its client sends both of. */
const REQUEST: RequestKind = { form: "guide", documentBytes: 20 };
/** It is slow: fewer answers make a sample. */
const SAMPLE_EVERY = 97;

export interface Guide {
  /** One round of the load that never pauses. */
  round(): Promise<LoadResult & Rate>;
}

/** Installs it where that is needed, and runs it while something is done with it. */
export async function withGuide<T>(bench: Bench, work: (guide: Guide) => Promise<T>): Promise<T> {
  install(bench);
  const token = rsaToken(bench);
  const options = {
    env: { ...process.env, ...token.environment, HSM_MODULE: token.modulePath, HSM_PIN: token.pin },
    execArgv: [],
  };
  return withForkedServer<Pick<JudgedServer, "certificatePem">, T>(SERVER, options, {}, (server) =>
    work({ round: () => fullLoad(bench, server, REQUEST, { sampleEvery: SAMPLE_EVERY }) }),
  );
}

/** By npm, and only when what is installed is not what its lock file says. */
function install(bench: Bench): void {
  const versions = (path: string): string | undefined => {
    const lock = join(FOLDER, path);
    if (!existsSync(lock)) return undefined;
    const { packages }: { packages: Record<string, { version?: string }> } = JSON.parse(
      readFileSync(lock, "utf8"),
    );
    const { "": _, ...others } = packages;
    return JSON.stringify(Object.entries(others).map(([name, { version }]) => [name, version]));
  };
  if (versions("package-lock.json") === versions("node_modules/.package-lock.json")) return;
  bench.tell("installing what the guide's way is made of");
  // The headers of most installations: node-gyp would download them.
  const nodeDirectory = resolve(dirname(process.execPath), "..");
  const hasHeaders = existsSync(join(nodeDirectory, "include/node/node_api.h"));
  execFileSync("npm", ["ci", "--prefix", FOLDER, "--no-audit", "--no-fund", "--loglevel=error"], {
    env: { ...process.env, ...(hasHeaders ? { npm_config_nodedir: nodeDirectory } : {}) },
    stdio: ["ignore", "ignore", "inherit"],
  });
}

/** With an RSA-2048 key pair and nothing else. */
function rsaToken(bench: Bench): BenchToken {
  const directory = join(bench.directory, "guide");
  mkdirSync(directory, { recursive: true });
  const token = softHsmToken(directory, "guide");
  const environment = serviceEnvironment(bench, { algorithm: "RSA-2048", token });
  execFileSync(join(PROJECT, "bin/hsm-signer"), ["provision"], {
    env: { ...process.env, ...environment },
    stdio: "pipe",
  });
  return token;
}
