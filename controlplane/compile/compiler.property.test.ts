import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { resourceId } from "@weft/proto/ids.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import type { RecordChange, SourceRecord } from "../source/source.ts";
import { endpointRecord, nodeRecord, prefix, serviceRecord, sliceRecord, address } from "./compile-samples.ts";
import { Compiler } from "./compiler.ts";
import type { Compiled, CompilerOptions } from "./compiler.ts";

// Few names and addresses, so that records meet.
const serviceName = fc.constantFrom("a/x", "a/y", "b/x");
const nodeName = fc.constantFrom("", "n1", "n2");
const endpoint = fc
  .record({
    ip: fc.constantFrom("10.0.0.1", "10.0.0.2", "fd00::1"),
    isReady: fc.boolean(),
    isServing: fc.boolean(),
    isTerminating: fc.boolean(),
    nodeName,
    zone: fc.constantFrom("", "z1", "n1"),
    zoneHints: fc.subarray(["z1", "z2", "n2"]),
    nodeHints: fc.subarray(["n1", "n3"]),
  })
  .map(({ ip, ...fields }) => endpointRecord(ip, fields));
const slicePort = fc.record({
  name: fc.constantFrom("", "p", "q"),
  protocol: fc.constantFrom("TCP" as const, "UDP" as const),
  number: fc.constantFrom(80, 81),
});
const slice = fc
  .record({
    name: fc.constantFrom("a/1", "a/2", "b/1", "b/2"),
    service: serviceName,
    endpoints: fc.array(endpoint, { maxLength: 4 }),
    ports: fc.array(slicePort, { maxLength: 3 }),
  })
  .map(({ name, service, endpoints, ports }) => sliceRecord(name, service, endpoints, ports));
const service = fc
  .record({
    name: serviceName,
    ips: fc.subarray(["172.30.0.1", "fd00::99"], { minLength: 1 }),
    affinitySeconds: fc.constantFrom(0, 5),
  })
  .map(({ name, ips, affinitySeconds }) => serviceRecord(name, { clusterIps: ips.map(address), affinitySeconds }));
const node = fc
  .record({ name: fc.constantFrom("n1", "n2"), zone: fc.constantFrom("", "z1", "z2") })
  .map(({ name, zone }) => nodeRecord(name, zone));
const cidr = fc
  .constantFrom("10.96.0.0/16", "fd00::/108")
  .map((text): SourceRecord => ({ kind: "ServiceCIDR", name: text.slice(0, 2), cidrs: [prefix(text)] }));
const record: fc.Arbitrary<SourceRecord> = fc.oneof(
  { weight: 3, arbitrary: slice },
  { weight: 2, arbitrary: service },
  node,
  cidr,
);
const change: fc.Arbitrary<RecordChange> = fc.oneof(
  { weight: 3, arbitrary: record.map((of): RecordChange => ({ op: "put", record: of })) },
  { weight: 1, arbitrary: record.map((of): RecordChange => ({ op: "remove", kind: of.kind, name: of.name })) },
);

/** Ids of 5 values per kind collide all the time; backends that lose are absent, whatever the history. */
const tinyIds = (kind: "service" | "backend" | "name", name: string): ResourceId =>
  ((resourceId(kind, name) % 5n) + 1n) as ResourceId;

class Copy {
  readonly bytes = new Map<ResourceId, string>();

  apply({ puts, removals }: Compiled): void {
    for (const id of removals) assert.ok(this.bytes.delete(id), "only what was there is removed");
    for (const resource of puts) {
      const text = Buffer.from(resource.bytes).toString("hex");
      assert.notEqual(this.bytes.get(resource.id), text, "only what differs is put");
      this.bytes.set(resource.id, text);
    }
  }

  sorted(): readonly (readonly [ResourceId, string])[] {
    return [...this.bytes].toSorted(([a], [b]) => (a < b ? -1 : 1));
  }
}

function fromNothing(records: readonly SourceRecord[], options: CompilerOptions): Copy {
  const compiler = new Compiler(options);
  compiler.apply(records.map((of): RecordChange => ({ op: "put", record: of })));
  const copy = new Copy();
  copy.apply(compiler.take());
  return copy;
}

for (const [ids, options] of [
  ["real ids", {}],
  ["colliding ids", { deriveId: tinyIds }],
] as const) {
  test(`after any sequence of changes, incremental equals from nothing, in any order: ${ids}`, () => {
    const batches = fc.array(fc.array(change, { maxLength: 6 }), { maxLength: 8 });
    fc.assert(
      fc.property(batches, fc.infiniteStream(fc.nat()), (history, seeds) => {
        const compiler = new Compiler(options);
        const copy = new Copy();
        const standing = new Map<string, SourceRecord>();
        for (const batch of history) {
          for (const one of batch) {
            if (one.op === "put") standing.set(`${one.record.kind} ${one.record.name}`, one.record);
            else standing.delete(`${one.kind} ${one.name}`);
          }
          compiler.apply(batch);
          copy.apply(compiler.take());
          const shuffled = [...standing.values()]
            .map((of) => ({ of, seed: seeds.next().value ?? 0 }))
            .toSorted((a, b) => a.seed - b.seed);
          assert.deepEqual(
            copy.sorted(),
            fromNothing(
              shuffled.map(({ of }) => of),
              options,
            ).sorted(),
          );
        }
      }),
      { numRuns: 300 },
    );
  });
}

test("no endpoint is in two Backends, but as the local copy of a node", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(slice, service)), (records) => {
      const compiler = new Compiler();
      compiler.apply(records.map((of): RecordChange => ({ op: "put", record: of })));
      const seen = new Set<string>();
      for (const { value } of compiler.take().puts) {
        if (value.kind !== "backend") continue;
        for (const { name, protocol, number } of value.backend.ports) {
          const { service: of, address: ip, localCopy, node: at } = value.backend;
          const key = [of, ip.join("."), name, protocol, number, localCopy ? at : ""].join(" ");
          assert.ok(!seen.has(key), key);
          seen.add(key);
        }
      }
    }),
  );
});
