import { hashOfBearerToken, newBearerToken } from "../auth/bearer_token.ts";
import type { Command, CommandContext, CommandOptions } from "../command.ts";
import { GRANT_NAME, parseGrants, parseMoment, TOKEN_HASH } from "../config/grants.ts";
import { ConfigError } from "../config/settings.ts";
import { EXIT, type ExitCode } from "../exit_codes.ts";
import { editTokens, tokensFileOf } from "./tokens_file.ts";

/** A bearer token for somebody. */
export const TOKEN_CREATE: Command = {
  name: "token create",
  summary: "make a bearer token, show it once, keep its hash",
  description:
    "Makes a bearer token and prints it: it is shown this once, and only its hash is added to AUTH_TOKENS_FILE. " +
    "Without --credential it is good for the default credential, whichever that is; '*' stands for all. " +
    "A running service takes it on SIGHUP. Example: token create --name billing --credential invoices",
  options: [
    ["--name <name>", "whose it is; for the log and `token revoke`"],
    ["--credential <label...>", "the credentials that it may use"],
    ["--expires-in <time>", "when it ends, as in 12h, 90d or 2y (365d)"],
    ["--expires <date>", "the same as a date, as in 2027-01-31 or 2027-01-31T12:00:00Z; never for no end"],
    ["--json", "the result as JSON"],
  ],
  run: create,
};

const HOUR_MS = 3_600_000;
const UNITS: Readonly<Record<string, number>> = { h: HOUR_MS, d: 24 * HOUR_MS, y: 365 * 24 * HOUR_MS };
const STANDARD_TIME = "365d";

async function create(context: CommandContext, options: CommandOptions): Promise<ExitCode> {
  const path = tokensFileOf(context, options);
  const { name = "", credential: credentials } = options;
  const expires = expiryOf(options, context.now());
  if (!GRANT_NAME.test(name)) {
    throw new ConfigError(['--name must be 1 to 100 letters, digits or any of ". _ - @ +".']);
  }
  const token = newBearerToken();
  const line = JSON.stringify({
    name,
    sha256: hashOfBearerToken(token).toString("hex"),
    ...(credentials === undefined ? {} : { credentials }),
    ...(expires === undefined ? {} : { expires }),
  });
  if (parseGrants(line, path, TOKEN_HASH).mistakes.length > 0) {
    throw new ConfigError(["--credential must be labels of credentials, each once, or '*' alone."]);
  }
  await editTokens(path, (text, tokens) => {
    if (tokens.some((other) => other.name === name)) {
      throw new ConfigError([`--name "${name}" is in ${path} already; revoke it first, or take another.`]);
    }
    return `${text === "" || text.endsWith("\n") ? text : `${text}\n`}${line}\n`;
  });
  if (options.json) {
    context.print(JSON.stringify({ name, token, credentials: credentials ?? [], expires: expires ?? null }));
    return EXIT.ok;
  }
  context.print(token);
  const end = expires === undefined ? "It does not end" : `It ends at ${expires}`;
  context.tell(`This is the token "${name}"; it is not shown again. ${end}.`);
  context.tell(`Its hash is in ${path}. A running service takes it on SIGHUP.`);
  return EXIT.ok;
}

/** @returns ISO 8601; `undefined` for never */
function expiryOf({ expires, expiresIn }: CommandOptions, now: Date): string | undefined {
  if (expires !== undefined && expiresIn !== undefined) {
    throw new ConfigError(["--expires and --expires-in say the same; keep one of them."]);
  }
  if (expires === "never") return undefined;
  const end =
    expires === undefined ? now.getTime() + timeOf(expiresIn ?? STANDARD_TIME) : parseMoment(expires);
  if (end === undefined) {
    throw new ConfigError(["--expires must be a date such as 2027-01-31 or 2027-01-31T12:00:00Z, or never."]);
  }
  if (end <= now.getTime()) throw new ConfigError(["--expires must be in the future."]);
  return `${new Date(end).toISOString().slice(0, 19)}Z`;
}

/** In milliseconds. */
function timeOf(text: string): number {
  const [, count = "", unit = ""] = /^([1-9]\d{0,4})([hdy])$/.exec(text) ?? [];
  const ms = Number(count) * (UNITS[unit] ?? 0);
  // As long as the years have four digits.
  if (ms > 0 && ms <= 100 * (UNITS["y"] ?? 0)) return ms;
  throw new ConfigError(["--expires-in must be a number of hours, days or years, such as 12h, 90d or 2y."]);
}
