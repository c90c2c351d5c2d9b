import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { hashOfBearerToken, isWholeBearerToken } from "../../lib/auth/bearer_token.ts";
import { runCommandLine } from "../../lib/cli/command_line.ts";
import type { CommandContext } from "../../lib/command.ts";
import { TOKEN_CREATE } from "../../lib/commands/token_create.ts";
import { TOKEN_LIST } from "../../lib/commands/token_list.ts";
import { TOKEN_REVOKE } from "../../lib/commands/token_revoke.ts";
import { editTokens } from "../../lib/commands/tokens_file.ts";
import { parseGrants, TOKEN_HASH } from "../../lib/config/grants.ts";
import { EXIT } from "../../lib/exit_codes.ts";
import { runCommand } from "../support/command.ts";
import { fails } from "../support/fails.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const NOW = new Date("2027-01-01T12:00:00.789Z");
const COMMENT = "# Tokens of the accounting department\n\n";
let file: string;
beforeEach(() => {
  file = join(temporaryDirectory(), "tokens");
});

/** Runs a command in this process, at the tests' time. */
async function run(...words: string[]) {
  const printed: string[] = [];
  const told: string[] = [];
  const context: CommandContext = {
    environment: { AUTH_TOKENS_FILE: file },
    sources: {
      fileExists: existsSync,
      readFile: (path) => readFileSync(path, "utf8"),
      distinguishedNameFault: () => undefined,
    },
    now: () => NOW,
    print: (text) => void printed.push(text),
    tell: (text) => void told.push(text),
  };
  const commands = [TOKEN_CREATE, TOKEN_LIST, TOKEN_REVOKE];
  const code = await runCommandLine(words, { commands, standard: "", version: "1", context });
  return { code, out: printed.join("\n"), told: told.join("\n") };
}

const grants = () => parseGrants(readFileSync(file, "utf8"), file, TOKEN_HASH).grants;

describe("token create", () => {
  test("as a user runs it, without any other setting: the token is printed once, its hash is kept", async () => {
    const environment = { AUTH_TOKENS_FILE: file };
    const { code, stdout, stderr } = await runCommand(["token", "create", "--name", "billing"], environment);
    assert.equal(code, EXIT.ok, stderr);
    const token = stdout.trim();
    assert.ok(isWholeBearerToken(token), stdout);
    const text = readFileSync(file, "utf8");
    assert.ok(![text, stderr].some((each) => each.includes(token.slice(5, 20))));
    assert.match(
      text,
      /^\{"name":"billing","sha256":"[\da-f]{64}","expires":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"\}\n$/,
    );
    assert.equal(grants()[0]?.key, hashOfBearerToken(token).toString("hex"));
    assert.equal(statSync(file).mode & 0o777, 0o644);
    assert.match(stderr, /shown again.*ends at.*SIGHUP/s);
    const list = await runCommand(["token", "list"], environment);
    assert.match(list.stdout, /^name +credentials +expires\nbilling +the default one +\d{4}-/);
    const revoked = await runCommand(["token", "revoke", "billing"], environment);
    assert.deepEqual([revoked.code, readFileSync(file, "utf8")], [EXIT.ok, ""]);
  });

  for (const [words, credentials, expires] of [
    [[], [], "2028-01-01T12:00:00Z"],
    [["--expires-in", "12h"], [], "2027-01-02T00:00:00Z"],
    [["--expires-in", "90d"], [], "2027-04-01T12:00:00Z"],
    [["--expires-in", "2y"], [], "2028-12-31T12:00:00Z"],
    [["--expires", "2027-01-31"], [], "2027-01-31T00:00:00Z"],
    [["--expires", "2027-01-31T12:00:00+02:00"], [], "2027-01-31T10:00:00Z"],
    [["--expires", "never"], [], undefined],
    [["--credential", "invoices"], ["invoices"], "2028-01-01T12:00:00Z"],
    [["--credential", "invoices", "Seal 1"], ["invoices", "Seal 1"], "2028-01-01T12:00:00Z"],
    [["--credential", "*"], ["*"], "2028-01-01T12:00:00Z"],
  ] as const) {
    test(`with ${words.join(" ") || "nothing"}: for ${credentials.join() || "the default one"}, until ${expires}`, async () => {
      const { code, out, told } = await run("token", "create", "--name", "a", "--json", ...words);
      assert.equal(code, EXIT.ok, told);
      const { name, token, ...result } = JSON.parse(out);
      assert.ok(name === "a" && isWholeBearerToken(token));
      assert.deepEqual(result, { credentials, expires: expires ?? null });
      const key = hashOfBearerToken(token).toString("hex");
      const end = expires === undefined ? undefined : Date.parse(expires);
      assert.deepEqual(grants(), [{ name: "a", key, credentials, expires: end }]);
    });
  }

  for (const [words, complaint] of [
    [[], /^--name must be/],
    [["--name", "a b"], /^--name must be/],
    [["--name", "a\n"], /^--name must be/],
    [["--name", "a", "--credential", "../x"], /^--credential must be labels/],
    [["--name", "a", "--credential", "x", "x"], /^--credential must be labels/],
    [["--name", "a", "--credential", "*", "x"], /^--credential must be labels/],
    [["--name", "a", "--expires", "tomorrow"], /^--expires must be a date/],
    [["--name", "a", "--expires", "2027-01-01"], /^--expires must be in the future/],
    [["--name", "a", "--expires-in", "1"], /^--expires-in must be a number/],
    [["--name", "a", "--expires-in", "0d"], /^--expires-in must be a number/],
    [["--name", "a", "--expires-in", "-1d"], /^--expires-in must be a number/],
    [["--name", "a", "--expires-in", "101y"], /^--expires-in must be a number/],
    [["--name", "a", "--expires-in", "1d", "--expires", "never"], /say the same/],
  ] as const) {
    test(`is told what is wrong with ${JSON.stringify(words)}, and nothing is written`, async () => {
      const { code, out, told } = await run("token", "create", ...words);
      assert.deepEqual([code, out, existsSync(file)], [EXIT.usage, "", false]);
      assert.match(told, complaint);
    });
  }

  test("leaves what a person wrote as it is", async () => {
    writeFileSync(file, `${COMMENT}# the last line has no end`);
    await run("token", "create", "--name", "a");
    await run("token", "create", "--name", "b");
    const lines = readFileSync(file, "utf8").split("\n");
    assert.deepEqual(lines.slice(0, 3), [
      "# Tokens of the accounting department",
      "",
      "# the last line has no end",
    ]);
    assert.deepEqual(
      grants().map(({ name }) => name),
      ["a", "b"],
    );
  });

  test("gives nobody a second one, before the first is revoked", async () => {
    await run("token", "create", "--name", "a");
    const before = readFileSync(file, "utf8");
    const { code, told, out } = await run("token", "create", "--name", "a");
    assert.deepEqual([code, out, readFileSync(file, "utf8")], [EXIT.usage, "", before]);
    assert.match(told, /is in .* already; revoke it first/);
  });

  test("adds nothing to a file that is wrong, and names the lines", async () => {
    writeFileSync(file, "x\n[]\n");
    const { code, told, out } = await run("token", "create", "--name", "a");
    assert.deepEqual([code, out, readFileSync(file, "utf8")], [EXIT.usage, "", "x\n[]\n"]);
    assert.match(told, /line 1.*\n.*line 2/);
  });

  test("keeps who may read the file, and follows a link to it", async () => {
    writeFileSync(file, "");
    chmodSync(file, 0o640);
    const link = `${file}.link`;
    symlinkSync(file, link);
    await editTokens(link, () => COMMENT);
    assert.equal(readFileSync(file, "utf8"), COMMENT);
    assert.equal(statSync(file).mode & 0o777, 0o640);
    assert.ok(!existsSync(`${file}.new`) && !existsSync(`${link}.lock`));
  });

  test("at once with others: each of their tokens is kept, and of two with one name one", async () => {
    writeFileSync(file, COMMENT);
    const names = ["a", "b", "c", "same", "same", "same"];
    const results = await Promise.all(
      names.map((name) => runCommand(["token", "create", "--name", name], { AUTH_TOKENS_FILE: file })),
    );
    assert.deepEqual(results.map(({ code }) => code).sort(), [0, 0, 0, 0, 2, 2]);
    assert.ok(readFileSync(file, "utf8").startsWith(COMMENT));
    assert.deepEqual(
      grants()
        .map(({ name }) => name)
        .sort(),
      ["a", "b", "c", "same"],
    );
    const kept = results.filter(({ code }) => code === 0).map(({ stdout }) => stdout.trim());
    const hashes = kept.map((token) => hashOfBearerToken(token).toString("hex"));
    assert.deepEqual(
      grants()
        .map(({ key }) => key)
        .sort(),
      hashes.sort(),
    );
    assert.ok(!existsSync(`${file}.lock`));
  });

  test("waits for one who is at it, and does not take his lock away", async () => {
    writeFileSync(`${file}.lock`, "");
    const { code, told } = await run("token", "create", "--name", "a");
    assert.equal(code, EXIT.usage);
    assert.match(told, /another command is at it; if none is running, remove .*\.lock/);
    assert.ok(existsSync(`${file}.lock`) && !existsSync(file));
  });

  test("waits for one who is at it by another name of the file", async () => {
    writeFileSync(file, "");
    const link = `${file}.link`;
    symlinkSync(file, link);
    writeFileSync(`${file}.lock`, "");
    const edited = editTokens(link, (text) => `${text}# second\n`);
    await delay(100);
    writeFileSync(file, "# first\n");
    rmSync(`${file}.lock`);
    await edited;
    assert.equal(readFileSync(file, "utf8"), "# first\n# second\n");
  });

  test("says where it cannot write, and prints no token", async () => {
    file = join(temporaryDirectory(), "nowhere", "tokens");
    const { code, out, told } = await run("token", "create", "--name", "a");
    assert.deepEqual([code, out], [EXIT.usage, ""]);
    assert.match(told, /^Cannot write .* \(AUTH_TOKENS_FILE\): ENOENT/);
  });
});

describe("token list", () => {
  test("shows names, credentials and ends, and no hash", async () => {
    const hash = (digit: string) => digit.repeat(64);
    writeFileSync(
      file,
      `${JSON.stringify({ name: "old", sha256: hash("a"), expires: "2026-12-31" })}\n` +
        `${JSON.stringify({ name: "new", sha256: hash("b"), credentials: ["x", "y"] })}\n`,
    );
    const { out, code } = await run("token", "list");
    assert.equal(code, EXIT.ok);
    assert.equal(
      out,
      "name  credentials      expires\n" +
        "old   the default one  2026-12-31T00:00:00.000Z  expired\n" +
        "new   x, y             never",
    );
    assert.deepEqual(JSON.parse((await run("token", "list", "--json")).out), {
      tokens: [
        { name: "old", credentials: [], expires: "2026-12-31T00:00:00.000Z", isExpired: true },
        { name: "new", credentials: ["x", "y"], expires: null, isExpired: false },
      ],
    });
  });

  test("shows nobody where there is no file", async () => {
    assert.deepEqual(JSON.parse((await run("token", "list", "--json")).out), { tokens: [] });
  });
});

describe("token revoke", () => {
  test("takes the line of that token away, and nothing else", async () => {
    writeFileSync(file, COMMENT);
    for (const name of ["a", "b", "c"]) await run("token", "create", "--name", name);
    const lines = readFileSync(file, "utf8").split("\n");
    const { code, told } = await run("token", "revoke", "b");
    assert.equal(code, EXIT.ok);
    assert.match(told, /SIGHUP/);
    assert.deepEqual(readFileSync(file, "utf8").split("\n"), lines.toSpliced(3, 1));
  });

  test("says that there is no such token", async () => {
    const { code, told } = await run("token", "revoke", "a");
    assert.equal(code, EXIT.usage);
    assert.match(told, /there is no token "a"/);
    assert.ok(!existsSync(file));
  });
});

describe("The file of tokens", () => {
  test("stays as it is when a change fails, and can be changed afterwards", async () => {
    writeFileSync(file, COMMENT);
    const edit = (): never => {
      throw new RangeError("no");
    };
    await assert.rejects(editTokens(file, edit), RangeError);
    await assert.rejects(
      editTokens(join(file, "x"), () => ""),
      fails("ERR_CONFIGURATION", /ENOTDIR/),
    );
    await editTokens(file, (text) => `${text}#\n`);
    assert.equal(readFileSync(file, "utf8"), `${COMMENT}#\n`);
  });
});

test("without AUTH_TOKENS_FILE the commands say what is missing", async () => {
  for (const words of [["create", "--name", "a"], ["list"], ["revoke", "a"]]) {
    const { code, stderr } = await runCommand(["token", ...words]);
    assert.equal(code, EXIT.usage);
    assert.match(stderr, /AUTH_TOKENS_FILE must name the file/);
  }
});
