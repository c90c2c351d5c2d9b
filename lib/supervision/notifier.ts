import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { Environment } from "../config/settings.ts";

/** What is said to systemd in one message, as in `{ READY: 1 }`; sd_notify(3) has the names. */
export type Message = Readonly<Record<string, string | number>>;

/** Takes a message to systemd. */
export interface Notifier {
  send(message: Message): void;
  /** Returns when all that was sent has been delivered, or when that takes too long. */
  close(): Promise<void>;
}

/**
 * Node.js cannot send a datagram to a Unix socket; `systemd-notify` can. To start it means a fork of this process,
 * some milliseconds in which nobody is served, each time. A shell that waits for lines is forked once, and starts
 * `systemd-notify` for each of them; it ends with this process, which holds the other end of the pipe.
 *
 * Fields are separated by tabs. Signals for the whole unit are not meant for it.
 */
const COURIER =
  "trap '' HUP INT TERM; set -f; IFS='\t'; while read -r message; do systemd-notify $message; done";
const CLOSE_MS = 5_000;
const MAX_VALUE_LENGTH = 1_000;

/** The way to the systemd that started this process; where none did, messages go nowhere. */
export function notifierOf({ NOTIFY_SOCKET }: Environment): Notifier {
  if (!NOTIFY_SOCKET) return { send: () => {}, close: async () => {} };
  return new SystemdNotifier(NOTIFY_SOCKET);
}

class SystemdNotifier implements Notifier {
  readonly #socket: string;
  #courier: ChildProcess | undefined;

  constructor(socket: string) {
    this.#socket = socket;
  }

  send(message: Message): void {
    this.#courier ??= this.#start();
    this.#courier?.stdin?.write(`${lineOf(message)}\n`);
  }

  async close(): Promise<void> {
    const courier = this.#courier;
    if (courier === undefined) return;
    const ended = once(courier, "close");
    // Nothing else may keep the process until then.
    courier.ref();
    courier.stdin?.end();
    await Promise.race([ended, delay(CLOSE_MS, undefined, { ref: false })]);
  }

  /** @returns `undefined` where this process may start none (a runtime with permissions): systemd hears nothing then */
  #start(): ChildProcess | undefined {
    // Nothing of this process's environment: it may hold a PIN.
    const env = { PATH: "/usr/bin:/bin", NOTIFY_SOCKET: this.#socket };
    const courier = spawn("/bin/sh", ["-c", COURIER], { env, stdio: ["pipe", "ignore", "inherit"] });
    const forget = (): void => {
      if (this.#courier === courier) this.#courier = undefined;
    };
    courier.once("error", forget).once("close", forget);
    // Whoever killed it; the next message starts another.
    courier.stdin?.on("error", forget);
    if (courier.pid === undefined) return undefined;
    courier.unref();
    return courier;
  }
}

function lineOf(message: Message): string {
  return Object.entries(message)
    .map(([name, value]) => `${name}=${plainText(String(value))}`)
    .join("\t");
}

/** On one line, of a length that a message has room for. */
function plainText(text: string): string {
  const flat = text.replaceAll(/\p{Cc}+/gu, " ");
  return flat.length > MAX_VALUE_LENGTH ? `${flat.slice(0, MAX_VALUE_LENGTH)}…` : flat;
}
