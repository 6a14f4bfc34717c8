/** What a client is told of our bounds. */
import { setting, settingsFrame } from "./frames.ts";
import type { Http2Bounds } from "./http2-bounds.ts";

// The same for all connections of a server.
const made = new WeakMap<Http2Bounds, Buffer>();

export function settingsOf(bounds: Http2Bounds): Buffer {
  let settings = made.get(bounds);
  if (settings === undefined) {
    settings = settingsFrame([
      [setting.maxConcurrentStreams, bounds.callsMax],
      [setting.maxHeaderListSize, bounds.headerListBytesMax],
    ]);
    made.set(bounds, settings);
  }
  return settings;
}
