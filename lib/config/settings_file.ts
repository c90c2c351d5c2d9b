/** What a settings file says. */
export interface SettingsFile {
  readonly values: Readonly<Record<string, string>>;
  /** One for each line that is wrong, without the value, which may be a secret in the wrong place. */
  readonly mistakes: readonly string[];
}

const SETTING = /^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$/;
const QUOTED = /^(["'])(.*)\1$/;

/**
 * Reads a file of settings, one `NAME=value` a line, as systemd's EnvironmentFile has it (systemd.exec(5)) as
 * far as one line goes: empty lines and those that begin with `#` or `;` are passed over, a value may stand in
 * quotes, nothing in it is expanded. A line that is anything else is a mistake, since a setting that is lost
 * without a word is found at night.
 *
 * @param name of the file, for the mistakes
 */
export function parseSettingsFile(text: string, name: string): SettingsFile {
  const values = new Map<string, string>();
  const mistakes: string[] = [];
  for (const [index, raw] of text
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .entries()) {
    const line = raw.trim();
    if (line === "" || /^[#;]/.test(line)) continue;
    const [, setting, value = ""] = SETTING.exec(line) ?? [];
    const at = `${name}, line ${index + 1},`;
    const [, , inQuotes] = QUOTED.exec(value) ?? [];
    if (setting === undefined) mistakes.push(`${at} does not read NAME=value.`);
    else if (inQuotes === undefined && /^["']/.test(value))
      mistakes.push(`${at} has a quote without its end.`);
    else if (values.has(setting)) mistakes.push(`${at} sets ${setting} a second time.`);
    else values.set(setting, inQuotes ?? value);
  }
  return { values: Object.fromEntries(values), mistakes };
}
