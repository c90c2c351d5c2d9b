import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Installation } from "../installation.ts";
import { CHECKOUT, Machine } from "../machine.ts";

/** Of `systemd-analyze security`, from 0 (nothing is exposed) to 10. */
const MAX_EXPOSURE = 1.5;
const UNITS = ["hsm-signer.service", "hsm-signer.socket"];

/** Everything that was there before, and everything that will be: of each file its kind, owner and mode. */
async function inventory(machine: Machine): Promise<string[]> {
  const places = "/etc /opt /usr/local /usr/lib/systemd /var/lib /run/systemd/system /root /home";
  // What systemd and the tools for users keep for themselves.
  const others =
    "! -path '/var/lib/systemd/*' ! -path '/etc/*-' ! -path '/etc/.pwd.lock' ! -path '/var/lib/private'";
  return (await machine.shell(`find ${places} ${others} -printf '%p %y %U:%G %m %l\\n' | sort`)).split("\n");
}

/** The lines that are in one inventory alone. */
function difference(one: readonly string[], other: readonly string[]): string[] {
  return [...one.filter((line) => !other.includes(line)), ...other.filter((line) => !one.includes(line))];
}

describe("An installation", () => {
  let installation: Installation;

  before(async () => {
    installation = await Installation.make();
  });
  after(() => installation.stop());

  const release = async (): Promise<string> =>
    (await installation.machine.run("readlink", "/opt/hsm-signer/current")).trim();

  test("gives systemd nothing to complain about", async () => {
    const { code, stdout, stderr } = await installation.machine.try("systemd-analyze", "verify", ...UNITS);
    assert.equal(stdout + stderr, "");
    assert.equal(code, 0);
  });

  test("exposes no more than it must", async () => {
    const unit = `/usr/local/lib/systemd/system/hsm-signer.service`;
    const text = await installation.machine.run(
      "systemd-analyze",
      "security",
      "--offline=true",
      "--no-pager",
      unit,
    );
    const [, exposure] = /Overall exposure level for hsm-signer\.service: (\d+\.\d)/.exec(text) ?? [];
    assert.ok(Number(exposure) <= MAX_EXPOSURE, text);
  });

  test("is owned by root, and nobody else can change it", async () => {
    const { machine } = installation;
    const loose = ["(", "!", "-user", "root", "-o", "-perm", "/022", ")", "!", "-type", "l"];
    assert.equal(await machine.run("find", "/opt/hsm-signer", "/usr/local/lib/systemd", ...loose), "");
    assert.equal(await machine.run("stat", "-c", "%a %U:%G", "/etc/hsm-signer/pin"), "600 root:root\n");
  });

  test("has a command that does as the service does, with its user and its PIN", async () => {
    const { machine } = installation;
    assert.match(await machine.run("hsm-signer", "provision", "--json"), /"key":"found"/);
    assert.equal(
      await machine.run("stat", "-c", "%U", "/var/lib/hsm-signer/certs/hsm-signer.pem"),
      "hsm-signer\n",
    );
    assert.equal((await machine.try("hsm-signer", "nonsense")).code, 2);
    assert.match(
      await machine.run("hsm-signer", "doctor"),
      /^ok +pin +logged in with the PIN of The systemd/m,
    );
    await machine.shell("hsm-signer import - </var/lib/hsm-signer/certs/hsm-signer.pem");
    const unprivileged = ["--reuid=nobody", "--clear-groups", "hsm-signer", "--version"];
    assert.match(await machine.run("setpriv", ...unprivileged), /^\d+\.\d+\.\d+/);
  });

  test("that is made again keeps configuration, PIN and certificates, and the service runs the new release", async () => {
    const { machine } = installation;
    await installation.systemctl("enable", "--now", "hsm-signer");
    const kept = ["/etc/hsm-signer", "/var/lib/hsm-signer"];
    const contents = (): Promise<string> =>
      machine.shell(`find ${kept.join(" ")} -type f -exec sha256sum {} + | sort`);
    const [before, former, pid] = [await contents(), await release(), await installation.mainPid()];
    await installation.install();
    assert.equal(await contents(), before);
    assert.notEqual(await release(), former);
    assert.notEqual(await installation.mainPid(), pid);
    assert.equal(await installation.isReady(), true);
    assert.match(
      await machine.run("cat", `/proc/${await installation.mainPid()}/cmdline`),
      new RegExp(await release()),
    );
    await installation.install();
    const releases = await machine.shell("ls /opt/hsm-signer/releases | wc -l");
    assert.equal(
      releases,
      "2\n",
      "the former one is there for a service that still runs, and none before it",
    );
  });

  test("refuses a Node.js that cannot run the sources by itself, or that somebody else could change", async () => {
    const { machine } = installation;
    const former = await release();
    await machine.shell(
      "printf '#!/bin/sh\\nexit 1\\n' >/opt/old-node && chmod +x /opt/old-node && cp /opt/old-node /tmp/node",
    );
    for (const [node, reason] of [
      ["/opt/old-node", /22\.18 or later/],
      ["/tmp/node", /cannot use \/tmp\/node/],
    ] as const) {
      const { code, stderr } = await machine.try(`${CHECKOUT}/systemd/install`, "--node", node);
      assert.equal(code, 1);
      assert.match(stderr, reason);
    }
    assert.equal(await release(), former);
    await machine.run("rm", "/opt/old-node");
  });
});

describe("An uninstallation", () => {
  let installation: Installation;
  let clean: string[];

  before(async () => {
    const machine = await Machine.boot();
    clean = await inventory(machine);
    await machine.stop();
    installation = await Installation.make();
    await installation.systemctl("enable", "--now", "hsm-signer.socket", "hsm-signer.service");
  });
  after(() => installation.stop());

  const uninstall = (...options: string[]): ReturnType<Machine["try"]> =>
    installation.machine.try(`${CHECKOUT}/systemd/uninstall`, ...options);
  const done = { code: 0, stdout: "", stderr: "" };

  test("does nothing while there are certificates of which nobody has said that they may go", async () => {
    const before = await inventory(installation.machine);
    const { code, stderr } = await uninstall();
    assert.equal(code, 1);
    assert.match(stderr, /\/var\/lib\/hsm-signer\/certs\/hsm-signer\.pem/);
    assert.deepEqual(difference(await inventory(installation.machine), before), []);
    assert.equal(await installation.isReady(), true);
  });

  test("can keep the configuration, with which the next installation signs at once", async () => {
    assert.deepEqual(await uninstall("--keep-config"), done);
    assert.equal(
      await installation.machine.shell("systemctl list-units --all 'hsm-signer*' --plain --no-legend"),
      "",
    );
    await installation.install();
    await installation.systemctl("enable", "--now", "hsm-signer");
    assert.equal(await installation.isReady(), true);
  });

  test("leaves nothing, twice", async () => {
    // What is installed has the script, too: nobody needs the checkout for it.
    const installed = "/opt/hsm-signer/current/systemd/uninstall";
    assert.deepEqual(await installation.machine.try(installed, "--delete-data"), done);
    assert.deepEqual(await uninstall("--delete-data"), done);
    assert.deepEqual(difference(await inventory(installation.machine), clean), []);
    const { stdout: units } = await installation.machine.try(
      "systemctl",
      "list-unit-files",
      "hsm-signer*",
      "--no-legend",
    );
    assert.equal(units, "");
    assert.equal((await installation.machine.try("getent", "passwd", "hsm-signer")).code, 2);
    assert.equal((await installation.machine.try("find", "/", "-xdev", "-user", "hsm-signer")).code, 1);
  });
});
