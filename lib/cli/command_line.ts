import { CommanderError, Command as Parser } from "commander";
import { type Command, type CommandContext, type CommandOptions, exitCodeOf } from "../command.ts";
import { sentencesOf } from "../errors.ts";
import { EXIT, type ExitCode } from "../exit_codes.ts";

export interface CommandLineOptions {
  readonly commands: readonly Command[];
  /** The one that runs when none is named. */
  readonly standard: string;
  readonly version: string;
  readonly context: CommandContext;
}

const COMMON_OPTIONS: Command["options"] = [
  ["--config <file>", "settings, one NAME=value a line (CONFIG_FILE)"],
];

/**
 * Runs what a command line asks for.
 *
 * @param words after the program's name
 * @returns the exit code; `undefined` when the process goes on
 */
export async function runCommandLine(
  words: readonly string[],
  { commands, standard, version, context }: CommandLineOptions,
): Promise<ExitCode | undefined> {
  let code: ExitCode | undefined;
  const program = rootParser(version, context);
  const groups = new Map<string, Parser>();
  for (const command of commands) {
    const run = async (...given: unknown[]): Promise<void> => {
      const [argument = "", ...further] = command.argument === undefined ? [] : [given[0]].flat().map(String);
      const options = given[command.argument === undefined ? 0 : 1] as CommandOptions;
      code = await command.run(context, options, argument, further);
    };
    addTo(program, groups, command, command.name === standard).action(run);
  }
  const [first = "-"] = words;
  const isKnown = commands.some(({ name }) => name.split(" ")[0] === first);
  if (!first.startsWith("-") && first !== "help" && !isKnown) {
    const names = commands.map(({ name }) => name).join(", ");
    context.tell(`"${first}" is not a command; the commands are ${names}.`);
    return EXIT.usage;
  }
  try {
    await program.parseAsync([...words], { from: "user" });
    return code;
  } catch (error) {
    // What is wrong with the command line was said already, and so were help and version.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    for (const sentence of sentencesOf(error)) context.tell(sentence);
    return exitCodeOf(error);
  }
}

function rootParser(version: string, context: CommandContext): Parser {
  return new Parser("hsm-signer")
    .description("Signs digests of PDFs with a key on a PKCS#11 token. Settings: README.md, Configuration.")
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.print(text),
      // Commander begins with "error: ", and so does nobody else here.
      writeErr: (text) => context.tell(text.replace(/^error: /, "").trimEnd()),
    });
}

/** A name of two words is a command of a group. */
function addTo(program: Parser, groups: Map<string, Parser>, command: Command, isDefault: boolean): Parser {
  const [first = "", second] = command.name.split(" ");
  const group = second === undefined ? program : (groups.get(first) ?? program.command(first));
  if (second !== undefined) groups.set(first, group);
  const parser = group.command(second ?? first, { isDefault }).summary(command.summary);
  parser.description(command.description ?? command.summary);
  if (command.argument !== undefined) parser.argument(`<${command.argument[0]}>`, command.argument[1]);
  for (const [flags, description] of [...command.options, ...COMMON_OPTIONS]) {
    parser.option(flags, description);
  }
  return parser;
}
