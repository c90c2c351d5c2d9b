import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { beforeEach, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { cloudHsmSimulator } from "../cloudhsm/simulator.ts";
import { startModule } from "../support/module_process.ts";
import { openTestToken } from "../support/token.ts";
import { until } from "../support/until.ts";

const simulator = cloudHsmSimulator();
const algorithm = signatureAlgorithm("P-256", "SHA-256");
const maker = openTestToken(simulator);
await maker.generateKeyPair("threads", algorithm);
await maker.close(10_000);
beforeEach(() => simulator.order());
/** Of the processes that are started here: the fewest that libuv takes. */
process.env["UV_THREADPOOL_SIZE"] = "1";

/** A module that has `sign()`, with so many sessions. */
function signing(sessions: number, text: string): string {
  const { modulePath, label, pin } = simulator;
  return `
    import { signatureAlgorithm } from "./lib/algorithms.ts";
    import { openTestToken } from "./test/support/token.ts";
    const token = openTestToken(${JSON.stringify({ modulePath, label, pin })}, { sessions: ${sessions} });
    const algorithm = signatureAlgorithm("P-256", "SHA-256");
    const { privateKey } = token.findKeyPair("threads", algorithm);
    const sign = () => token.sign(privateKey, algorithm, Buffer.from("data"));
    ${text}`;
}

/** Of the threads of a process that are called so, the least first (proc(5), the 19th field). */
function niceValues(pid: number | undefined, name: string): string[] {
  // By a program: Deno lets nobody read there without all permissions at once.
  const threads = execFileSync("sh", ["-c", `cat /proc/${pid}/task/*/stat`], { encoding: "utf8" });
  const found = threads.matchAll(new RegExp(`^\\d+ \\(${name}\\) (?:\\S+ ){16}(\\S+)`, "gm"));
  return [...found].map(([, value = ""]) => value).toSorted();
}

test("there is a signature under way for each session, however few threads libuv has", async () => {
  const sessions = 12;
  simulator.order({ calls: [{ on: "C_Sign", hangs: true, times: sessions }] });
  const before = simulator.injected().hung;
  const all = `const signatures = await Promise.all(Array.from({ length: ${sessions} }, sign));`;
  const child = startModule(signing(sessions, `${all} console.log(signatures.length);`));
  await until(() => simulator.injected().hung === before + sessions);
  const cores = Number(execFileSync("getconf", ["_NPROCESSORS_ONLN"]));
  const [own = ""] = niceValues(child.child.pid, "(?!hsm-).*");
  const first = Array(Math.min(cores, sessions)).fill(own);
  const others = Array(Math.max(sessions - cores, 0)).fill("10");
  assert.deepEqual(
    niceValues(child.child.pid, "hsm-sign"),
    [...first, ...others].toSorted(),
    "more than cores stand back",
  );
  simulator.order({ released: true });
  assert.equal((await child.output()).trim(), String(sessions));
  assert.equal(await child.ended, 0);
});

test("threads that lie idle are all woken, as many as there are signatures", async () => {
  const sessions = 12;
  const token = openTestToken(simulator, { sessions });
  const { privateKey } = token.findKeyPair("threads", algorithm) ?? {};
  assert.ok(privateKey);
  const signAll = (): Promise<unknown> =>
    Promise.all(
      Array.from({ length: sessions }, () => token.sign(privateKey, algorithm, Buffer.from("data"))),
    );
  simulator.order({ calls: [{ on: "C_Sign", latencyUs: 100_000 }] });
  await signAll();
  simulator.order({ calls: [{ on: "C_Sign", hangs: true, times: sessions }] });
  const before = simulator.injected().hung;
  const signatures = signAll();
  await until(() => simulator.injected().hung === before + sessions);
  simulator.order({ released: true });
  await signatures;
  await token.close(10_000);
});

test("a process lives until the signatures are told that are under way", async () => {
  simulator.order({ calls: [{ on: "C_Sign", latencyUs: 200_000 }] });
  const child = startModule(signing(2, `sign().then(() => console.log("signed"));`));
  assert.equal((await child.output()).trim(), "signed");
  assert.equal(await child.ended, 0);
});

test("a process that ends waits for the library, which would be cleared away under C_Sign", async () => {
  simulator.order({ calls: [{ on: "C_Sign", hangs: true, times: 4 }] });
  const before = simulator.injected().hung;
  const leave = `process.stderr.write("leaving"); process.exit(3);`;
  const child = startModule(
    signing(4, `for (let i = 0; i < 4; i += 1) void sign(); setTimeout(() => { ${leave} }, 100);`),
  );
  await child.said("leaving");
  await until(() => simulator.injected().hung === before + 4);
  await delay(200);
  assert.equal(child.child.exitCode, null);
  simulator.order({ released: true });
  assert.equal(await child.ended, 3);
});
