import type { CommandContext } from "../../command.ts";
import type { ProvenChain } from "../../credential/chain.ts";
import type { Examination } from "../../hsm/examination.ts";
import type { TokenKeyPair } from "../../hsm/key_pairs.ts";
import type { TokenInfo } from "../../hsm/token_info.ts";
import { need } from "./finding.ts";
import type { KnownConfiguration } from "./known_configuration.ts";

/** What the checks have found, for those that come after them. */
export class Examined {
  readonly known: KnownConfiguration;
  readonly context: CommandContext;
  /** Told by a check of each call that it begins, where it makes many. */
  readonly onProgress: () => void;
  /** From when its library is loaded. */
  examination: Examination | undefined;
  reached: Stage = "nothing";
  token: TokenInfo | undefined;
  /** Whether the token refused the PIN, or says that it would do harm to try it. */
  isPinRefused = false;
  /** How far the token's own clock is ahead of this machine's, in milliseconds, where it has one. */
  tokenClockAhead: number | undefined;
  /** By label, as found on the token. */
  readonly pairs: Map<string, TokenKeyPair> = new Map();
  /** By label: chains that are valid now and certify the pair. */
  readonly chains: Map<string, ProvenChain> = new Map();
  /** Beginnings of the validity of leaves. */
  readonly beginnings: Date[] = [];

  constructor(context: CommandContext, known: KnownConfiguration, onProgress: () => void) {
    this.context = context;
    this.known = known;
    this.onProgress = onProgress;
  }

  /**
   * The examination, if it has come so far.
   *
   * @throws NeedError otherwise
   */
  at(stage: Exclude<Stage, "nothing">): Examination {
    const isReached = STAGES.indexOf(this.reached) >= STAGES.indexOf(stage);
    return need(isReached ? this.examination : undefined, NEEDS[stage]);
  }
}

/** How far the examination has come with the token. */
export type Stage = "nothing" | "loaded" | "initialized" | "chosen" | "logged in";

const STAGES: readonly Stage[] = ["nothing", "loaded", "initialized", "chosen", "logged in"];
const NEEDS: Readonly<Record<Exclude<Stage, "nothing">, string>> = {
  loaded: "a library that loads",
  initialized: "a library that is initialized",
  chosen: "a token",
  "logged in": "the login",
};
