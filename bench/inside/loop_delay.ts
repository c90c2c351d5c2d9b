import { monitorEventLoopDelay } from "node:perf_hooks";
import { answerOnSignal } from "./on_signal.ts";

/** How late the event loop is. What the histogram holds is the time between two timers, so their own comes off. */
const RESOLUTION_MS = 1;
const NANOSECONDS = 1e6;

const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
histogram.enable();

answerOnSignal(() => {
  const p99Ms = Math.max(histogram.percentile(99) / NANOSECONDS - RESOLUTION_MS, 0);
  histogram.reset();
  return { p99Ms };
});
