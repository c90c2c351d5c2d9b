import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs, {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import type { RuntimeCommand } from "../../dev/runtime_command.ts";
import { ChainFile } from "../../lib/credential/chain_file.ts";
import { chainFilesIn } from "../../lib/credential/chain_files.ts";
import { moduleCommand } from "../support/module_command.ts";
import { intermediateCa, leafOf, PKI_NOW, rootCa } from "../support/pki.ts";
import { fileWith } from "../support/programs.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const root = await rootCa();
const intermediate = await intermediateCa(root);
const [oldLeaf, newLeaf] = [await leafOf(intermediate), await leafOf(intermediate)];
const OLD = [oldLeaf.der, intermediate.der];
const NEW = [newLeaf.der, intermediate.der, root.der];
const OLD_PEM = ChainFile.toPem(OLD);
const NEW_PEM = ChainFile.toPem(NEW);
const STAMP = "20330518T033320Z";

/** A chain file in a directory of its own, with this text if there is one. */
function fileOf(text?: string): { file: ChainFile; directory: string } {
  const directory = temporaryDirectory();
  const file = new ChainFile(directory, "key");
  if (text !== undefined) writeFileSync(file.path, text);
  return { file, directory };
}

const textOf = (path: string): string => readFileSync(path, "utf8");

// What it does.

test("where there is no chain it is written, with the directory, and there is no former one", () => {
  const directory = join(temporaryDirectory(), "etc", "certs");
  const file = new ChainFile(directory, "key");
  assert.deepEqual(file.replace(NEW, PKI_NOW), { isChanged: true });
  assert.deepEqual(file.read(), NEW);
  assert.deepEqual(readdirSync(directory), ["key.pem"]);
});

test("the former chain stays beside the new one, the very file, under the time of the replacement", () => {
  const { file, directory } = fileOf(OLD_PEM);
  const { ino } = statSync(file.path);
  const former = join(directory, `key.pem.${STAMP}`);
  assert.deepEqual(file.replace(NEW, PKI_NOW), { isChanged: true, former });
  assert.equal(textOf(file.path), NEW_PEM);
  assert.equal(textOf(former), OLD_PEM);
  assert.equal(statSync(former).ino, ino);
  assert.deepEqual(readdirSync(directory).toSorted(), ["key.pem", `key.pem.${STAMP}`]);
});

test("what was there is kept whatever it is, and need not be a chain", () => {
  for (const text of ["", "notes", OLD_PEM.replaceAll("\n", "\r\n")]) {
    const { file } = fileOf(text);
    const { former = "" } = file.replace(NEW, PKI_NOW);
    assert.equal(textOf(former), text);
    assert.equal(textOf(file.path), NEW_PEM);
  }
});

test("when the very same chain is there nothing is written", () => {
  const { file, directory } = fileOf(NEW_PEM);
  const before = statSync(file.path);
  assert.deepEqual(file.replace(NEW, PKI_NOW), { isChanged: false });
  assert.deepEqual(readdirSync(directory), ["key.pem"]);
  const { ino, ctimeMs } = statSync(file.path);
  assert.deepEqual({ ino, ctimeMs }, { ino: before.ino, ctimeMs: before.ctimeMs });
});

test("the same certificates in another order or another text are another chain", () => {
  for (const text of [ChainFile.toPem(NEW.toReversed()), NEW_PEM.replaceAll("\n", "\r\n"), `${NEW_PEM}\n`]) {
    const { file } = fileOf(text);
    assert.equal(file.replace(NEW, PKI_NOW).isChanged, true);
    assert.equal(textOf(file.path), NEW_PEM);
  }
});

test("a former chain never takes the place of what is there, in the same second either", () => {
  const { file, directory } = fileOf(OLD_PEM);
  const taken = join(directory, `key.pem.${STAMP}`);
  writeFileSync(taken, "somebody's");
  mkdirSync(`${taken}-2`);
  assert.equal(file.replace(NEW, PKI_NOW).former, `${taken}-3`);
  assert.equal(file.replace(OLD, PKI_NOW).former, `${taken}-4`);
  assert.deepEqual([taken, `${taken}-3`, `${taken}-4`].map(textOf), ["somebody's", OLD_PEM, NEW_PEM]);
  assert.equal(textOf(file.path), OLD_PEM);
});

test("everybody may read the chain, whatever the umask", () => {
  const former = process.umask(0o077);
  try {
    const { file, directory } = fileOf();
    file.replace(NEW, PKI_NOW);
    const created = new ChainFile(directory, "created");
    created.create(NEW);
    for (const { path } of [file, created]) assert.equal(statSync(path).mode & 0o7777, 0o644);
  } finally {
    process.umask(former);
  }
});

test("a link to a chain elsewhere is replaced by a file, and what it led to stays as it was", () => {
  const { file } = fileOf();
  const elsewhere = fileWith(OLD_PEM);
  symlinkSync(elsewhere, file.path);
  const { former = "" } = file.replace(NEW, PKI_NOW);
  assert.deepEqual([elsewhere, former, file.path].map(textOf), [OLD_PEM, OLD_PEM, NEW_PEM]);
});

// Labels.

test("the labels of a directory are those of its chains: no former ones, temporary ones, others", () => {
  const { file, directory } = fileOf(OLD_PEM);
  file.replace(NEW, PKI_NOW);
  for (const label of ["a key.2 @site", "Z", "key.pem"]) new ChainFile(directory, label).create(OLD);
  for (const name of ["README.md", ".pem", ".hidden.pem", ".x.tmp", "pem", "x.crt"])
    writeFileSync(join(directory, name), "");
  mkdirSync(join(directory, "folder.pem"));
  symlinkSync(file.path, join(directory, "linked.pem"));
  assert.deepEqual(chainFilesIn(directory), ["Z", "a key.2 @site", "key", "key.pem", "linked"]);
});

test("a directory that is not there has no chains, and one that cannot be read is refused by CERT_DIR", () => {
  const directory = temporaryDirectory();
  assert.deepEqual(chainFilesIn(join(directory, "missing")), []);
  assert.deepEqual(chainFilesIn(directory), []);
  const message = /^Cannot list the certificate chains in .*\(CERT_DIR\): ENOTDIR/;
  assert.throws(() => chainFilesIn(fileWith("")), { code: "ERR_CERTIFICATE_NOT_FOUND", message });
});

// When it fails.

function assertFails(file: ChainFile, state: RegExp): void {
  assert.throws(
    () => file.replace(NEW, PKI_NOW),
    (error) => {
      assert.ok(error instanceof Error && "code" in error && error.code === "ERR_CERTIFICATE_NOT_WRITTEN");
      assert.ok(error.message.startsWith(`Cannot replace the certificate chain ${file.path} (CERT_DIR): `));
      assert.match(error.message, state);
      return true;
    },
  );
}

test("a place where no chain can be is refused with CERT_DIR, and nothing is left behind", () => {
  const directory = temporaryDirectory();
  mkdirSync(join(directory, "key.pem"));
  assertFails(new ChainFile(directory, "key"), /EISDIR/);
  assertFails(new ChainFile(directory, "there-is-no-such-directory/key"), /ENOENT/);
  assertFails(new ChainFile(fileWith(""), "key"), /ENOTDIR|EEXIST/);
  assert.deepEqual(readdirSync(directory), ["key.pem"]);
  assert.deepEqual(readdirSync(join(directory, "key.pem")), []);
});

/** What changes a disk, or brings changes to it, in the order of `replace`. */
const STEPS = [
  "mkdirSync",
  "openSync",
  "writeFileSync",
  "fchmodSync",
  "fsyncSync",
  "linkSync",
  "renameSync",
] as const;
type Step = (typeof STEPS)[number];

/** Runs `run` with `before` called before each step, with what the step is called with. */
function withSteps(before: (step: Step, args: readonly unknown[]) => void, run: () => void): void {
  const originals = STEPS.map((step) => [step, fs[step]] as const);
  for (const [step, original] of originals) {
    Object.assign(fs, {
      [step]: (...args: readonly unknown[]): unknown => {
        if (!isReading(step, args)) before(step, args);
        return Reflect.apply(original, fs, args);
      },
    });
  }
  syncBuiltinESMExports();
  try {
    run();
  } finally {
    Object.assign(fs, Object.fromEntries(originals));
    syncBuiltinESMExports();
  }
}

/** A chain is opened only in order to be read. */
function isReading(step: Step, [path]: readonly unknown[]): boolean {
  return step === "openSync" && String(path).endsWith(".pem");
}

function stepsOf(file: ChainFile): Step[] {
  const steps: Step[] = [];
  withSteps(
    (step) => void steps.push(step),
    () => void file.replace(NEW, PKI_NOW),
  );
  return steps;
}

/** At the end the directory is brought to the disk. */
const ALL_STEPS: readonly Step[] = [...STEPS, "openSync", "fsyncSync"];

test("the new chain is on the disk before the former is linked, that before the new one takes its place, and then the names", () => {
  const { file, directory } = fileOf(OLD_PEM);
  const temporaries: unknown[] = [];
  const calls: unknown[] = [];
  withSteps(
    (step, args) => {
      if (step === "openSync") temporaries.push(args[0]);
      if (step === "linkSync" || step === "renameSync") calls.push([step, ...args]);
      const isDone = calls.length === 2 && step !== "renameSync";
      assert.equal(textOf(file.path), isDone ? NEW_PEM : OLD_PEM, step);
    },
    () => void file.replace(NEW, PKI_NOW),
  );
  assert.deepEqual(calls, [
    ["linkSync", file.path, `${file.path}.${STAMP}`],
    ["renameSync", temporaries[0], file.path],
  ]);
  assert.equal(temporaries[1], directory);
  assert.deepEqual(stepsOf(fileOf(OLD_PEM).file), ALL_STEPS);
});

for (const [index, failing] of ALL_STEPS.entries()) {
  test(`when step ${index + 1} of the replacement, ${failing}, fails, one of the chains is in place, and nothing else left`, () => {
    const { file, directory } = fileOf(OLD_PEM);
    let steps = 0;
    withSteps(
      (step) => {
        assert.ok(existsSync(file.path));
        steps += 1;
        if (steps === index + 1) throw Object.assign(new Error(`EIO: ${step}`), { code: "EIO" });
      },
      () => assertFails(file, new RegExp(`EIO: ${failing}`)),
    );
    const isReplaced = index > ALL_STEPS.indexOf("renameSync");
    assert.equal(textOf(file.path), isReplaced ? NEW_PEM : OLD_PEM);
    const former = isReplaced ? [`key.pem.${STAMP}`] : [];
    assert.deepEqual(readdirSync(directory).toSorted(), ["key.pem", ...former]);
    // The next one succeeds, or finds that nothing is to be done.
    assert.equal(file.replace(NEW, PKI_NOW).isChanged, !isReplaced);
    assert.equal(textOf(file.path), NEW_PEM);
    assert.equal(textOf(join(directory, `key.pem.${STAMP}`)), OLD_PEM);
  });
}

/** Replaces a chain, and is killed before the step whose number it is told. */
const VICTIM = `
  const [module, directory, pem, step] = args;
  const fs = await import("node:fs");
  const { syncBuiltinESMExports } = await import("node:module");
  const { ChainFile } = await import(module);
  const source = new ChainFile(directory, pem);
  const chain = source.read();
  let steps = 0;
  for (const name of ${JSON.stringify(STEPS)}) {
    const original = fs.default[name];
    fs.default[name] = (...args) => {
      if (name !== "openSync" || !String(args[0]).endsWith(".pem")) steps += 1;
      if (steps === Number(step)) process.kill(process.pid, "SIGKILL");
      return original(...args);
    };
  }
  syncBuiltinESMExports();
  new ChainFile(directory, "key").replace(chain, new Date(${PKI_NOW.getTime()}));
`;
const MODULE = new URL("../../lib/credential/chain_file.ts", import.meta.url).href;
const script = (code: string, ...args: readonly string[]): RuntimeCommand =>
  moduleCommand(code, [MODULE, ...args]);

for (const [index, step] of [...ALL_STEPS, undefined].entries()) {
  test(`a process that is killed before step ${index + 1}, ${step ?? "its end"}, leaves one of the chains in place, whole`, () => {
    const { file, directory } = fileOf(OLD_PEM);
    new ChainFile(directory, "new").create(NEW);
    const { program, args } = script(VICTIM, directory, "new", String(index + 1));
    const { signal, stderr } = spawnSync(program, args, { encoding: "utf8" });
    assert.equal(signal, step === undefined ? null : "SIGKILL", stderr);
    const isReplaced = index > ALL_STEPS.indexOf("renameSync");
    assert.equal(textOf(file.path), isReplaced ? NEW_PEM : OLD_PEM);
    assert.deepEqual(chainFilesIn(directory), ["key", "new"]);
    // What it left behind is in nobody's way.
    assert.equal(file.replace(NEW, PKI_NOW).isChanged, !isReplaced);
    assert.equal(textOf(file.path), NEW_PEM);
    assert.equal(textOf(join(directory, `key.pem.${STAMP}`)), OLD_PEM);
  });
}

/** Replaces a chain by one and another, forty times. */
const REPLACER = `
  const [module, directory] = args;
  const { ChainFile } = await import(module);
  const [a, b] = ["a", "b"].map((label) => new ChainFile(directory, label).read());
  const file = new ChainFile(directory, "key");
  process.stdout.write("ready\\n");
  process.stdin.once("data", () => {
    process.stdin.destroy();
    for (let count = 0; count < 40; count += 1) file.replace(count % 2 ? a : b, new Date());
  });
`;

test("while two processes replace a chain, everybody always finds a whole one", async () => {
  const { file, directory } = fileOf(OLD_PEM);
  new ChainFile(directory, "a").create(OLD);
  new ChainFile(directory, "b").create(NEW);
  const { program, args } = script(REPLACER, directory);
  const processes = [1, 2].map(() => spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] }));
  await Promise.all(processes.map(({ stdout }) => once(stdout, "data")));
  for (const { stdin } of processes) stdin.write("go\n");
  const isRunning = ({ exitCode, signalCode }: ChildProcess): boolean =>
    exitCode === null && signalCode === null;
  let reads = 0;
  while (processes.some(isRunning)) {
    for (let count = 0; count < 50; count += 1) assert.ok([OLD_PEM, NEW_PEM].includes(textOf(file.path)));
    reads += 50;
    await new Promise(setImmediate);
  }
  assert.deepEqual(
    processes.map(({ exitCode }) => exitCode),
    [0, 0],
  );
  assert.ok(reads > 0);
  assert.deepEqual(chainFilesIn(directory), ["a", "b", "key"]);
  assert.deepEqual(
    readdirSync(directory).filter((name) => name.startsWith(".")),
    [],
  );
  for (const name of readdirSync(directory))
    assert.ok([OLD_PEM, NEW_PEM].includes(textOf(join(directory, name))), name);
});
