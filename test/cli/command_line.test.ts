import assert from "node:assert/strict";
import { test } from "node:test";
import { runCommandLine } from "../../lib/cli/command_line.ts";
import type { Command, CommandContext } from "../../lib/command.ts";
import { ConfigError } from "../../lib/config/settings.ts";
import { SignerError } from "../../lib/errors.ts";
import { EXIT } from "../../lib/exit_codes.ts";

/** What a command was given, and what was printed. */
function stage(fail?: unknown) {
  const given: unknown[] = [];
  const printed: string[] = [];
  const told: string[] = [];
  const command = (name: string, more: Partial<Command> = {}): Command => ({
    name,
    summary: `do ${name}`,
    options: [["--key-label <label>", "which"]],
    run: async (_, options, argument) => {
      given.push([name, { ...options }, argument]);
      if (fail !== undefined) throw fail;
      return name === "serve" ? undefined : EXIT.ok;
    },
    ...more,
  });
  const context: CommandContext = {
    environment: {},
    sources: { fileExists: () => false, readFile: () => "", distinguishedNameFault: () => undefined },
    now: () => new Date(0),
    print: (text) => void printed.push(text),
    tell: (text) => void told.push(text),
  };
  const commands = [
    command("serve"),
    command("list"),
    command("import", { argument: ["file", "a file"] }),
    command("token create"),
    command("token check"),
  ];
  const run = (...words: string[]) =>
    runCommandLine(words, { commands, standard: "serve", version: "1.2.3", context });
  return { run, given, printed, told };
}

test("without a command the standard one runs, and the process goes on", async () => {
  const { run, given } = stage();
  assert.equal(await run(), undefined);
  assert.equal(await run("--config", "file"), undefined);
  assert.deepEqual(given, [
    ["serve", {}, ""],
    ["serve", { config: "file" }, ""],
  ]);
});

test("a command gets its options and its argument", async () => {
  const { run, given } = stage();
  assert.equal(await run("list", "--key-label", "a b"), EXIT.ok);
  assert.equal(await run("import", "answer.p7b", "--key-label=x"), EXIT.ok);
  assert.deepEqual(given, [
    ["list", { keyLabel: "a b" }, ""],
    ["import", { keyLabel: "x" }, "answer.p7b"],
  ]);
});

test("a command of two words belongs to its group", async () => {
  const { run, given, printed } = stage();
  assert.equal(await run("token", "create", "--key-label", "x"), EXIT.ok);
  assert.equal(await run("token", "check"), EXIT.ok);
  assert.deepEqual(
    given.map((call) => (call as unknown[])[0]),
    ["token create", "token check"],
  );
  await run("token", "--help");
  assert.match(printed.join(""), /create .*do token create/);
});

for (const [words, pattern] of [
  [["sing"], /^"sing" is not a command; the commands are serve, list, import, token create, token check\.$/],
  [["list", "--key"], /unknown option '--key'/],
  [["list", "more"], /too many arguments/],
  [["import"], /missing required argument 'file'/],
  [["list", "--key-label"], /argument missing/],
  [["token", "sing"], /unknown command 'sing'/],
] as const) {
  test(`"${words.join(" ")}" is named as wrong, and nothing runs`, async () => {
    const { run, given, told, printed } = stage();
    assert.equal(await run(...words), EXIT.usage);
    assert.match(told.join("\n"), pattern);
    assert.deepEqual([given, printed], [[], []]);
  });
}

test("help and version go to standard output, with success", async () => {
  for (const [words, pattern] of [
    [["--help"], /Usage: hsm-signer .*serve .*list .*token/s],
    [["help", "list"], /Usage: hsm-signer list .*--key-label <label> .*--config <file>/s],
    [["import", "-h"], /Usage: hsm-signer import \[options\] <file>.*a file/s],
    [["--version"], /^1\.2\.3\n$/],
  ] as const) {
    const { run, given, told, printed } = stage();
    assert.equal(await run(...words), EXIT.ok);
    assert.match(printed.join(""), pattern);
    assert.deepEqual([given, told], [[], []]);
  }
});

test("what ends a command is told in its sentences, and has its exit code", async () => {
  for (const [error, code, sentences] of [
    [new ConfigError(["PORT must be.", "HOST must be."]), EXIT.usage, ["PORT must be.", "HOST must be."]],
    [new SignerError("ERR_PIN_REJECTED", "Cannot log in"), EXIT.pinRefused, ["Cannot log in."]],
    [new SignerError("ERR_KEY_NOT_FOUND", "Cannot find"), EXIT.failed, ["Cannot find."]],
    [new TypeError("x is not a function"), EXIT.failed, ["x is not a function."]],
  ] as const) {
    const { run, told } = stage(error);
    assert.equal(await run("list"), code);
    assert.deepEqual(told, sentences);
  }
});
