import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Environment } from "../config/settings.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import { isWell, type Pulse } from "./heartbeat.ts";
import { type Message, type Notifier, notifierOf } from "./notifier.ts";

/** What a supervisor sees of the service. */
export interface Supervised {
  readonly url: string;
  readonly sessions: Pulse["sessions"];
  /** What will be wrong with it before long, for a person. */
  readonly warning: string | undefined;
  /** @throws SignerError with the reason when the token does not sign */
  check(): Promise<void>;
}

export interface SupervisorOptions {
  readonly environment: Environment;
  readonly log: Log;
  readonly pid?: number;
  readonly notifier?: Notifier;
}

/** Between two looks at the service where nobody asks for its heartbeat, in milliseconds. */
const LOOK_MS = 15_000;
/** Heartbeats in the time that systemd waits for one. */
const BEATS = 3;
/**
 * To initialize a module and to log in blocks the event loop, for as long as a library waits for an HSM that does
 * not answer: that is no reason to end the process.
 */
const RECOVERY_PATIENCE_US = 15 * 60 * 1_000_000;

/**
 * Tells systemd how the service is: when it is ready, what is wrong with it, that it lives. Does nothing where
 * systemd did not start it.
 */
export class Supervisor {
  readonly #log: Log;
  readonly #notifier: Notifier;
  /** Where `systemctl reload` waits for the outcome. */
  readonly #outcomePath: string | undefined;
  /** How long systemd waits for a heartbeat, in microseconds; 0 when it waits for none. */
  readonly #watchdogUs: number;
  #service: Supervised | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Why the last signature that was tried did not come about. */
  #trouble: string | undefined;
  /** Why the last reload changed nothing. */
  #refusal: string | undefined;
  #status = "";
  #isWell = true;
  #isRecovering = false;
  /** As systemd was last told. */
  #patienceUs: number;

  constructor({
    environment,
    log,
    pid = process.pid,
    notifier = notifierOf(environment),
  }: SupervisorOptions) {
    const { RUNTIME_DIRECTORY, WATCHDOG_PID = String(pid), WATCHDOG_USEC = "0" } = environment;
    this.#notifier = notifier;
    this.#outcomePath = RUNTIME_DIRECTORY ? join(RUNTIME_DIRECTORY, "reload") : undefined;
    this.#watchdogUs = WATCHDOG_PID === String(pid) ? Number(WATCHDOG_USEC) : 0;
    this.#patienceUs = this.#watchdogUs;
    this.#log = (level, event, fields) => {
      log(level, event, fields);
      this.#hear(event);
    };
  }

  /** The service's log, listened to. */
  get log(): Log {
    return this.#log;
  }

  starting(): void {
    this.#notifier.send({ STATUS: "Opening the token" });
  }

  /** The service did not start. Returns when that has been told. */
  async failed(sentences: readonly string[]): Promise<void> {
    this.#notifier.send({ STATUS: sentences.join(" ") });
    await this.#notifier.close();
  }

  /** The service is there, and has signed. */
  ready(service: Supervised): void {
    this.#service = service;
    this.#send({ READY: 1 });
    const interval = this.#watchdogUs > 0 ? Math.min(this.#watchdogUs / 1_000 / BEATS, LOOK_MS) : LOOK_MS;
    this.#timer = setInterval(() => this.#beat(), interval).unref();
  }

  reloading(): void {
    const microseconds = process.hrtime.bigint() / 1_000n;
    this.#notifier.send({ RELOADING: 1, MONOTONIC_USEC: String(microseconds) });
  }

  /** @param mistakes that kept everything as it was; none after a success */
  reloaded(mistakes: readonly string[]): void {
    this.#refusal = mistakes.length > 0 ? mistakes.join(" ") : undefined;
    this.#send({ READY: 1 });
    this.#leaveOutcome(mistakes);
  }

  /** The end has begun. */
  stopping(): void {
    clearInterval(this.#timer);
    this.#notifier.send({ STOPPING: 1, STATUS: "Answering what is in flight" });
  }

  /** One heartbeat, unless the service is not well; whether the token signs is told when that is known. */
  #beat(): void {
    const service = this.#service;
    if (service === undefined) return;
    const { sessions } = service;
    const isStillWell = isWell({ sessions, signs: this.#trouble === undefined });
    if (this.#isWell && !isStillWell) {
      this.#log("error", "watchdog.withheld", { sessions, reason: this.#trouble });
    }
    this.#isWell = isStillWell;
    this.#send({ ...this.#patience(), ...(isStillWell && this.#watchdogUs > 0 ? { WATCHDOG: 1 } : {}) });
    service.check().then(
      () => this.#learn(undefined),
      (error: unknown) => this.#learn(messageOf(error)),
    );
  }

  #learn(trouble: string | undefined): void {
    this.#trouble = trouble;
    this.#send({});
  }

  /** Sends a message, with the status where that has changed. */
  #send(message: Message): void {
    const status = this.#describe();
    const news = status === this.#status ? message : { ...message, STATUS: status };
    this.#status = status;
    if (Object.keys(news).length > 0) this.#notifier.send(news);
  }

  #describe(): string {
    const { url = "", warning } = this.#service ?? {};
    const state = this.#trouble === undefined ? `Signing, on ${url}` : `Not signing: ${this.#trouble}`;
    const refusal =
      this.#refusal === undefined ? undefined : `the last reload changed nothing: ${this.#refusal}`;
    const restart = this.#isWell ? undefined : "the watchdog ends the process unless that changes";
    return [state, restart, warning, refusal].filter((part) => part !== undefined).join("; ");
  }

  #hear(event: string): void {
    if (event === "token.recovering") this.#isRecovering = true;
    else if (event === "token.recovered" || event === "token.given_up") this.#isRecovering = false;
    else return;
    // At once: what begins now may block.
    const patience = this.#patience();
    if (Object.keys(patience).length > 0) this.#notifier.send({ ...patience, WATCHDOG: 1 });
  }

  /** How long systemd shall wait for a heartbeat, where that is something new. */
  #patience(): Message {
    if (this.#watchdogUs === 0) return {};
    const patienceUs = this.#isRecovering && this.#isWell ? RECOVERY_PATIENCE_US : this.#watchdogUs;
    if (patienceUs === this.#patienceUs) return {};
    this.#patienceUs = patienceUs;
    return { WATCHDOG_USEC: patienceUs };
  }

  #leaveOutcome(mistakes: readonly string[]): void {
    if (this.#outcomePath === undefined) return;
    try {
      // Renamed into place: whoever waits for it reads all of it.
      writeFileSync(`${this.#outcomePath}.new`, mistakes.map((mistake) => `${mistake}\n`).join(""));
      renameSync(`${this.#outcomePath}.new`, this.#outcomePath);
    } catch (error) {
      this.#log("warning", "reload.outcome_unknown", { reason: messageOf(error) });
    }
  }
}
