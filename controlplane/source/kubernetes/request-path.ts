/** The URLs of a reflector's requests, below the address of the API server. */
import type { ReflectorRequest } from "./reflector-state.ts";
import type { WatchedKind } from "./watched-kind.ts";

export function requestPath(
  { path, labelSelector }: WatchedKind,
  request: Exclude<ReflectorRequest, { kind: "wait" }>,
): string {
  const query = new URLSearchParams();
  if (labelSelector !== "") query.set("labelSelector", labelSelector);
  switch (request.kind) {
    case "list":
      if (request.limit > 0) query.set("limit", String(request.limit));
      if (request.continueToken !== "") {
        // It carries its own version.
        query.set("continue", request.continueToken);
      } else if (request.version !== "") {
        query.set("resourceVersion", request.version);
        // Without it a version with pages means exactly that one, which may be gone.
        query.set("resourceVersionMatch", "NotOlderThan");
      }
      break;
    case "stream":
      query.set("sendInitialEvents", "true");
      query.set("resourceVersionMatch", "NotOlderThan");
      setWatch(query, request.timeoutSeconds);
      break;
    case "watch":
      setWatch(query, request.timeoutSeconds);
      if (request.version !== "") query.set("resourceVersion", request.version);
      break;
  }
  const text = query.toString();
  return text === "" ? path : `${path}?${text}`;
}

function setWatch(query: URLSearchParams, timeoutSeconds: number): void {
  query.set("watch", "1");
  query.set("allowWatchBookmarks", "true");
  query.set("timeoutSeconds", String(timeoutSeconds));
}
