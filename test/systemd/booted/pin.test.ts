import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { EXIT } from "../../../lib/exit_codes.ts";
import { Installation } from "../installation.ts";

const WRONG = "signer:not the one";

describe("A PIN that the token refuses", () => {
  let installation: Installation;

  before(async () => {
    installation = await Installation.make();
    await installation.writePin(WRONG);
  });
  after(() => installation.stop());

  const refusals = (): number => installation.simulator.pinsRefused();

  async function startFails(): Promise<void> {
    const { code } = await installation.machine.try("systemctl", "start", "hsm-signer");
    assert.notEqual(code, 0);
    assert.equal(await installation.property("ExecMainStatus"), String(EXIT.pinRefused));
    assert.equal(await installation.property("ActiveState"), "failed");
  }

  test("is tried once, and systemd does not start the service again", async () => {
    await startFails();
    assert.equal(refusals(), 1);
    assert.match(await installation.property("StatusText"), /PIN.*"hsm-pin".*CKR_PIN_INCORRECT/);
    // Several times as long as the wait before a restart.
    await delay(3_000);
    assert.equal(await installation.property("ActiveState"), "failed");
    assert.equal(await installation.property("NRestarts"), "0");
    assert.equal(refusals(), 1);
  });

  test("is not tried again, whatever starts the service, and the reason is told", async () => {
    for (let attempt = 0; attempt < 3; attempt += 1) await startFails();
    assert.equal(refusals(), 1);
    assert.match(await installation.property("StatusText"), /refused the PIN.*not tried again/);
    assert.match(
      await installation.journal(),
      /^hsm-signer: The token refused the PIN in \/etc\/hsm-signer\/pin/m,
    );
  });

  test("is not tried again by connections to the socket", async () => {
    await installation.systemctl("start", "hsm-signer.socket");
    for (let attempt = 0; attempt < 5; attempt += 1) {
      await fetch(`${installation.url}/healthz`, { signal: AbortSignal.timeout(500) }).catch(() => {});
    }
    await installation.systemctl("stop", "hsm-signer.socket", "hsm-signer.service");
    assert.equal(refusals(), 1);
  });

  test("is tried again once it was corrected, and works then", async () => {
    await installation.writePin(installation.simulator.pin);
    await installation.systemctl("start", "hsm-signer");
    assert.equal(await installation.isReady(), true);
    assert.equal(refusals(), 1);
    await installation.systemctl("restart", "hsm-signer");
    assert.equal(await installation.isReady(), true);
  });

  test("is in no environment, argument or message", async () => {
    const pids = await installation.processes();
    for (const pid of pids) {
      const seen = await installation.machine.run("cat", `/proc/${pid}/environ`, `/proc/${pid}/cmdline`);
      assert.doesNotMatch(seen, new RegExp(installation.simulator.pin));
    }
    const journal = await installation.journal();
    assert.ok(!journal.includes(WRONG) && !journal.includes(installation.simulator.pin));
  });
});

describe("A configuration that is wrong", () => {
  let installation: Installation;

  before(async () => {
    installation = await Installation.make();
    await installation.configure({ PORT: "many" });
  });
  after(() => installation.stop());

  test("stops the start once, with its mistakes in the status", async () => {
    const { code } = await installation.machine.try("systemctl", "start", "hsm-signer");
    assert.notEqual(code, 0);
    assert.equal(await installation.property("ExecMainStatus"), String(EXIT.usage));
    assert.match(await installation.property("StatusText"), /^PORT must be/);
    await delay(2_000);
    assert.equal(await installation.property("NRestarts"), "0");
  });
});

describe("An HSM that is away at the start", () => {
  let installation: Installation;

  before(async () => {
    installation = await Installation.make();
  });
  after(() => installation.stop());

  test("is tried again until it is there", async () => {
    installation.order({ disconnected: { initializeFails: true } });
    await installation.machine.try("systemctl", "start", "hsm-signer");
    await installation.untilProperty("NRestarts", /^[3-9]$/);
    await installation.untilProperty("StatusText", /^Cannot initialize the PKCS#11 library/);
    installation.order();
    await installation.untilProperty("ActiveState", /^active$/);
    assert.equal(await installation.isReady(), true);
  });
});
