import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { nodeWords } from "../../../dev/runtime_command.ts";
import { signatureAlgorithm } from "../../../lib/algorithms.ts";
import { judgeSignedData } from "../../support/judges.ts";
import { SteadyLoad } from "../../support/steady_load.ts";
import { until } from "../../support/until.ts";
import { Installation } from "../installation.ts";

const algorithm = signatureAlgorithm("P-256", "SHA-256");
/** Of Installation's drop-in. */
const WATCHDOG_US = 6_000_000;

describe("The service under systemd", () => {
  let installation: Installation;

  before(async () => {
    installation = await Installation.make();
    await installation.systemctl("start", "hsm-signer");
  });
  after(() => installation.stop());

  const restarts = async (): Promise<number> => Number(await installation.property("NRestarts"));

  /** Until systemd has started it again, and it signs. */
  async function untilBack(former: number): Promise<void> {
    await until(async () => {
      const pid = await installation.mainPid();
      return pid !== 0 && pid !== former && (await installation.isReady());
    });
  }

  /** Sends requests while something is done, and finds no wrong signature among the answers. */
  async function underLoad(use: (load: SteadyLoad) => Promise<void>): Promise<void> {
    const load = new SteadyLoad({ url: installation.url, algorithm, concurrency: 8 });
    try {
      await load.nextSigned();
      await use(load);
      await load.nextSigned();
    } finally {
      const { wrong } = await load.stop();
      assert.equal(wrong, 0);
    }
  }

  test("is started when it signs, not before", async () => {
    assert.equal(await installation.property("ActiveState"), "active");
    assert.equal(await installation.isReady(), true);
    assert.equal(await installation.property("StatusText"), `Signing, on ${installation.url}`);
    const journal = await installation.journal();
    assert.ok(journal.indexOf('"event":"listening"') < journal.indexOf("Started hsm-signer.service"));
  });

  test("signs what outside programs find valid", async () => {
    const content = randomBytes(100_000);
    const answer = await installation.sign(createHash("sha256").update(content).digest());
    const p7 = Buffer.from(await answer.arrayBuffer());
    for (const { judge, valid, text } of judgeSignedData(
      p7,
      content,
      await installation.certificate(),
      algorithm,
    )) {
      assert.ok(valid, `${judge}: ${text}`);
    }
  });

  test("has the files for browsers", async () => {
    assert.equal((await fetch(`${installation.url}/client.js`)).status, 200);
  });

  test("is one process of Node.js and the shell that tells systemd, and no compiler is installed", async () => {
    const { machine } = installation;
    const programs = (await installation.processes()).map((pid) =>
      machine.run("readlink", `/proc/${pid}/exe`),
    );
    const names = (await Promise.all(programs)).map((path) => path.trim());
    assert.deepEqual(names.toSorted(), ["/usr/bin/dash", "/usr/local/bin/node"]);
    const compilers = ["-name", "*esbuild*", "-o", "-name", "tsx", "-o", "-name", "typescript"];
    assert.equal(await machine.run("find", "/opt/hsm-signer", ...compilers), "");
  });

  test("has as much memory as elsewhere, and threads that give way, in spite of the sandbox", async () => {
    const { machine } = installation;
    const pid = await installation.mainPid();
    const words = (await machine.run("cat", `/proc/${pid}/cmdline`)).split("\0");
    const memory = nodeWords().filter((word) => /^--max/.test(word));
    assert.ok(memory.length > 0 && memory.every((word) => words.includes(word)), words.join(" "));
    // So large that a thread hashes it.
    const document = new Uint8Array(2 ** 20);
    const headers = { "content-type": "application/pdf" };
    const answer = await fetch(`${installation.url}/sign`, { method: "POST", headers, body: document });
    assert.equal(answer.status, 200);
    const threads = await machine.shell(`cat /proc/${pid}/task/*/stat`);
    // proc(5): the name, and as the 19th field the nice value.
    const nice = [...threads.matchAll(/\(hsm-digest\) (?:\S+ ){16}(\S+)/g)].map(([, value]) => value);
    assert.ok(nice.length > 0 && nice.every((value) => value === "15"), threads);
  });

  test("leaves no core, and gets no right that it was not given", async () => {
    const { machine } = installation;
    const pid = await installation.mainPid();
    assert.match(await machine.run("grep", "Max core file size", `/proc/${pid}/limits`), /size +0 +0 +bytes/);
    assert.match(await machine.run("cat", `/proc/${pid}/coredump_filter`), /^0+$/m);
    assert.match(await machine.run("grep", "CapBnd", `/proc/${pid}/status`), /\t0+$/m);
    assert.match(await machine.run("grep", "NoNewPrivs", `/proc/${pid}/status`), /\t1$/m);
  });

  test("is back after kill -9 under load", async () => {
    const pid = await installation.mainPid();
    await underLoad(async () => {
      await installation.signal("KILL", pid);
      await untilBack(pid);
    });
    assert.equal(await restarts(), 1);
  });

  test("goes on telling systemd when somebody ends the shell that does so", async () => {
    const pid = await installation.mainPid();
    const shell = (await installation.processes()).find((other) => other !== pid);
    await installation.signal("KILL", shell ?? 0);
    await installation.configure({ CERT_DAYS: "x" });
    await installation.machine.try("systemctl", "reload", "hsm-signer");
    await installation.untilProperty("StatusText", /CERT_DAYS/);
    await installation.configure();
    await installation.systemctl("reload", "hsm-signer");
    assert.equal(await installation.mainPid(), pid);
  });

  test("is ended and started again when its event loop hangs", async () => {
    const [pid, former] = [await installation.mainPid(), await restarts()];
    await installation.signal("STOP", pid);
    await untilBack(pid);
    assert.equal(await restarts(), former + 1);
    assert.match(await installation.journal(), /Watchdog timeout/);
  });

  test("is ended and started again when every session hangs inside the module", async () => {
    const [pid, former, logins] = [await installation.mainPid(), await restarts(), installation.logins];
    installation.order({ calls: [{ on: "C_Sign", hangs: true, times: 4 }] });
    const load = new SteadyLoad({ url: installation.url, algorithm, concurrency: 8 });
    await installation.untilProperty(
      "StatusText",
      /calls hang inside the module in all 4 sessions.*the watchdog ends/,
    );
    await untilBack(pid);
    await load.nextSigned();
    assert.equal((await load.stop()).wrong, 0);
    assert.equal(await restarts(), former + 1);
    assert.equal(installation.logins, logins + 1);
    assert.match(await installation.journal(), /"event":"watchdog.withheld"/);
  });

  test("is left alone while the HSM is merely away, and logs in once when it is back", async () => {
    const [pid, former, logins] = [await installation.mainPid(), await restarts(), installation.logins];
    const heartbeat = async (): Promise<number> =>
      Number(await installation.property("WatchdogTimestampMonotonic"));
    await underLoad(async () => {
      installation.order({ disconnected: { initializeFails: true } });
      await installation.untilProperty("StatusText", /^Not signing: /);
      const start = await heartbeat();
      await until(async () => (await heartbeat()) - start > 2 * WATCHDOG_US);
      installation.order();
      await installation.untilProperty("StatusText", /^Signing, /);
    });
    assert.equal(await installation.mainPid(), pid);
    assert.equal(await restarts(), former);
    assert.equal(installation.logins, logins + 1);
  });

  test("is left alone while a call that brings the HSM back blocks the event loop", async () => {
    const [pid, former] = [await installation.mainPid(), await restarts()];
    const recoveries = async (): Promise<number> =>
      (await installation.journal()).split('"event":"token.recovered"').length;
    const before = await recoveries();
    await underLoad(async () => {
      const latencyUs = 1.5 * WATCHDOG_US;
      installation.order({ disconnected: { forMs: 1 }, calls: [{ on: "C_Login", latencyUs, times: 1 }] });
      await until(async () => (await recoveries()) > before);
    });
    assert.equal(await installation.mainPid(), pid);
    assert.equal(await restarts(), former);
  });

  test("answers what is in flight when it is stopped, and ends within its limit", async () => {
    installation.order({ calls: [{ on: "C_Sign", latencyUs: 1_000_000 }] });
    const calls = installation.simulator.calls("C_Sign");
    const answer = installation.sign(randomBytes(32));
    await until(() => installation.simulator.calls("C_Sign") > calls);
    await installation.systemctl("stop", "hsm-signer");
    assert.equal((await answer).status, 200);
    installation.order();
    assert.equal(await installation.property("Result"), "success");
    assert.equal(await installation.property("ExecMainStatus"), "0");
  });

  test("ends itself within its limit when a call hangs inside the module while it is stopped", async () => {
    await installation.systemctl("start", "hsm-signer");
    installation.order({ calls: [{ on: "C_Sign", hangs: true, times: 1 }] });
    const { hung } = installation.simulator.injected();
    const abort = new AbortController();
    const answer = installation.sign(randomBytes(32), abort.signal);
    await until(() => installation.simulator.injected().hung > hung);
    abort.abort();
    await answer.catch(() => {});
    await installation.systemctl("stop", "hsm-signer");
    assert.equal(await installation.property("Result"), "signal", "systemd did not have to end it");
    assert.equal(await installation.mainPid(), 0);
  });
});
