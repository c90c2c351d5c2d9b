import {
  chmodSync,
  chownSync,
  closeSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  statSync,
} from "node:fs";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { CommandContext, CommandOptions } from "../command.ts";
import { readSettings } from "../config/config.ts";
import { type Grant, parseGrants, TOKEN_HASH } from "../config/grants.ts";
import { ConfigError } from "../config/settings.ts";
import { removeQuietly, syncDirectory, writeDurably } from "../durable_file.ts";
import { messageOf, SignerError } from "../errors.ts";

/** How long another command may take to be done with the file, in milliseconds. */
const LOCK_LIMIT_MS = 5_000;
const LOCK_DELAY_MS = 25;

/**
 * Where the hashes of bearer tokens stand. Nothing else of the configuration need be there.
 *
 * @throws ConfigError
 */
export function tokensFileOf({ environment, sources }: CommandContext, { config }: CommandOptions): string {
  const settings = readSettings(
    { ...environment, ...(config === undefined ? {} : { CONFIG_FILE: config }) },
    sources,
  );
  const path = settings.text("AUTH_TOKENS_FILE");
  if (path === undefined) {
    settings.mistake("AUTH_TOKENS_FILE must name the file that the hashes of tokens stand in, one a line.");
  }
  settings.throwMistakes();
  return path ?? "";
}

/**
 * The tokens of a file; none where there is no such file.
 *
 * @throws ConfigError that names every line that is wrong; SignerError when it cannot be read
 */
export function readTokens(path: string): readonly Grant[] {
  return parsed(path, textOf(path));
}

/**
 * Changes a file of tokens, so that whoever reads it sees all of the change or nothing, and two who do so at once
 * do it one after the other. What a person wrote beside (comments, order) stays.
 *
 * @param edit makes the new text out of the former one and its tokens; throws to leave it as it is
 * @throws SignerError when the file cannot be written; and what `edit` throws
 */
export async function editTokens(
  path: string,
  edit: (text: string, tokens: readonly Grant[]) => string,
): Promise<void> {
  const place = placeOf(path);
  await withLock(`${place}.lock`, () => {
    const text = textOf(place);
    replace(place, edit(text, parsed(path, text)));
  });
}

/** Where a file is, whatever links lead to it: there is one lock for all of its names. */
function placeOf(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return path;
    throw failure("write", path, error);
  }
}

function parsed(path: string, text: string): readonly Grant[] {
  const { grants, mistakes } = parseGrants(text, path, TOKEN_HASH);
  if (mistakes.length > 0) throw new ConfigError(mistakes);
  return grants;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return "";
    throw failure("read", path, error);
  }
}

/** A lock that a crash leaves behind has to be taken away by a person, who sees that nobody writes. */
async function withLock(lock: string, work: () => void): Promise<void> {
  for (const start = performance.now(); ; await delay(LOCK_DELAY_MS)) {
    try {
      closeSync(openSync(lock, "wx"));
      break;
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw failure("write", lock, error);
      if (performance.now() - start > LOCK_LIMIT_MS) {
        throw new SignerError(
          "ERR_CONFIGURATION",
          `Cannot change the tokens: another command is at it; if none is running, remove ${lock}`,
        );
      }
    }
  }
  try {
    work();
  } finally {
    removeQuietly(lock);
  }
}

/** The new file belongs to whom the former one did, so that the service can read it whoever ran the command. */
function replace(path: string, text: string): void {
  const former = statSync(path, { throwIfNoEntry: false });
  const temporary = `${path}.new`;
  try {
    removeQuietly(temporary);
    writeDurably(temporary, text);
    if (former !== undefined) {
      chmodSync(temporary, former.mode);
      if (former.uid !== process.getuid?.() || former.gid !== process.getgid?.()) {
        chownSync(temporary, former.uid, former.gid);
      }
    }
    renameSync(temporary, path);
    syncDirectory(dirname(path));
  } catch (error) {
    removeQuietly(temporary);
    throw failure("write", path, error);
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

function failure(action: string, path: string, error: unknown): SignerError {
  return new SignerError(
    "ERR_CONFIGURATION",
    `Cannot ${action} ${path} (AUTH_TOKENS_FILE): ${messageOf(error)}`,
    {
      cause: error,
    },
  );
}
