/**
 * `GET /v1/wait?drained=IP:PORT[&drained=…][&timeout=30s][&quorum=N|P%]`: for preStop hooks. 200 done, 504 timed out, 400, 403.
 *
 * HTTP has no client certificates, so a caller may ask for its own address only, and the answer holds counts, not node names.
 */
import { parseAddress, printSocketAddress } from "@weft/proto/address.ts";
import { unixMs } from "@weft/proto/program/clock.ts";
import { jsonResponse } from "@weft/proto/program/http.ts";
import type { Answer, HttpRequest, HttpResponse } from "@weft/proto/program/http.ts";
import type { Fleet } from "../fleet/fleet.ts";
import { waitsMax } from "../fleet/waits.ts";
import type { WaitAnswer } from "../fleet/waits.ts";
import { readWaitQuery } from "./wait-query.ts";

export function waitRoute(fleet: Fleet): Answer {
  return (request) => answerWait(fleet, request);
}

function answerWait(fleet: Fleet, request: HttpRequest): HttpResponse | Promise<HttpResponse> {
  const read = readWaitQuery(request.query);
  if (read.kind === "invalid") return failure(400, read.problem);
  const caller = parseAddress(request.peerAddress);
  const foreign = read.backends.find(({ address }) => address !== caller);
  if (foreign !== undefined) {
    const name = printSocketAddress(foreign.address, foreign.port);
    return failure(
      403,
      `${name} is not your own address (${caller ?? "unknown"}); ask from that pod, or use "weft wait" with a certificate`,
    );
  }
  const nowMs = unixMs();
  const { promise, resolve } = Promise.withResolvers<WaitAnswer | undefined>();
  const target = { kind: "drained", backends: read.backends } as const;
  const listener = { noted: () => undefined, ended: resolve };
  const cancel = fleet.wait({ target, quorum: read.quorum, deadlineMs: nowMs + read.timeoutMs, listener }, nowMs);
  if (cancel === undefined) return failure(503, `${waitsMax} waits are open; try again later`);
  const gone = (): void => {
    cancel();
    resolve(undefined);
  };
  request.signal.addEventListener("abort", gone, { once: true });
  if (request.signal.aborted) gone();
  return promise.then(responseOf);
}

function responseOf(answer: WaitAnswer | undefined): HttpResponse {
  if (answer === undefined) return failure(503, "the control plane shuts down; ask again");
  const { outcome, have, need, missing, notes } = answer;
  return jsonResponse(outcome === "done" ? 200 : 504, { outcome, have, need, missing: missing.length, notes });
}

// A wait keeps nothing: asked again, here or elsewhere, it is the same wait with a fresh time limit.
function failure(status: number, error: string): HttpResponse {
  const response = jsonResponse(status, { error });
  return status === 503 ? { ...response, headers: { "retry-after": "1" } } : response;
}
