import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, test } from "node:test";
import * as x509 from "../../lib/credential/x509.ts";
import { lacks } from "../../lib/runtime.ts";
import { environmentOf, everyOtherSetting } from "../cloudhsm/settings.ts";
import { pemOf, selfSignedLeaf } from "../support/pki.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import {
  assertOnly,
  directoryWith,
  doctor,
  doctorStage,
  type Examination,
  examine,
  SECRET,
  snapshot,
  toolsSaying,
} from "./doctor_stage.ts";

const stage = await doctorStage();
const { simulator, onSoftHsm, onSimulator, disguised } = stage;
const scratch = temporaryDirectory();

/** Deno does not let a process read what it may have. */
const THREADS = lacks("paths through /proc") ? "skipped" : "ok";

/** Each check with its status, in the order in which they were made. */
const outline = ({ checks }: Examination): string[] =>
  checks.map(({ check, credential, status }) => [check, credential, status].filter(Boolean).join(" "));

function scratchFile(name: string, text: string, mode = 0o600): string {
  const path = join(scratch, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

describe("where all is well", () => {
  for (const [name, settings] of [
    ["SoftHSM2", onSoftHsm],
    ["the CloudHSM simulator", onSimulator],
  ] as const) {
    test(`${name}: every check is ok, in its order, and nothing is changed`, async () => {
      const before = [snapshot(stage.tokens), snapshot(stage.certificates)];
      const examination = await examine(settings);
      assert.deepEqual(outline(examination), [
        "configuration ok",
        "access ok",
        "module ok",
        "module ok",
        "initialization ok",
        "token ok",
        "pin ok",
        "sessions ok",
        "mechanism seal ok",
        "key seal ok",
        "certificate seal ok",
        "clock ok",
        "clock ok",
        `thread-pool ${THREADS}`,
        "latency seal ok",
        "signature seal ok",
      ]);
      assert.equal(examination.result.code, 0);
      assert.deepEqual([snapshot(stage.tokens), snapshot(stage.certificates)], before);
    });
  }

  test("a person reads lines of at most 80 columns, without colours, and a summary at the end", async () => {
    const { code, stdout, stderr } = await doctor(onSoftHsm);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^ok {7}configuration {3}read from the environment; "seal" with RSA-2048/);
    const end = lacks("paths through /proc")
      ? "No failure, 1 not checked; 15 ok."
      : "All is well: 16 checks.";
    assert.ok(stdout.endsWith(`\n\n${end}\n`), stdout);
    // A path is left whole, to be copied.
    const long = stdout.split("\n").filter((line) => line.length > 80 && !/^ *\S+$/.test(line));
    assert.deepEqual(long, []);
    assert.ok(!stdout.includes("\u001b"));
  });

  test("each of several key pairs is checked, with its own algorithm", async () => {
    const examination = await examine({ ...onSimulator, HSM_KEY_LABEL: "seal,stamp:P-256:SHA-512" });
    assert.equal(examination.result.code, 0);
    assert.deepEqual(outline(examination).slice(8), [
      "mechanism seal ok",
      "mechanism stamp ok",
      "key seal ok",
      "key stamp ok",
      "certificate seal ok",
      "certificate stamp ok",
      "clock ok",
      "clock ok",
      `thread-pool ${THREADS}`,
      "latency seal ok",
      "latency stamp ok",
      "signature seal ok",
      "signature stamp ok",
    ]);
    assert.match(examination.of("signature")[1]?.found ?? "", /ECDSA SHA-512/);
  });

  test("--key-label takes one of them, or another one that is not configured", async () => {
    const two = { ...onSoftHsm, HSM_KEY_LABEL: "seal,stamp:P-256" };
    for (const [settings, label] of [
      [two, "stamp"],
      [{ ...onSoftHsm, HSM_KEY_ALGORITHM: "P-256" }, "stamp"],
    ] as const) {
      const { result, checks } = await examine(settings, "--key-label", label);
      assert.equal(result.code, 0);
      assert.deepEqual([...new Set(checks.map(({ credential }) => credential))], [undefined, label]);
    }
  });
});

describe("configuration", () => {
  test("every mistake is a failure, and what does not depend on them is checked", async () => {
    const examination = await examine({ ...onSoftHsm, PORT: "http", HSM_KEYLABEL: "x", CERT_DAYS: "0" });
    assert.equal(examination.result.code, 2);
    assert.deepEqual(
      examination.of("configuration", "failure").map(({ found }) => /^\w+/.exec(found)?.[0]),
      ["HSM_KEYLABEL", "CERT_DAYS", "PORT"],
    );
    assert.equal(examination.of("signature", "ok").length, 1);
  });

  test("without a library, or without a PIN, the rest is checked, and what is not names what it needs", async () => {
    const examination = await examine({ ...onSoftHsm, HSM_MODULE: "/nowhere.so", HSM_PIN: "" });
    assert.equal(examination.result.code, 2);
    assert.equal(examination.of("configuration", "failure").length, 2);
    assert.equal(examination.of("module", "skipped")[0]?.found, "not checked: needs HSM_MODULE");
    assert.equal(examination.of("latency", "skipped")[0]?.found, "not checked: needs the key pair");
    assert.equal(examination.of("certificate", "ok").length, 1);
    const withoutPin = await examine({ ...onSoftHsm, HSM_PIN: "" });
    assert.equal(withoutPin.result.code, 2);
    assert.equal(withoutPin.of("pin", "skipped")[0]?.found, "not checked: needs a PIN");
    assert.equal(withoutPin.of("sessions", "ok").length, 1);
  });

  test("where the settings of the pairs are wrong, no others are checked in their place", async () => {
    const { result, of } = await examine({ ...onSoftHsm, DIGEST: "SHA-1" });
    assert.equal(result.code, 2);
    for (const check of ["mechanism", "key", "certificate", "latency", "signature"] as const) {
      assert.match(of(check)[0]?.found ?? "", /^not checked: needs the settings of the key pairs/);
    }
    assert.equal(of("pin", "ok").length, 1);
  });

  test("settings of a file count, and one that cannot be read through leaves all unchecked but the clock", async () => {
    const { CERT_DIR, HSM_KEY_LABEL, ...environment } = onSoftHsm;
    const file = scratchFile("good.conf", `CERT_DIR=${CERT_DIR}\nHSM_KEY_LABEL=${HSM_KEY_LABEL}\n`);
    const good = await examine(environment, "--config", file);
    assert.equal(good.result.code, 0);
    assert.ok(good.of("configuration")[0]?.found.includes(file));
    const broken = await examine(onSoftHsm, "--config", scratchFile("broken.conf", "CERT_DIR\n"));
    assert.equal(broken.result.code, 2);
    assert.deepEqual(
      broken.checks.filter(({ status }) => status === "ok").map(({ check }) => check),
      ["clock", "clock"],
    );
  });
});

describe("library", () => {
  test("a file that is no library fails with what the loader says", async () => {
    const path = scratchFile("text.so", "no library");
    const examination = await examine({ ...onSoftHsm, HSM_MODULE: path });
    const { advice } = assertOnly(examination, "module", "failure", /text\.so: file too short/);
    assert.match(advice ?? "", /made for this machine \(linux, /);
    assert.equal(examination.result.code, 1);
    assert.equal(
      examination.of("token", "skipped")[0]?.found,
      "not checked: needs a library that is initialized",
    );
    assert.equal(examination.of("certificate", "ok").length, 1, "it goes on");
  });

  test("a library that lacks another one fails with the name of that", async () => {
    const compile = (...args: string[]): void => void execFileSync("cc", ["-shared", "-fPIC", ...args]);
    const source = scratchFile("empty.c", "int nothing;\n");
    const [missing, library] = [join(scratch, "libmissing.so"), join(scratch, "lacking.so")];
    compile("-o", missing, source);
    compile("-o", library, source, "-Wl,--no-as-needed", `-L${scratch}`, "-lmissing");
    rmSync(missing);
    const examination = await examine({ ...onSoftHsm, HSM_MODULE: library });
    const { advice } = assertOnly(examination, "module", "failure", /libmissing\.so: cannot open/);
    assert.equal(
      advice,
      `Install the package that has libmissing.so; \`ldd ${library}\` lists all that is missing.`,
    );
  });

  test("one that cannot be initialized says why", async () => {
    const examination = await examine({ ...onSoftHsm, SOFTHSM2_CONF: "/nowhere" });
    assertOnly(examination, "initialization", "failure", /CKR_GENERAL_ERROR/);
    assert.equal(examination.of("module", "ok").length, 1);
    assert.equal(examination.result.code, 1);
  });
});

describe("token", () => {
  test("a label that no token has is answered with those that there are", async () => {
    const examination = await examine({ ...onSimulator, HSM_TOKEN_LABEL: "hsm2" });
    assertOnly(examination, "token", "failure", /"hsm2" \(HSM_TOKEN_LABEL\); present: "hsm1"/);
    assert.equal(examination.of("pin", "skipped")[0]?.found, "not checked: needs a token");
    assert.equal(examination.result.code, 1);
  });

  test("the one that is chosen is named, and why", async () => {
    const named = await examine({ ...onSimulator, HSM_TOKEN_LABEL: "hsm1" });
    assert.match(named.of("token")[0]?.found ?? "", /^"hsm1", named by HSM_TOKEN_LABEL, the only one;/);
  });

  test("what a token's name holds does not steer the terminal", async () => {
    const { stdout } = await doctor({ ...disguised, DISGUISE_LABEL: "\u001b[2Jhsm" });
    assert.match(stdout, /"\?\[2Jhsm/);
  });

  for (const [flag, name, found] of [
    ["0x10000", "CKF_USER_PIN_COUNT_LOW", /^a wrong PIN was tried/],
    ["0x80000", "CKF_USER_PIN_TO_BE_CHANGED", /^the user's PIN has to be changed/],
  ] as const) {
    test(`${name} is a warning, and the PIN is tried`, async () => {
      const examination = await examine({ ...disguised, DISGUISE_FLAGS: flag });
      assertOnly(examination, "token", "warning", found);
      assert.ok(examination.of("token")[0]?.found.includes(name));
      assert.equal(examination.of("signature", "ok").length, 1);
      assert.equal(examination.result.code, 0);
    });
  }

  test("its own clock is compared with this machine's", async () => {
    const time = (ahead: number): string =>
      new Date(Date.now() + ahead).toISOString().replaceAll(/\D/g, "").slice(0, 14).padEnd(16, "0");
    const clock = (ahead: number): Promise<Examination> =>
      examine({ ...disguised, DISGUISE_FLAGS: "0x40", DISGUISE_TIME: time(ahead) });
    const [right, wrong] = await Promise.all([clock(0), clock(3_600_000)]);
    assert.match(right.of("clock", "ok")[1]?.found ?? "", /^the token's own clock is \d+ s (behind|ahead)$/);
    assertOnly(wrong, "clock", "warning", /^the token's own clock is 3\d\d\d s ahead/);
  });
});

// One after the other: the token counts refused PINs.
describe("PIN", () => {
  test("a wrong one is tried once, ends with 3, and what needs no login is checked all the same", async () => {
    const before = { logins: simulator.calls("C_Login"), refused: simulator.pinsRefused() };
    const examination = await examine({ ...onSimulator, HSM_PIN: `signer:${SECRET}-wrong` });
    assert.equal(simulator.calls("C_Login") - before.logins, 1);
    assert.equal(simulator.pinsRefused() - before.refused, 1);
    assertOnly(examination, "pin", "failure", /with the PIN of HSM_PIN: CKR_PIN_INCORRECT/);
    assert.equal(examination.result.code, 3);
    assert.deepEqual(outline(examination).slice(6), [
      "pin failure",
      "sessions ok",
      "mechanism seal ok",
      "key seal skipped",
      "certificate seal ok",
      "certificate seal skipped",
      "clock ok",
      "clock ok",
      `thread-pool ${THREADS}`,
      "latency seal skipped",
      "signature seal skipped",
    ]);
    // The right one is still taken, and forgets the wrong one.
    assert.equal((await examine(onSimulator)).result.code, 0);
    assert.equal(simulator.calls("C_Login") - before.logins, 2);
  });

  test("a user who is locked is not tried again and again", async () => {
    const locked = { ...onSimulator, SIM_PIN_TRIES: "0" };
    const before = simulator.calls("C_Login");
    const examination = await examine(locked);
    assertOnly(examination, "pin", "failure", /CKR_PIN_LOCKED/);
    assert.deepEqual([examination.result.code, simulator.calls("C_Login") - before], [3, 1]);
  });

  for (const [flag, name] of [
    ["0x40000", "CKF_USER_PIN_LOCKED"],
    ["0x20000", "CKF_USER_PIN_FINAL_TRY"],
  ] as const) {
    test(`${name} keeps it from being tried at all`, async () => {
      const before = simulator.calls("C_Login");
      const examination = await examine({
        ...onSimulator,
        ...disguised,
        DISGUISE_MODULE: simulator.modulePath,
        HSM_PIN: `signer:${SECRET}`,
        DISGUISE_FLAGS: flag,
      });
      assertOnly(
        examination,
        "pin",
        "failure",
        new RegExp(`^the PIN of HSM_PIN was not tried: .*\\(${name}\\)$`),
      );
      assert.equal(simulator.calls("C_Login"), before);
      assert.equal(examination.result.code, 3);
    });
  }

  test("its file is named by its setting, and others who may read it are a warning", async () => {
    const { HSM_PIN, ...others } = onSoftHsm;
    const mine = scratchFile("pin", `${HSM_PIN}\n`);
    const everybodys = scratchFile("public pin", `${HSM_PIN}\n`, 0o644);
    const [good, bad] = await Promise.all([
      examine({ ...others, HSM_PIN_FILE: mine }),
      examine({ ...others, HSM_PIN_FILE: everybodys }),
    ]);
    assert.equal(good.of("pin", "ok")[0]?.found, "logged in with the PIN of HSM_PIN_FILE");
    assert.deepEqual(good.of("pin", "warning"), []);
    const { advice } = assertOnly(bad, "pin", "warning", /file of HSM_PIN_FILE \(mode 644\)$/);
    assert.ok(advice?.includes(`\`chmod 600 '${everybodys}'\``), advice);
    assert.equal(bad.result.code, 0);
  });
});

describe("sessions and threads", () => {
  test("fewer sessions than wanted are a warning that says how many", async () => {
    const examination = await examine({ ...onSimulator, SIM_SESSIONS: "4" });
    const { advice } = assertOnly(examination, "sessions", "warning", /^3 of 16 at once .*CKR_SESSION_COUNT/);
    assert.match(advice ?? "", /^Set HSM_SESSIONS=3/);
    assert.equal(examination.result.code, 0);
  });

  test("where there is only the one that holds the login, that is a failure", async () => {
    const examination = await examine({ ...onSimulator, SIM_SESSIONS: "1" });
    assert.match(examination.of("sessions", "failure")[0]?.found ?? "", /CKR_SESSION_COUNT/);
    assert.equal(examination.result.code, 1);
  });
});

describe("mechanism", () => {
  for (const [settings, found] of [
    [{ DISGUISE_WITHOUT: "1" }, /^the token does not have CKM_RSA_PKCS$/],
    [{ DISGUISE_SIGNS_NOT: "1" }, /^CKM_RSA_PKCS does not sign here/],
    [{ DISGUISE_SMALLER: "1024" }, /takes keys of 512 to 1024 bits, and RSA-2048 has 2048$/],
  ] as const) {
    test(`${Object.entries(settings).join()} is a failure`, async () => {
      const examination = await examine({ ...disguised, ...settings });
      assertOnly(examination, "mechanism", "failure", found);
      assert.equal(examination.result.code, 1);
    });
  }
});

describe("key", () => {
  test("one that is missing is answered with those that there are, and with provision", async () => {
    const examination = await examine({ ...onSimulator, HSM_KEY_LABEL: "nobody" });
    const [finding] = examination.of("key", "failure");
    assert.match(finding?.found ?? "", /there are "exposed", "seal", "stamp", "twice"$/);
    assert.match(finding?.advice ?? "", /`hsm-signer provision --key-label nobody`\.$/);
    assert.equal(examination.of("latency", "skipped")[0]?.found, "not checked: needs the key pair");
    assert.equal(examination.result.code, 1);
  });

  test("a pair of another kind than the configured one, and a label that two pairs have, are failures", async () => {
    const other = await examine({ ...onSoftHsm, HSM_KEY_LABEL: "stamp" });
    assertOnly(other, "key", "failure", /it is P-256, and HSM_KEY_ALGORITHM says RSA-2048/);
    const twice = await examine({ ...onSoftHsm, HSM_KEY_LABEL: "twice", HSM_KEY_ALGORITHM: "P-256" });
    assert.match(twice.of("key", "failure")[0]?.found ?? "", /2 private keys have this label/);
  });

  test("a pair that may leave the token is a warning", async () => {
    const examination = await examine({
      ...onSoftHsm,
      HSM_KEY_LABEL: "exposed",
      HSM_KEY_ALGORITHM: "P-256",
    });
    assert.match(examination.of("key", "warning")[0]?.found ?? "", /extractable \(CKA_EXTRACTABLE\)$/);
  });
});

describe("certificate", () => {
  const withChain = (pem: string): Promise<Examination> =>
    examine({ ...onSoftHsm, CERT_DIR: directoryWith("seal", pem) });

  test("one that is missing is a failure that names its file", async () => {
    const examination = await examine({ ...onSoftHsm, CERT_DIR: join(scratch, "empty") });
    const { advice } = assertOnly(examination, "certificate", "failure", /^there is no .*empty\/seal\.pem/);
    assert.match(advice ?? "", /`hsm-signer provision`/);
    assert.match(examination.of("signature", "skipped")[0]?.found ?? "", /needs a certificate chain/);
    assert.equal(examination.result.code, 1);
  });

  test("an expired one is a failure, and does not hide what else is wrong", async () => {
    const examination = await withChain(pemOf(await stage.certify("stamp", { days: [-300, -2] })));
    assert.deepEqual(
      examination
        .of("certificate")
        .map(({ status, found }) => `${status} ${/expired|alone|another/.exec(found)}`),
      ["failure expired", "warning alone", "failure another"],
    );
    assert.equal(examination.result.code, 1);
  });

  test("one that expires within 30 days is a warning with the days that are left", async () => {
    const chain = (days: number): Promise<string> =>
      stage.certify("seal", { days: [-10, days] }).then((leaf) => pemOf(leaf, stage.root));
    const [soon, later] = await Promise.all(
      [chain(20.5), chain(31)].map(async (pem) => withChain(await pem)),
    );
    assert.ok(soon !== undefined && later !== undefined);
    assertOnly(soon, "certificate", "warning", /^its certificate chain expires in 20 days$/);
    assert.equal(soon.result.code, 0);
    assert.deepEqual(later.of("certificate", "warning"), []);
  });

  test("one that is not valid yet is a failure, and the clock a warning", async () => {
    const { result, of } = await withChain(
      pemOf(await stage.certify("seal", { days: [2, 300] }), stage.root),
    );
    assert.match(of("certificate", "failure")[0]?.found ?? "", /it is valid from /);
    assert.match(of("clock", "warning")[0]?.found ?? "", /is earlier than the beginning of a certificate/);
    assert.equal(result.code, 1);
  });

  test("a leaf alone, and one with which containers grow too large, are warnings", async () => {
    const large = new x509.Extension("1.3.6.1.4.1.99999.1", false, new Uint8Array(16_000));
    const leaf = await stage.certify("seal", { extensions: [large] });
    const { result, of } = await withChain(pemOf(leaf));
    assert.deepEqual(
      of("certificate", "warning").map(({ advice }) => /import|placeholderSize/.exec(advice ?? "")?.[0]),
      ["import", "placeholderSize"],
    );
    assert.equal(of("signature", "ok").length, 1);
    assert.equal(result.code, 0);
  });

  test("one for another key is a failure", async () => {
    const examination = await withChain(readFileSync(join(stage.certificates, "stamp.pem"), "utf8"));
    assertOnly(examination, "certificate", "failure", /is for another key than the pair "seal"/);
    assert.equal(examination.of("latency", "ok").length, 1);
  });

  test("what is no chain is a failure", async () => {
    const stranger = await selfSignedLeaf();
    const chain = await withChain(pemOf(await stage.certify("seal"), stranger));
    assertOnly(chain, "certificate", "failure", /did not issue it/);
    const garbage = await withChain("no certificate");
    assertOnly(garbage, "certificate", "failure", /holds no certificate in PEM/);
  });
});

describe("clock", () => {
  for (const [answers, status, found] of [
    [{ timedatectl: "no" }, "warning", "not synchronized, says timedatectl"],
    [{ timedatectl: "", chronyc: "Leap status     : Normal" }, "ok", "synchronized, says chronyc"],
    [
      { timedatectl: "", chronyc: "Leap status     : Not synchronised" },
      "warning",
      "not synchronized, says chronyc",
    ],
    [{ timedatectl: "?", chronyc: "" }, "skipped", /^whether it is synchronized: not known/],
  ] as const) {
    test(`${JSON.stringify(answers)} is ${status}, and no failure`, async () => {
      const PATH = `${toolsSaying(answers)}:${process.env["PATH"]}`;
      const { result, of } = await examine({ ...onSoftHsm, PATH });
      const finding = of("clock").at(-1);
      assert.equal(finding?.status, status);
      if (typeof found === "string") assert.equal(finding?.found, found);
      else assert.match(finding?.found ?? "", found);
      assert.equal(result.code, 0);
    });
  }
});

// One after the other: an order is for all processes.
describe("what goes wrong by order", () => {
  afterEach(() => simulator.order());

  test("a C_SignInit that makes a round trip is a warning that names CloudHSM's switch", async () => {
    simulator.order({ calls: [{ on: "C_SignInit", latencyUs: 3_000 }] });
    const examination = await examine(onSimulator);
    const { advice } = assertOnly(examination, "latency", "warning", /C_SignInit makes a round trip/);
    assert.match(advice ?? "", /configure-pkcs11 --disable-validate-key-at-init/);
    assert.equal(examination.result.code, 0);
  });

  test("a token that signs wrongly is a failure", async () => {
    simulator.order({ calls: [{ on: "C_Sign", signs: "wrongly" }] });
    const examination = await examine(onSimulator);
    assertOnly(examination, "signature", "failure", /the token's signature does not verify/);
    assert.equal(examination.result.code, 1);
  });

  test("a token that is away, or busy, is a failure with what it says, and what needs none is checked", async () => {
    simulator.order({ calls: [{ on: "cluster requests", returns: "CKR_DEVICE_ERROR" }] });
    const away = await examine(onSimulator);
    assertOnly(away, "pin", "failure", /CKR_DEVICE_ERROR/);
    assert.deepEqual([away.result.code, away.of("certificate", "ok").length], [1, 1]);
    simulator.order({ calls: [{ on: "C_Sign", returns: "CKR_FUNCTION_FAILED" }] });
    const busy = await examine(onSimulator);
    assert.match(busy.of("latency", "failure")[0]?.found ?? "", /CKR_FUNCTION_FAILED/);
    assert.match(busy.of("signature", "failure")[0]?.found ?? "", /CKR_FUNCTION_FAILED/);
    assert.equal(busy.result.code, 1);
  });

  test("a C_Sign that never returns ends the process, after all that was found", async () => {
    simulator.order({ calls: [{ on: "C_Sign", hangs: true }] });
    const { code, signal, stdout } = await doctor(onSimulator);
    assert.deepEqual([code, signal], [null, "SIGKILL"]);
    assert.match(stdout, /^failure {2}latency {9}seal: the library has not returned/m);
    assert.match(stdout, /\n\n1 failure \(latency of seal\), \d+ not checked; \d+ ok\.\n$/);
  });

  test("a C_SignInit that never returns does the same, and a script's document is whole", async () => {
    simulator.order({ calls: [{ on: "C_SignInit", hangs: true }] });
    const examination = await examine(onSimulator);
    assertOnly(examination, "latency", "failure", /has not returned from a call for 10 s/);
    assert.equal(examination.result.signal, "SIGKILL");
    assert.deepEqual(outline(examination).slice(-3), [
      `thread-pool ${THREADS}`,
      "latency seal failure",
      "signature seal skipped",
    ]);
  });

  for (const [index, settings] of everyOtherSetting().entries()) {
    test(`all is well on another setting of what is not documented (${index + 1})`, async () => {
      const examination = await examine({ ...onSimulator, ...environmentOf(settings) });
      assert.equal(examination.result.code, 0, examination.result.stdout);
      assert.deepEqual(
        examination.of("signature").map(({ status }) => status),
        ["ok"],
      );
    });
  }
});
