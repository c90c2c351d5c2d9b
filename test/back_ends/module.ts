import { writeSync } from "node:fs";
import { after } from "node:test";
import { messageOf } from "../../lib/errors.ts";
import { type ForeignModule, foreignModule } from "./foreign_module.ts";
import { moduleFacts } from "./module_facts.ts";
import { runOn, SERVICE_SUITES, TOKEN_SUITES } from "./suites.ts";

/**
 * `npm run test:module`: the suites on the module that the environment names, and at the end what is worth
 * recording of it.
 */
function main({ backEnd, prefix, destroyKeys }: ForeignModule): void {
  process.stdout.write(`Keys are made with labels that begin ${prefix}, and destroyed at the end.\n`);
  runOn(backEnd, TOKEN_SUITES, SERVICE_SUITES);
  const lines: string[] = [];
  after(() => {
    try {
      lines.push(...moduleFacts(backEnd));
    } finally {
      lines.push(`destroyed: ${destroyKeys()} halves of key pairs that the tests had made`);
    }
  });
  process.on("exit", (code) => {
    writeSync(1, `\nTo record of this module\n\n${lines.map((line) => `  ${line}\n`).join("")}`);
    // At its natural end the process would unload the library, which one with threads need not survive.
    process.exit(code);
  });
}

try {
  main(foreignModule(process.env));
} catch (error) {
  // The service has its own name for it.
  process.stderr.write(`${messageOf(error).replace("HSM_TOKEN_LABEL", "HSM_TEST_TOKEN_LABEL")}\n`);
  process.exitCode = 1;
}
