import { randomBytes } from "node:crypto";
import type { ReloadableService } from "./service_on.ts";
import { until } from "./until.ts";

/** What became of a sign request. */
export interface Answer {
  readonly status: number;
  /** Of the problem, where it was one. */
  readonly code: string | undefined;
  readonly body: string;
}

export interface AskOptions {
  /** In hexadecimal digits; of something by standard. */
  readonly hash?: string;
  /** With its question mark. */
  readonly query?: string;
}

/** Asks for signatures as one caller or another, and remembers all that was answered. */
export class SignClient {
  readonly #told: string[] = [];

  /** Every head and body that came back. */
  get told(): string {
    return this.#told.join("\n");
  }

  async ask(url: string, authorization?: string, options: AskOptions = {}): Promise<Answer> {
    const { hash = randomBytes(32).toString("hex"), query = "" } = options;
    const response = await fetch(`${url}/sign${query}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(authorization === undefined ? {} : { authorization }),
      },
      body: JSON.stringify({ hash }),
    });
    const body = await response.text();
    this.#told.push(JSON.stringify([...response.headers]), body);
    const { code }: { code?: string } = JSON.parse(body);
    return { status: response.status, code, body };
  }
}

/** Waits until a service has logged a request with these values. */
export function hasLogged(
  service: ReloadableService,
  values: Readonly<Record<string, unknown>>,
): Promise<void> {
  const isMet = (line: Readonly<Record<string, unknown>>): boolean =>
    Object.entries(values).every(([name, value]) => line[name] === value);
  return until(() => service.events("request").some(isMet));
}
