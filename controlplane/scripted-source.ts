/** For tests: a source that gives what the test says, and records that are short to write. */
import type { Address } from "@weft/proto/address.ts";
import { unixMs } from "@weft/proto/program/clock.ts";
import { serviceRecord } from "./compile/compile-samples.ts";
import type { EndpointSliceRecord, NodeRecord, RecordChange, Source, SourceSink } from "./source/source.ts";

export class ScriptedSource implements Source {
  readonly hasNodes = true;
  readonly #started = Promise.withResolvers<SourceSink>();
  #sink: SourceSink | undefined;

  async run(sink: SourceSink, signal: AbortSignal): Promise<void> {
    this.#sink = sink;
    this.#started.resolve(sink);
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  /** Resolves once it runs. */
  async started(): Promise<void> {
    await this.#started.promise;
  }

  give(...changes: RecordChange[]): void {
    if (this.#sink === undefined) throw new Error("the source does not run yet");
    this.#sink.changes({ changes, isRelist: false, noticedAtMs: unixMs() });
  }

  /** What comparing everything gives. */
  relist(...changes: RecordChange[]): void {
    this.#sink?.changes({ changes, isRelist: true, noticedAtMs: unixMs() });
  }

  synced(): void {
    this.#sink?.synced();
  }
}

export function service(name: string, clusterIp = "10.96.0.1"): RecordChange {
  const ports = [{ name: "", protocol: "TCP", port: 80, nodePort: 0 }] as const;
  const record = serviceRecord(name, { ports, clusterIps: [clusterIp as Address] });
  return { op: "put", record };
}

/** The endpoints of a service, in one slice. */
export function endpoints(of: string, addresses: readonly string[], isReady = true): RecordChange {
  const record: EndpointSliceRecord = {
    kind: "EndpointSlice",
    name: `${of}-slice`,
    service: of,
    ports: [{ name: "", protocol: "TCP", number: 8080 }],
    endpoints: addresses.map((address) => ({
      address: address as Address,
      isReady,
      isServing: isReady,
      isTerminating: false,
      nodeName: "node-1",
      zone: "zone-1",
      zoneHints: [],
      nodeHints: [],
    })),
  };
  return { op: "put", record };
}

export function node(name: string, zone = ""): RecordChange {
  const record: NodeRecord = { kind: "Node", name, zone, addresses: ["192.0.2.1" as Address] };
  return { op: "put", record };
}

export function gone(kind: "Service" | "EndpointSlice" | "Node", name: string): RecordChange {
  return { op: "remove", kind, name };
}
