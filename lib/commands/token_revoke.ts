import type { Command, CommandContext, CommandOptions } from "../command.ts";
import { parseGrants, TOKEN_HASH } from "../config/grants.ts";
import { SignerError } from "../errors.ts";
import { EXIT, type ExitCode } from "../exit_codes.ts";
import { editTokens, tokensFileOf } from "./tokens_file.ts";

/** The end of a bearer token. */
export const TOKEN_REVOKE: Command = {
  name: "token revoke",
  summary: "take a bearer token's hash away",
  description:
    "Takes the line of a token out of AUTH_TOKENS_FILE. A running service refuses it from SIGHUP on.",
  argument: ["name", "of the token"],
  options: [],
  run: revoke,
};

async function revoke(context: CommandContext, options: CommandOptions, name: string): Promise<ExitCode> {
  const path = tokensFileOf(context, options);
  await editTokens(path, (text) => {
    const lines = text.split("\n");
    const others = lines.filter(
      (line) => !parseGrants(line, path, TOKEN_HASH).grants.some((token) => token.name === name),
    );
    if (others.length === lines.length) {
      throw new SignerError("ERR_CONFIGURATION", `Cannot revoke: there is no token "${name}" in ${path}`);
    }
    return others.join("\n");
  });
  context.tell(
    `The token "${name}" is not in ${path} any more. A running service refuses it from SIGHUP on.`,
  );
  return EXIT.ok;
}
