import { Session } from "node:inspector";
import { answerOnSignal } from "./on_signal.ts";

/** A CPU profile of the time between two signals. */
const INTERVAL_MICROS = 250;

const session = new Session();
session.connect();
session.post("Profiler.enable");
session.post("Profiler.setSamplingInterval", { interval: INTERVAL_MICROS });

answerOnSignal(() => {
  let profile: object = {};
  // Called back at once: this session is of the same thread.
  session.post("Profiler.stop", (_, result) => {
    if (result !== undefined) profile = result.profile;
  });
  session.post("Profiler.start");
  return profile;
});
