import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { BackEnd } from "./back_ends.ts";
import { compileLibrary } from "./compile.ts";
import { libraryPath } from "./library_paths.ts";
import { temporaryDirectory } from "./temporary.ts";
import { until } from "./until.ts";

/** A token in another process, as an HSM is on another machine: p11-kit serves it on a socket. */
export interface TokenServer {
  /** The library whose token is in that process, which is asked one thing at a time; see one_at_a_time.c. */
  readonly modulePath: string;
  /** What a process that loads the library has to have in its environment. */
  readonly environment: Readonly<Record<string, string>>;
  start(): Promise<void>;
  /** Ends it and its process for each client, whatever they do at the time. */
  kill(): Promise<void>;
}

/** Does not start it. */
export function tokenServer(backEnd: Pick<BackEnd, "modulePath" | "label">): TokenServer {
  const directory = temporaryDirectory();
  const [socket, modulePath] = [join(directory, "p11"), join(directory, "one_at_a_time.so")];
  compileLibrary(["test/support/one_at_a_time.c"], modulePath);
  let server: ChildProcess | undefined;
  return {
    modulePath,
    environment: {
      ONE_AT_A_TIME_MODULE: libraryPath(["pkcs11/p11-kit-client.so"], "p11-kit-modules"),
      P11_KIT_SERVER_ADDRESS: `unix:path=${socket}`,
    },
    async start() {
      rmSync(socket, { force: true });
      const where = ["--foreground", "--name", socket, "--provider", backEnd.modulePath];
      server = spawn("p11-kit", ["server", ...where, `pkcs11:token=${backEnd.label}`], {
        stdio: "ignore",
        // A group of its own: the server has a process for each client, and all of them are to be killed.
        detached: true,
      });
      await until(() => accepts(socket));
    },
    async kill() {
      if (server?.pid === undefined) return;
      const ended = once(server, "exit");
      process.kill(-server.pid, "SIGKILL");
      server = undefined;
      await ended;
    },
  };
}

/** Its path is there a moment before it accepts: who comes then is told that there are no tokens. */
function accepts(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.once("connect", () => {
      connection.destroy();
      resolve(true);
    });
    connection.once("error", () => resolve(false));
  });
}
