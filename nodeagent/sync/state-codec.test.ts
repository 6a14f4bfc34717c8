import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { addressBytes, parseAddress } from "@weft/proto/address.ts";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { NodeViewSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { encodedBackend, encodedService, encodedUnknown } from "./described-resources.ts";
import type { EncodedResource } from "./described-resources.ts";
import { readPart } from "./received-resource.ts";
import type { HeldResource } from "./received-resource.ts";
import { encodeHeader, encodeWrite, headerBytes, readState, stateVersion } from "./state-codec.ts";
import type { StateWrite } from "./state-codec.ts";
import { Store } from "./store.ts";

const web = encodedService({ name: "ns/web", clusterIps: ["10.96.0.1"] });
const web1 = encodedBackend({ service: "ns/web", address: "10.1.0.1" });
const web2 = encodedBackend({ service: "ns/web", address: "10.1.0.2" });
const at = (number: number): { epoch: ReturnType<typeof epoch>; revision: ReturnType<typeof revision> } => ({
  epoch: epoch(1_763_881_972_000, 0x9f3a12bc),
  revision: revision(number),
});
const address = parseAddress("10.96.0.0");
assert.ok(address !== undefined);
const view = create(NodeViewSchema, {
  zone: "z1",
  serviceCidrs: [{ address: Uint8Array.from(addressBytes(address)), length: 16 }],
});

// A small history: each step is what the state is after it.
const steps: readonly StateWrite[] = [
  { removed: [], puts: held([web, web1]), commit: { cursor: at(5), view } },
  { removed: [web1.id], puts: held([web2, encodedUnknown(3n)]), commit: { cursor: at(6), view } },
  { removed: [], puts: [], commit: { cursor: at(6), view: create(NodeViewSchema, { zone: "z2" }) } },
];
const file = Buffer.concat([encodeHeader(), ...steps.flatMap((write) => [...encodeWrite(write)])]);
const valid = [
  undefined,
  ...steps.map((_, i) =>
    summary(Buffer.concat([encodeHeader(), ...steps.slice(0, i + 1).flatMap((write) => [...encodeWrite(write)])])),
  ),
];

describe("state on disk", () => {
  it("gives back what was written", () => {
    const reading = readState(file);
    assert.ok(reading.kind === "state");
    assert.equal(reading.goodBytes, file.length);
    assert.deepEqual(reading.state.cursor, at(6));
    assert.equal(reading.state.view?.zone, "z2");
    assert.deepEqual(new Map(reading.state.resources), new Map(held([web, web2, encodedUnknown(3n)])));
  });

  it("keeps the node view of an agent that holds nothing", () => {
    const write: StateWrite = { removed: [], puts: [], commit: { cursor: undefined, view } };
    const reading = readState(Buffer.concat([encodeHeader(), ...encodeWrite(write)]));
    assert.ok(reading.kind === "state");
    assert.equal(reading.state.cursor, undefined);
    assert.deepEqual(reading.state.view, view);
  });

  it("is an earlier state or nothing when cut at any byte", () => {
    for (let length = 0; length < file.length; length++) {
      const cut = file.subarray(0, length);
      assert.ok(valid.includes(summary(cut)), `cut at ${length}`);
      const reading = readState(cut);
      if (reading.kind === "state") assert.ok(reading.goodBytes <= length);
    }
  });

  it("is an earlier state or nothing when any bit is flipped", () => {
    for (let offset = 0; offset < file.length; offset++) {
      for (const bit of [0x01, 0x80, 0xff]) {
        const flipped = Buffer.from(file);
        flipped[offset] = (flipped[offset] ?? 0) ^ bit;
        const found = summary(flipped);
        assert.ok(valid.includes(found) && found !== valid.at(-1), `byte ${offset} ^ ${bit}`);
      }
    }
  });

  it("goes on after the good part", () => {
    const torn = file.subarray(0, file.length - 3);
    const reading = readState(torn);
    assert.ok(reading.kind === "state");
    const more: StateWrite = { removed: [web.id], puts: [], commit: { cursor: at(7), view } };
    const appended = readState(Buffer.concat([torn.subarray(0, reading.goodBytes), ...encodeWrite(more)]));
    assert.ok(appended.kind === "state");
    assert.deepEqual(appended.state.cursor, at(7));
    assert.deepEqual(new Map(appended.state.resources), new Map(held([web2, encodedUnknown(3n)])));
  });

  it("says the digest of what it reads, whatever was replaced, removed or put twice", () => {
    const moved = { ...web2, bytes: encodedBackend({ service: "ns/web", address: "10.1.0.2", node: "n2" }).bytes };
    const histories: readonly (readonly StateWrite[])[] = [
      steps,
      [...steps, { removed: [3n as ResourceId], puts: held([moved, web1]), commit: { cursor: at(7), view } }],
      [{ removed: [], puts: [...held([web, web2]), ...held([moved])], commit: { cursor: at(5), view } }],
    ];
    for (const history of histories) {
      const reading = readState(
        Buffer.concat([encodeHeader(), ...history.flatMap((write) => [...encodeWrite(write)])]),
      );
      assert.ok(reading.kind === "state");
      const store = new Store();
      store.commit([{ removed: [], puts: new Map(reading.state.resources) }], "nothing");
      assert.equal(reading.state.digest.root, store.digest);
      const taken = new Store(reading.state);
      assert.deepEqual([taken.digest, taken.counts, taken.size], [store.digest, store.counts, store.size]);
      assert.equal([...(taken.serviceByName("ns/web")?.backends ?? [])].length, store.counts.backends);
    }
  });

  it("refuses other versions and other files", () => {
    const future = Buffer.from(file);
    future.writeUInt32LE(stateVersion + 1, 8);
    const past = Buffer.from(file);
    past.writeUInt32LE(1, 8);
    const unusable: readonly (readonly [Uint8Array, RegExp])[] = [
      [future, /version 3/],
      [past, /version 1/],
      [Buffer.from("not a state file at all"), /no state file/],
      [Buffer.alloc(3), /shorter/],
      [file.subarray(0, headerBytes + 1), /no complete state/],
    ];
    for (const [bytes, reason] of unusable) {
      const reading = readState(bytes);
      assert.ok(reading.kind === "unusable");
      assert.match(reading.reason, reason);
    }
  });

  it("cuts a large step into records", () => {
    const many = Array.from({ length: 9_000 }, (_, i) =>
      encodedService({ name: `ns/service-number-${i}`, clusterIps: [`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`] }),
    );
    const write: StateWrite = { removed: many.map(({ id }) => id), puts: held(many), commit: { cursor: at(5), view } };
    const records = [...encodeWrite(write)];
    assert.ok(records.length > 3);
    const reading = readState(Buffer.concat([encodeHeader(), ...records]));
    assert.ok(reading.kind === "state" && reading.state.resources.size === 9_000);
  });
});

function held(resources: readonly EncodedResource[]): readonly (readonly [ResourceId, HeldResource])[] {
  const reading = readPart({ removed: [], resources: resources.map(({ bytes }) => bytes) });
  assert.ok(reading.kind === "part");
  return [...reading.part.puts];
}

// What a file says, to be compared; undefined: nothing.
function summary(bytes: Uint8Array): string | undefined {
  const reading = readState(bytes);
  if (reading.kind !== "state") return undefined;
  const { cursor, view: saved, resources } = reading.state;
  return JSON.stringify([
    cursor,
    saved?.zone,
    [...resources].map(([id, resource]) => [String(id), resource.kind, resource.bytes]),
  ]);
}
