import type { Command, CommandContext, CommandOptions } from "../command.ts";
import { EXIT, type ExitCode } from "../exit_codes.ts";
import { table } from "./table.ts";
import { readTokens, tokensFileOf } from "./tokens_file.ts";

/** Who has bearer tokens. */
export const TOKEN_LIST: Command = {
  name: "token list",
  summary: "the bearer tokens: names, credentials, ends",
  options: [["--json", "the result as JSON"]],
  run: list,
};

const HEAD = ["name", "credentials", "expires", ""];

async function list(context: CommandContext, options: CommandOptions): Promise<ExitCode> {
  const tokens = readTokens(tokensFileOf(context, options)).map(({ name, credentials, expires }) => ({
    name,
    credentials,
    expires: expires === undefined ? null : new Date(expires).toISOString(),
    isExpired: expires !== undefined && expires <= context.now().getTime(),
  }));
  if (options.json) {
    context.print(JSON.stringify({ tokens }));
    return EXIT.ok;
  }
  const rows = tokens.map(({ name, credentials, expires, isExpired }) => {
    const granted = credentials.length === 0 ? "the default one" : credentials.join(", ");
    return [name, granted, expires ?? "never", isExpired ? "expired" : ""];
  });
  context.print(table([HEAD, ...rows]));
  return EXIT.ok;
}
