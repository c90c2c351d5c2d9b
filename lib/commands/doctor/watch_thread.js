// JavaScript, since a worker has no loader for anything else on Node 20. See watch.ts.
import { writeSync } from "node:fs";
import { parentPort } from "node:worker_threads";

const watch = { timer: undefined };

parentPort.on("message", ({ limitMs, lastWords }) => {
  clearTimeout(watch.timer);
  if (limitMs === undefined) return;
  watch.timer = setTimeout(() => {
    try {
      writeSync(1, lastWords);
    } finally {
      process.kill(process.pid, "SIGKILL");
    }
  }, limitMs);
});
