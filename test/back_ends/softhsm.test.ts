import { softHsmBackEnd } from "../support/back_ends.ts";
import { softHsmSuite } from "./softhsm_only.ts";
import { OWN_TOKEN_SUITES, runOn, TOKEN_SUITES } from "./suites.ts";

runOn(softHsmBackEnd(), TOKEN_SUITES, OWN_TOKEN_SUITES, [softHsmSuite]);
