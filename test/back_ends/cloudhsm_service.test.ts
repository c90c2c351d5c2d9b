import { cloudHsmBackEnd } from "../support/back_ends.ts";
import { OWN_SERVICE_SUITES, runOn, SERVICE_SUITES } from "./suites.ts";

runOn(cloudHsmBackEnd(), SERVICE_SUITES, OWN_SERVICE_SUITES);
