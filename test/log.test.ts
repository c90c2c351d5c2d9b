import assert from "node:assert/strict";
import { test } from "node:test";
import { SignerError } from "../lib/errors.ts";
import { jsonLog, type LogLevel } from "../lib/log.ts";

const NOW = new Date("2033-05-18T03:33:20Z");

function stage(level: () => LogLevel = () => "info") {
  const lines: string[] = [];
  return { lines, log: jsonLog((line) => lines.push(line), { now: () => NOW, level }) };
}

test("an event is one line of JSON", () => {
  const { lines, log } = stage();
  log("info", "request", { id: 'a"\n\u2028', queueMs: 0.25, missing: undefined });
  assert.deepEqual(lines, [
    `{"time":"2033-05-18T03:33:20.000Z","level":"info","event":"request","id":"a\\"\\n\u2028","queueMs":0.25}\n`,
  ]);
});

test("an error is its code and its message, with that of its cause, and nothing else that it carries", () => {
  const { lines, log } = stage();
  const cause = Object.assign(new Error("CKR_DEVICE_ERROR"), { pin: "4711" });
  const error = Object.assign(new SignerError("ERR_TOKEN_BUSY", "Cannot sign: busy", { cause }), {
    pin: "4711",
  });
  log("error", "request.failed", { error });
  log("error", "http.failed", { errors: [cause] });
  assert.doesNotMatch(lines.join(""), /4711|stack/);
  const [first, second] = lines.map((line) => JSON.parse(line));
  assert.deepEqual(first.error, {
    code: "ERR_TOKEN_BUSY",
    message: "Cannot sign: busy",
    cause: "CKR_DEVICE_ERROR",
  });
  assert.deepEqual(second.errors, [{ name: "Error", message: "CKR_DEVICE_ERROR" }]);
});

test("what is less important than somebody wants to read is left out, from the moment that he says so", () => {
  let level: LogLevel = "info";
  const { lines, log } = stage(() => level);
  const logAll = (): void => {
    for (const each of ["info", "warning", "error"] as const) log(each, each);
  };
  const events = (): unknown[] => lines.splice(0).map((line) => JSON.parse(line).event);
  logAll();
  assert.deepEqual(events(), ["info", "warning", "error"]);
  level = "warning";
  logAll();
  assert.deepEqual(events(), ["warning", "error"]);
  level = "error";
  logAll();
  assert.deepEqual(events(), ["error"]);
});
