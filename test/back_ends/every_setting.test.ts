import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { RawLibrary } from "../cloudhsm/raw_library.ts";
import { CODE_SWITCHES, type CodeSwitch, everyOtherSetting } from "../cloudhsm/settings.ts";
import { type CloudHsmBackEnd, cloudHsmBackEnd } from "../support/back_ends.ts";
import { callsPerSignatureSuite } from "./calls_per_signature.ts";
import { cloudHsmFaultsSuite } from "./cloudhsm_faults.ts";
import { refusedPinSuite } from "./refused_pin.ts";
import { returnCodesSeen } from "./return_codes_seen.ts";
import { runOn, TOKEN_SUITES } from "./suites.ts";

/** Where the documentation does not say what CloudHSM answers, the service must not depend on it. */
const whole = cloudHsmBackEnd();
const settings = everyOtherSetting();

test("each value of each switch is that of a setting, or the standard", () => {
  for (const [name, codes] of Object.entries(CODE_SWITCHES)) {
    const others = new Set(settings.map((setting) => setting.codes?.[name as CodeSwitch]));
    assert.deepEqual([...others].sort(), codes.slice(1).sort(), name);
  }
  for (const name of ["validatesKeyAtInit", "checksKeyAvailability"] as const) {
    assert.equal(new Set(settings.map((setting) => setting[name])).size, 2, name);
  }
});

for (const [index, setting] of settings.entries()) {
  const backEnd: CloudHsmBackEnd = {
    ...whole,
    name: `CloudHSM simulator, setting ${index + 1}`,
    algorithms: whole.algorithms.filter(({ key }) => ["RSA-2048", "P-256"].includes(key.name)),
    keyLabel: (name) => `${name}, setting ${index + 1}`,
  };
  describe(`setting ${index + 1}`, () => {
    before(() => void whole.simulator.configure(setting));
    runOn(backEnd, TOKEN_SUITES, [
      callsPerSignatureSuite,
      refusedPinSuite,
      () => cloudHsmFaultsSuite(backEnd),
    ]);

    test("a module is found to answer as this one does", () => {
      const raw = new RawLibrary({ ...backEnd, configure: () => whole.simulator.configure(setting) });
      for (const { rule, what, code } of returnCodesSeen(raw, backEnd.pin)) {
        assert.equal(code, setting.codes?.[rule as CodeSwitch] ?? rule, what);
      }
    });
  });
}
