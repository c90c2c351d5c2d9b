import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { PROJECT } from "../../dev/service_process.ts";
import { moduleCommand } from "../support/module_command.ts";

/** Sends in a process of its own, and says which children that has. */
function childrenOfSender(environment: Readonly<Record<string, string>>): string {
  const script = `
    import { readFileSync } from "node:fs";
    import { notifierOf } from "./lib/supervision/notifier.ts";
    const children = () => readFileSync(\`/proc/self/task/\${process.pid}/children\`, "utf8").trim().split(" ");
    const before = children();
    const notifier = notifierOf(process.env);
    notifier.send({ READY: 1 });
    const nameOf = (pid) => readFileSync(\`/proc/\${pid}/comm\`, "utf8").trim();
    const started = children().filter((pid) => !before.includes(pid));
    // Until it is the other program it has this one's name.
    while (started.some((pid) => nameOf(pid) === nameOf("self"))) {}
    console.log(started.map(nameOf).join());
    await notifier.close();`;
  const { program, args } = moduleCommand(script);
  const { stdout, stderr, status } = spawnSync(program, args, {
    cwd: PROJECT,
    env: { PATH: process.env["PATH"], ...environment },
    encoding: "utf8",
  });
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
