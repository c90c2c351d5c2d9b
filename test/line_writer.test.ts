import assert from "node:assert/strict";
import { once } from "node:events";
import { openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { LineWriter } from "../lib/line_writer.ts";
import { lacks } from "../lib/runtime.ts";
import { type ModuleProcess, startModule } from "./support/module_process.ts";
import { temporaryDirectory } from "./support/temporary.ts";

const lossLine = (lines: number): string => `lost ${lines}\n`;

/** A writer on the standard output of a process of its own, which is a pipe. */
const WRITER = `
  import { LineWriter } from "./lib/line_writer.ts";
  import { prepareProcess } from "./lib/runtime.ts";
  import { setTimeout as delay } from "node:timers/promises";
  prepareProcess();
  const tell = (text) => process.stderr.write(text + ";");
  const writer = new LineWriter({
    descriptor: process.stdout.fd,
    lossLine: (lines) => "lost " + lines + "\\n",
    maxPending: 300_000,
  });
  process.stdout.on("error", () => {});
  process.once("exit", () => writer.end());
  const line = (number) => String(number).padStart(99, ".") + "\\n";
`;

/** That the writer has said something while nobody read what it wrote, unless the runtime lets it wait for a reader. */
async function saidUnread({ said }: ModuleProcess, text: string): Promise<void> {
  if (!lacks("output that does not block")) await said(text);
}

/** The numbers of the lines that came, each whole and in its order, and how many are told to be lost. */
function numbersIn(output: string): { readonly numbers: number[]; readonly lost: number } {
  const numbers: number[] = [];
  let lost = 0;
  for (const line of output.split("\n").slice(0, -1)) {
    const [, count] = /^lost (\d+)$/.exec(line) ?? [];
    if (count !== undefined) lost += Number(count);
    else {
      assert.match(line, /^\.*\d+$/);
      assert.equal(line.length, 99);
      // A loss is told in its place: the lines before it are those before the gap.
      assert.equal(Number(line.replaceAll(".", "")), numbers.length + lost);
      numbers.push(numbers.length + lost);
    }
  }
  return { numbers, lost };
}

test("the lines of one turn of the event loop are written at its end", async () => {
  const path = join(temporaryDirectory(), "log");
  const writer = new LineWriter({ descriptor: openSync(path, "w"), lossLine });
  writer.write("one\n");
  writer.write("two\n");
  assert.equal(readFileSync(path, "utf8"), "");
  await nextTurn();
  assert.equal(readFileSync(path, "utf8"), "one\ntwo\n");
  writer.write("three\n");
  writer.flush();
  assert.equal(readFileSync(path, "utf8"), "one\ntwo\nthree\n");
});

test("a line that comes right after others is written soon, whoever comes next", async () => {
  const path = join(temporaryDirectory(), "log");
  const writer = new LineWriter({ descriptor: openSync(path, "w"), lossLine });
  let expected = "";
  for (const line of ["one\n", "two\n", "three\n"]) {
    writer.write(line);
    expected += line;
    await nextTurn();
  }
  while (readFileSync(path, "utf8") !== expected) await nextTurn();
});

test("many lines do not wait for the end of the turn", () => {
  const path = join(temporaryDirectory(), "log");
  const writer = new LineWriter({ descriptor: openSync(path, "w"), lossLine });
  const line = `${".".repeat(999)}\n`;
  for (let count = 0; count < 100; count += 1) writer.write(line);
  assert.ok(readFileSync(path).length > 50_000);
});

test("a reader that reads nothing holds up nobody; what is beyond the limit is dropped, and told in its place", async () => {
  const writer = startModule(`${WRITER}
    for (let number = 0; number < 20_000; number += 1) {
      writer.write(line(number));
      if (number % 100 === 0) await delay(0);
    }
    tell("written " + (writer.lost > 0));
    // Only when what is kept was read are lines taken again.
    for (let before = -1; before !== writer.lost; await delay(5)) {
      before = writer.lost;
      writer.write(line(0));
    }
    tell("taken again");
  `);
  await saidUnread(writer, "written true");
  const text = await writer.output();
  const lines = text.split("\n").slice(0, -1);
  assert.equal(await writer.ended, 0);
  if (lacks("output that does not block")) {
    // Far more than a pipe and the limit take: it has waited.
    assert.equal(lines.length, 20_001);
    return;
  }
  const lost = lines.filter((line) => line.startsWith("lost"));
  assert.equal(lost.length, 1, "one line tells of one loss");
  // All 3,000 that the limit allows, and what a pipe takes: some 230 kB, and what is read of it before anybody asks.
  assert.ok(lines.length > 3_000 && lines.length < 6_500, `${lines.length} lines`);
  const index = lines.indexOf(lost[0] ?? "");
  // Before it, all lines from the first on; behind it, the one that was taken again.
  assert.deepEqual(numbersIn(`${lines.slice(0, index).join("\n")}\n`).numbers.length, index);
  assert.equal(lines.length, index + 2);
});

test("a reader that is slow gets every line, as long as it is not too slow", async () => {
  const writer = startModule(`${WRITER}
    for (let number = 0; number < 2_500; number += 1) writer.write(line(number));
    tell("written " + writer.lost);
    await delay(1_000_000).catch(() => {});
  `);
  await saidUnread(writer, "written 0");
  let text = "";
  writer.child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
    if (text.length === 250_000) writer.child.kill("SIGKILL");
  });
  await writer.ended;
  assert.equal(numbersIn(text).numbers.length, 2_500);
});

for (const [end, code, script] of [
  ["process.exit", 0, "process.exit(0)"],
  ["an error that nobody catches", 1, 'setTimeout(() => { throw new Error("nobody"); }); await delay(1_000)'],
  ["a rejection that nobody catches", 1, 'Promise.reject(new Error("nobody")); await delay(1_000)'],
  ["its natural end", 0, ""],
] as const) {
  test(`nothing is lost at ${end}, though the reader is slower than the writer`, async () => {
    const writer = startModule(`${WRITER}
      for (let number = 0; number < 2_500; number += 1) writer.write(line(number));
      tell("written");
      ${script}
    `);
    await saidUnread(writer, "written");
    const { numbers, lost } = numbersIn(await writer.output());
    assert.deepEqual([numbers.length, lost, await writer.ended], [2_500, 0, code]);
  });
}

test("a reader that goes away stops nobody, and costs no memory", async () => {
  const { child, said, ended } = startModule(`${WRITER}
    writer.write(line(0));
    await delay(0);
    tell("ready");
    for (; writer.lost === 0; await delay(1)) writer.write(line(0));
    const before = writer.lost;
    for (let number = 0; number < 10_000; number += 1) {
      writer.write(line(number));
      if (number % 100 === 0) await delay(0);
    }
    tell("lost " + (writer.lost - before));
    process.exit(7);
  `);
  await said("ready");
  child.stdout?.destroy();
  await said("lost 10000");
  assert.equal(await ended, 7);
});

test("where a disk takes no more, lines are dropped and counted, and nobody ends for it", async () => {
  const path = join(temporaryDirectory(), "log");
  const { said, ended } = startModule(`${WRITER}
    import { execFileSync } from "node:child_process";
    import { openSync } from "node:fs";
    const full = new LineWriter({ descriptor: openSync(${JSON.stringify(path)}, "a"), lossLine: (lines) => "lost " + lines + "\\n" });
    const limit = (bytes) => execFileSync("prlimit", ["--pid=" + process.pid, "--fsize=" + bytes + ":unlimited"]);
    limit(40_960);
    for (let number = 0; number < 1_000; number += 1) {
      full.write(line(number));
      if (number % 10 === 9) full.flush();
    }
    tell("lost " + full.lost);
    // The runtime may have something of its own to write at the end.
    process.once("exit", () => limit("unlimited"));
  `);
  await said("lost ");
  assert.equal(await ended, 0);
  const text = readFileSync(path, "utf8");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  assert.ok(numbersIn(whole).numbers.length > 100);
});

test("a reader that comes in the place of one that went is told how many lines are missing", async () => {
  const { said, child, ended } = startModule(`${WRITER}
    import { execFileSync } from "node:child_process";
    import { openSync, readFileSync, closeSync } from "node:fs";
    const fifo = ${JSON.stringify(join(temporaryDirectory(), "fifo"))};
    execFileSync("mkfifo", [fifo]);
    const keeper = openSync(fifo, "r+");
    const descriptor = openSync(fifo, "w");
    closeSync(keeper);
    const own = new LineWriter({ descriptor, lossLine: (lines) => "lost " + lines + "\\n" });
    own.write(line(0));
    own.flush();
    own.write(line(1));
    own.flush();
    const reader = openSync(fifo, "r+");
    own.write(line(2));
    own.flush();
    own.write(line(3));
    own.flush();
    closeSync(descriptor);
    const bytes = Buffer.alloc(10_000);
    const { readSync } = await import("node:fs");
    tell("got " + JSON.stringify(bytes.toString("utf8", 0, readSync(reader, bytes)).replaceAll(".", "")));
  `);
  await said(String.raw`got "lost 3\n3\n"`);
  child.stdout?.resume();
  await once(child, "exit").catch(() => {});
  assert.equal(await ended, 0);
});
