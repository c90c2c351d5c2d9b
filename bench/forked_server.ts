import { type ForkOptions, fork } from "node:child_process";
import type { Server } from "./jobs/client.ts";

/** Where a server is, and what else it says in its first message. */
export type Listening<Told> = Server & Told;

/**
 * Runs a server that is no service of ours, in a process group of its own, while something is done with it.
 *
 * @param script tells its port, and more where there is more to tell, in its first message
 * @param job what it is sent before
 */
export async function withForkedServer<Told extends object, T>(
  script: URL,
  options: ForkOptions,
  job: object,
  work: (server: Listening<Told>) => Promise<T>,
): Promise<T> {
  const child = fork(script, { ...options, detached: true });
  const kill = (): void => void child.kill("SIGKILL");
  process.once("exit", kill);
  try {
    const told = await new Promise<Told & { port: number }>((resolve, reject) => {
      child.once("exit", (code) =>
        reject(new Error(`Cannot measure: ${script.pathname.split("/").pop()} ended with ${code}`)),
      );
      child.once("message", (message) => resolve(message as Told & { port: number }));
      child.send(job);
    });
    return await work({ ...told, host: "127.0.0.1", group: child.pid ?? 0 });
  } finally {
    process.off("exit", kill);
    kill();
  }
}
