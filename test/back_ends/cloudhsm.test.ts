import { cloudHsmBackEnd } from "../support/back_ends.ts";
import { cloudHsmFaultsSuite } from "./cloudhsm_faults.ts";
import { cloudHsmSuite } from "./cloudhsm_only.ts";
import { OWN_TOKEN_SUITES, runOn, TOKEN_SUITES } from "./suites.ts";

const backEnd = cloudHsmBackEnd();
runOn(backEnd, TOKEN_SUITES, OWN_TOKEN_SUITES, [
  () => cloudHsmSuite(backEnd),
  () => cloudHsmFaultsSuite(backEnd),
]);
