/** Any history of the API with any faults: what is held converges to exactly what the API has, and no removal is invented. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { ScriptedApi, serviceObject, sliceObject } from "./scripted-api.ts";
import type { Twist } from "./scripted-api.ts";
import { SourceRun } from "./testing-kubernetes-source.ts";

type Kind = "Service" | "EndpointSlice";

type Action =
  | { readonly kind: "put"; readonly of: Kind; readonly name: number; readonly value: number }
  | { readonly kind: "remove"; readonly of: Kind; readonly name: number }
  | { readonly kind: "label"; readonly name: number }
  | { readonly kind: "compact" }
  | { readonly kind: "bookmark" | "end" | "cut"; readonly of: Kind }
  /** An event that was sent before, again. */
  | { readonly kind: "replay"; readonly of: Kind; readonly name: number }
  /** Changes that no watch sees, with or without the history of them. */
  | {
      readonly kind: "gap";
      readonly of: Kind;
      readonly puts: number[];
      readonly removes: number[];
      readonly isCompacted: boolean;
    }
  /** The next requests go wrong. */
  | { readonly kind: "twist"; readonly times: number; readonly twist: Twist }
  | { readonly kind: "turns"; readonly count: number };

const of = fc.constantFrom<Kind>("Service", "EndpointSlice");
const name = fc.integer({ min: 0, max: 6 });

const twist: fc.Arbitrary<Twist> = fc.oneof(
  fc.record({ status: fc.constantFrom(400, 401, 410, 422, 429, 500, 503, 504) }),
  fc.record({ cutAfterBytes: fc.integer({ min: 0, max: 600 }) }),
  fc.constant({ isReset: true }),
  fc.constant({ isDoubled: true }),
  fc.constant({ first: ["{]\n"] }),
  fc.constant({ first: ['{"type":"ERROR","object":{"kind":"Status","code":410}}\n'] }),
);

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("put"), of, name, value: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("remove"), of, name }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("label"), name }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("compact") }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("bookmark", "end", "cut"), of }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("replay"), of, name }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("gap"),
      of,
      puts: fc.array(name, { maxLength: 3 }),
      removes: fc.array(name, { maxLength: 5 }),
      isCompacted: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("twist"), times: fc.integer({ min: 1, max: 4 }), twist }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("turns"), count: fc.integer({ min: 1, max: 20 }) }) },
);

/** Objects that are never touched: their removal would be an invention. */
const lasting = ["Service ns/stays", "EndpointSlice ns/stays"];

function objectOf(kind: Kind, at: number, value: number): ReturnType<typeof serviceObject> {
  return kind === "Service" ? serviceObject(`o${at}`, value) : sliceObject(`o${at}`, [`10.0.0.${value}`]);
}

async function act(
  api: ScriptedApi,
  run: SourceRun,
  does: Action,
  setTwist: (to: Twist, times: number) => void,
): Promise<void> {
  switch (does.kind) {
    case "put":
      api.put(does.of, objectOf(does.of, does.name, does.value));
      return;
    case "remove":
      api.remove(does.of, `ns/o${does.name}`);
      return;
    case "label":
      api.put("Service", serviceObject(`o${does.name}`, 1, { "service.kubernetes.io/service-proxy-name": "other" }));
      return;
    case "compact":
      api.compact();
      return;
    case "bookmark":
      api.bookmark(does.of);
      return;
    case "end":
      api.end(does.of);
      return;
    case "cut":
      api.cut(does.of);
      return;
    case "replay":
      api.say(does.of, api.earlierLine(does.of, `ns/o${does.name}`));
      return;
    case "gap":
      api.cut(does.of);
      for (const at of does.puts) api.put(does.of, objectOf(does.of, at, 2));
      for (const at of does.removes) api.remove(does.of, `ns/o${at}`);
      if (does.isCompacted) api.compact();
      return;
    case "twist":
      setTwist(does.twist, does.times);
      return;
    case "turns":
      for (let i = 0; i < does.count; i++) await turn();
      assert.deepEqual(
        lasting.filter((key) => run.timesSynced > 0 && !run.records.has(key)),
        [],
      );
  }
}

test("whatever happens, it ends with what the API has", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 60 }), fc.boolean(), async (actions, isListed) => {
      await using api = await ScriptedApi.start();
      let left = 0;
      let wrong: Twist = {};
      const usual = (type: string): Twist | undefined => (isListed && type === "stream" ? { status: 422 } : undefined);
      api.twist = ({ type }) => (left-- > 0 ? wrong : usual(type));
      api.put("Service", serviceObject("stays"));
      api.put("EndpointSlice", sliceObject("stays", ["10.0.0.9"]));
      const limits = { backoffFirstMs: 1, backoffMostMs: 4, pageSize: 2, shortWatchMs: 1, streamBlockedMs: 20 };
      await using run = SourceRun.start(api, limits);
      for (const does of actions) {
        await act(api, run, does, (to, times) => {
          wrong = to;
          left = times;
        });
      }
      left = 0;
      api.put("Service", serviceObject("last"));
      api.put("EndpointSlice", sliceObject("last", ["10.0.0.8"]));
      const expected = (): readonly string[] => [
        ...api.selected("Service").map((found) => `Service ${found}`),
        ...api.selected("EndpointSlice").map((found) => `EndpointSlice ${found}`),
      ];
      const isThere = (): boolean => run.records.has("Service ns/last") && run.records.has("EndpointSlice ns/last");
      await run.until(() => run.timesSynced === 1 && isThere());
      assert.deepEqual([...run.records.keys()].toSorted(), expected().toSorted());
      for (const { changes } of run.batches)
        for (const change of changes)
          assert.ok(change.op === "put" || change.name !== "ns/stays", "an invented removal");
      for (const [key, record] of run.records) assert.deepEqual(served(record), api.served(key), key);
    }),
    { numRuns: 100 },
  );
});

function served(record: unknown): unknown {
  const { ports, endpoints } = record as { ports: { port?: number }[]; endpoints?: { address: string }[] };
  return endpoints === undefined ? ports[0]?.port : endpoints[0]?.address;
}
