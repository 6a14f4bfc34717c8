/** All benches, in the order in which they run. */
import { apply } from "./apply/apply.ts";
import type { Bench } from "./bench.ts";
import { connect } from "./connect/connect.ts";
import { endToEnd } from "./end-to-end/end-to-end.ts";
import { fanOut } from "./fan-out/fan-out.ts";
import { fleet } from "./fleet/fleet.ts";
import { memory } from "./memory/memory.ts";
import { repairs } from "./repairs/repairs.ts";
import { restarts } from "./restarts/restarts.ts";
import { snapshot } from "./snapshot/snapshot.ts";
import { stalls } from "./stalls/stalls.ts";
import { start } from "./start/start.ts";

export const benches: readonly Bench[] = [
  fanOut,
  apply,
  connect,
  endToEnd,
  snapshot,
  start,
  memory,
  fleet,
  stalls,
  repairs,
  restarts,
];
