import { existsSync, readFileSync } from "node:fs";
import { runCommandLine } from "./lib/cli/command_line.ts";
import type { CommandContext } from "./lib/command.ts";
import { AUDIT_VERIFY } from "./lib/commands/audit_verify.ts";
import { DOCTOR } from "./lib/commands/doctor.ts";
import { IMPORT } from "./lib/commands/import.ts";
import { LIST } from "./lib/commands/list.ts";
import { PROVISION } from "./lib/commands/provision.ts";
import { REQUEST } from "./lib/commands/request.ts";
import { SERVE } from "./lib/commands/serve.ts";
import { TOKEN_CREATE } from "./lib/commands/token_create.ts";
import { TOKEN_LIST } from "./lib/commands/token_list.ts";
import { TOKEN_REVOKE } from "./lib/commands/token_revoke.ts";
import { PIN_VARIABLES } from "./lib/config/pin.ts";
import { distinguishedNameFault } from "./lib/credential/distinguished_name.ts";
import { endProcess } from "./lib/runtime.ts";

/** `hsm-signer`: what the command line asks for; without a command, the service. README.md says the exit codes. */

const context: CommandContext = {
  environment: { ...process.env },
  sources: { fileExists: existsSync, readFile: (path) => readFileSync(path, "utf8"), distinguishedNameFault },
  now: () => new Date(),
  print: (text) => void process.stdout.write(`${text.trimEnd()}\n`),
  tell: (text) => void process.stderr.write(`hsm-signer: ${text}\n`),
};

function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8"));
  return String(version);
}

// Nothing that this process starts, and no dump of its environment from inside, shall show the PIN.
for (const name of PIN_VARIABLES) delete process.env[name];
// Whoever read the output went away; that is no reason to stop signing.
process.stdout.on("error", () => {});

const code = await runCommandLine(process.argv.slice(2), {
  commands: [
    ...[SERVE, DOCTOR, PROVISION, REQUEST, IMPORT, LIST, AUDIT_VERIFY],
    ...[TOKEN_CREATE, TOKEN_LIST, TOKEN_REVOKE],
  ],
  standard: SERVE.name,
  version: packageVersion(),
  context,
});
if (code !== undefined) endProcess(code);
