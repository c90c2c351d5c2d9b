import { randomUUID } from "node:crypto";
import { closeSync, lstatSync, openSync, renameSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { basename, dirname, join } from "node:path";
import { linkIfAbsent } from "../durable_file.ts";

/** Paths of sockets are short (unix(7): 108 bytes); a longer one goes by way of its directory's descriptor. */
const MAX_SOCKET_PATH = 100;
const TRIES = 10;

/**
 * A lock that one process has: a socket beside the file, on which it listens. Whoever can connect to it knows that
 * its owner lives; the kernel closes it with the process, however that ends, so that nobody has to believe a number
 * in a file.
 */
export class FileLock {
  readonly #server: Server;
  readonly #path: string;
  readonly #inode: number;

  private constructor(server: Server, path: string, inode: number) {
    this.#server = server;
    this.#path = path;
    this.#inode = inode;
  }

  /**
   * @param path of the lock
   * @returns `undefined` when another process has it
   * @throws Error when a socket cannot be made there
   */
  static async acquire(path: string): Promise<FileLock | undefined> {
    // It is alive before it is seen under its name: no moment passes in which it looks like one of a dead process.
    const own = `${path}-${randomUUID().slice(0, 8)}`;
    const server = await listenAt(own);
    try {
      const { ino } = lstatSync(own);
      for (let tries = 0; tries < TRIES; tries += 1) {
        if (linkIfAbsent(own, path)) return new FileLock(server, path, ino);
        if (await isHeld(path)) break;
      }
      server.close();
      return undefined;
    } catch (error) {
      server.close();
      throw error;
    } finally {
      rmSync(own, { force: true });
    }
  }

  release(): void {
    this.#server.close();
    if (inodeOf(this.#path) === this.#inode) rmSync(this.#path, { force: true });
  }
}

async function listenAt(path: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  await viaShortPath(
    path,
    (short) =>
      new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(short, resolve);
      }),
  );
  return server.unref();
}

/** Whether somebody lives behind the lock; one of a process that is no more is taken away. */
async function isHeld(path: string): Promise<boolean> {
  const inode = inodeOf(path);
  if (inode === undefined) return false;
  if (await isAlive(path)) return true;
  const aside = `${path}-${randomUUID().slice(0, 8)}`;
  try {
    renameSync(path, aside);
  } catch {
    // Another starter was quicker.
    return false;
  }
  // What was moved may be the lock that the quicker one has put there meanwhile.
  if (inodeOf(aside) !== inode) linkIfAbsent(aside, path);
  rmSync(aside, { force: true });
  return false;
}

function isAlive(path: string): Promise<boolean> {
  return viaShortPath(
    path,
    (short) =>
      new Promise((resolve) => {
        const socket = connect(short);
        socket.once("connect", () => {
          socket.destroy();
          resolve(true);
        });
        // Whatever else goes wrong says nothing about a death.
        socket.once("error", (error: NodeJS.ErrnoException) => {
          resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT");
        });
      }),
  );
}

async function viaShortPath<T>(path: string, use: (path: string) => Promise<T>): Promise<T> {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH) return use(path);
  const directory = openSync(dirname(path), "r");
  try {
    return await use(join("/proc/self/fd", String(directory), basename(path)));
  } finally {
    closeSync(directory);
  }
}

function inodeOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.ino;
}
