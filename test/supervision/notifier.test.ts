import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { PROJECT } from "../../dev/service_process.ts";

/** Sends in a process of its own, and says which children that has. */
function childrenOfSender(environment: Readonly<Record<string, string>>): string {
  const script = `
    import { readFileSync } from "node:fs";
    import { notifierOf } from "./lib/supervision/notifier.ts";
    const children = () => readFileSync(\`/proc/self/task/\${process.pid}/children\`, "utf8").trim().split(" ");
    const before = children();
    const notifier = notifierOf(process.env);
    notifier.send({ READY: 1 });
    const names = children().filter((pid) => !before.includes(pid));
    console.log(names.map((pid) => readFileSync(\`/proc/\${pid}/comm\`, "utf8").trim()).join());
    await notifier.close();`;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ["--import", "tsx", "--input-type=module", "--eval", script],
    { cwd: PROJECT, env: { PATH: process.env["PATH"], ...environment }, encoding: "utf8" },
  );
  assert.equal(status, 0, stderr);
  return stdout.trim();
}

test("where systemd did not start the process nothing is sent and no process started", () => {
  assert.equal(childrenOfSender({}), "");
  assert.equal(childrenOfSender({ NOTIFY_SOCKET: "" }), "");
});

test("a socket that is gone ends nothing", () => {
  assert.equal(childrenOfSender({ NOTIFY_SOCKET: "/nowhere/notify" }), "sh");
});
