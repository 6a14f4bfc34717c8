/** What is applied between two steps of a take: it belongs to the next one, whole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RecordChange, SourceRecord } from "../source/source.ts";
import { endpointRecord, nodeRecord, serviceRecord, sliceRecord } from "./compile-samples.ts";
import { Compiler } from "./compiler.ts";
import type { Compiled } from "./compiler.ts";

const put = (record: SourceRecord): RecordChange => ({ op: "put", record });
const services = ["a/1", "a/2", "a/3"];

/** Services whose endpoint has that last byte. */
function generation(last: number): readonly RecordChange[] {
  return services.map((name) => put(sliceRecord(`${name}-s`, name, [endpointRecord(`10.0.0.${last}`)])));
}

function addressesIn({ puts }: Compiled): readonly string[] {
  return puts.flatMap(({ address }) => address ?? []).toSorted();
}

// Counts the steps of a take of all services, to interrupt it after each.
function stepsOfAll(): number {
  const compiler = filled();
  return [...compiler.takeInSteps()].length;
}

function filled(): Compiler {
  const compiler = new Compiler();
  compiler.apply(services.map((name) => put(serviceRecord(name))));
  compiler.apply(generation(1));
  return compiler;
}

function finish(steps: Generator<undefined, Compiled>): Compiled {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

test("a batch that comes after any step is in the next take, with nothing of it in this one", () => {
  const stepsTotal = stepsOfAll();
  assert.equal(stepsTotal, 2 * services.length + 1, "of each service, of its backends, and of the comparison");
  for (let stepsBefore = 0; stepsBefore <= stepsTotal; stepsBefore++) {
    const compiler = filled();
    const steps = compiler.takeInSteps();
    for (let step = 0; step < stepsBefore; step++) assert.equal(steps.next().done, false);
    // A generator begins with its first step: before that nothing is taken.
    const isOpen = stepsBefore > 0;
    compiler.apply([...generation(2), put(nodeRecord("n1", "z1"))]);
    assert.equal(compiler.nodes().has("n1"), true, "what stands is seen at once");
    const first = finish(steps);
    const later = compiler.take();
    const [one, two] = [services.map(() => "10.0.0.1"), services.map(() => "10.0.0.2")];
    assert.deepEqual(addressesIn(first), isOpen ? one : two, `after ${stepsBefore} steps`);
    assert.deepEqual(addressesIn(later), isOpen ? two : [], `after ${stepsBefore} steps`);
    assert.equal(later.removals.length, isOpen ? services.length : 0);
    assert.deepEqual([first.areNodesChanged, later.areNodesChanged], isOpen ? [false, true] : [true, false]);
  }
});

test("a service that goes while a take is open is in it, and goes with the next one", () => {
  for (let stepsBefore = 1; stepsBefore <= stepsOfAll(); stepsBefore++) {
    const compiler = filled();
    const steps = compiler.takeInSteps();
    for (let step = 0; step < stepsBefore; step++) steps.next();
    compiler.apply([
      { op: "remove", kind: "Service", name: "a/2" },
      { op: "remove", kind: "EndpointSlice", name: "a/2-s" },
    ]);
    assert.equal(compiler.hasService("a/2"), false);
    const first = finish(steps);
    assert.equal(first.puts.filter(({ kind }) => kind === "service").length, services.length);
    assert.deepEqual(addressesIn(first).length, services.length);
    const later = compiler.take();
    const gone = new Set(first.puts.filter(({ name }) => name.startsWith("a/2")).map(({ id }) => id));
    assert.deepEqual(new Set(later.removals), gone);
    assert.deepEqual(later.puts, []);
  }
});

test("two takes at once are an error", () => {
  const compiler = filled();
  compiler.takeInSteps().next();
  assert.throws(() => compiler.take(), /open already/);
});
