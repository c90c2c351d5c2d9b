import type { CommandContext } from "../command.ts";
import type { Config } from "../config/config.ts";
import { Token } from "../hsm/token.ts";
import type { Log } from "../log.ts";
import { endProcess } from "../runtime.ts";

/** A command does one thing at a time. */
const SESSIONS = 2;
const CLOSE_MS = 2_000;

/**
 * Opens the token for a command, and logs out when the command is done. A process in which a call hangs in the
 * HSM ends itself then.
 *
 * @throws SignerError what `Token.open` throws, and what `use` throws
 */
export async function withToken<T>(
  context: CommandContext,
  { token: options }: Config,
  use: (token: Token, log: Log) => Promise<T>,
): Promise<T> {
  const log = tellingLog(context);
  const token = Token.open({ ...options, sessions: SESSIONS, log });
  try {
    return await use(token, log);
  } finally {
    if (!(await token.close(CLOSE_MS))) {
      context.tell("A call hangs inside the PKCS#11 library; the process ends itself.");
      endProcess(1, true);
    }
  }
}

/** What the parts of the service report as events, in words for somebody who watches a command. */
const WORDS: Readonly<Record<string, (fields: Record<string, unknown>) => string>> = {
  "key.generating": ({ label, algorithm }) => `The token generates the ${algorithm} key pair "${label}" …`,
  "key.waiting": ({ seconds }) =>
    `The new key cannot be used yet, its cluster is not through with it: ${seconds} s …`,
  "key.made_elsewhere": ({ label }) => `Another process has made the key pair "${label}"; it is taken.`,
  "key.exposed": ({ label, warning }) => `Warning: of "${label}", ${warning}.`,
  "chain.leaf_alone": ({ path, advice }) => `Warning: ${path} holds the leaf alone; ${advice}.`,
};

/** What is told by the result. */
const SILENT: ReadonlySet<string> = new Set(["key.generated", "certificate.created"]);

function tellingLog(context: CommandContext): Log {
  return (level, event, fields = {}) => {
    if (SILENT.has(event)) return;
    const words = WORDS[event]?.(fields);
    if (words !== undefined) context.tell(words);
    else if (level !== "info") context.tell(`${event} ${JSON.stringify(fields)}`);
  };
}
