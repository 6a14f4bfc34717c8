import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { nameLayout, refusedBindLayout, refusedBindsMax } from "./layout.ts";
import { RefusedBinds } from "./refused-binds.ts";

const nameIndex = 2;
const serviceId = 77n;

function ringOf() {
  const arrays = {
    ring: new ArrayBuffer(refusedBindsMax * refusedBindLayout.size),
    count: new ArrayBuffer(8),
    names: new ArrayBuffer(4 * nameLayout.size),
  };
  const names = new DataView(arrays.names);
  const at = nameIndex * nameLayout.size;
  names.setBigUint64(at + nameLayout.id, serviceId, true);
  names.setUint16(at + nameLayout.length, 5, true);
  new Uint8Array(arrays.names).set(new TextEncoder().encode("a/web"), at + nameLayout.text);
  const count = new BigUint64Array(arrays.count);
  const ring = new DataView(arrays.ring);
  // As the program does: counts, fills, and writes the number last.
  const refuse = (port: number, { id = serviceId, isComplete = true } = {}): void => {
    const number = (count[0] ?? 0n) + 1n;
    count[0] = number;
    const entry = Number(number % BigInt(refusedBindsMax)) * refusedBindLayout.size;
    ring.setBigUint64(entry + refusedBindLayout.service_port, id, true);
    ring.setUint32(entry + refusedBindLayout.name, nameIndex, true);
    ring.setUint32(entry + refusedBindLayout.pid, 42, true);
    ring.setUint16(entry + refusedBindLayout.port, port, true);
    ring.setUint8(entry + refusedBindLayout.protocol, 17);
    new Uint8Array(arrays.ring).set(new TextEncoder().encode("nginx\0junk"), entry + refusedBindLayout.command);
    if (isComplete) ring.setBigUint64(entry + refusedBindLayout.number, number, true);
  };
  const complete = (): void => {
    const number = count[0] ?? 0n;
    const entry = Number(number % BigInt(refusedBindsMax)) * refusedBindLayout.size;
    ring.setBigUint64(entry + refusedBindLayout.number, number, true);
  };
  return { arrays, refuse, complete };
}

describe("refused binds", () => {
  it("are told once, with their service, from when the agent looks", () => {
    const { arrays, refuse } = ringOf();
    refuse(1);
    const binds = new RefusedBinds(arrays);
    assert.deepEqual(binds.take(), []);
    refuse(30_080);
    refuse(30_081, { id: 5n });
    const common = { protocol: "UDP", pid: 42, command: "nginx" };
    assert.deepEqual(binds.take(), [
      { ...common, port: 30_080, servicePort: "a/web" },
      { ...common, port: 30_081, servicePort: undefined },
    ]);
    assert.deepEqual(binds.take(), []);
  });

  it("of more than the ring holds are the last ones", () => {
    const { arrays, refuse } = ringOf();
    const binds = new RefusedBinds(arrays);
    for (let port = 1; port <= 1_000; port++) refuse(port);
    const ports = binds.take().map(({ port }) => port);
    assert.deepEqual(
      ports,
      Array.from({ length: refusedBindsMax }, (_, i) => 1_000 - refusedBindsMax + 1 + i),
    );
  });

  it("that are being written wait for the next time", () => {
    const { arrays, refuse, complete } = ringOf();
    const binds = new RefusedBinds(arrays);
    refuse(1);
    refuse(2, { isComplete: false });
    assert.deepEqual(
      binds.take().map(({ port }) => port),
      [1],
    );
    assert.deepEqual(binds.take(), []);
    complete();
    assert.deepEqual(
      binds.take().map(({ port }) => port),
      [2],
    );
  });
});
