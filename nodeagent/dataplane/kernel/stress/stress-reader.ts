/** Program: reads until its stdin ends, then prints its tally as JSON. Arguments: object, folder of the service pins. */
import path from "node:path";
import { lookupElement, loadObject, testRun, updateElement, type MapSettings } from "../libbpf.ts";
import { mapSizes } from "../map-sizes.ts";
import { stressFrontends, stressKey, stressLimits } from "./stress-case.ts";

const fields = ["reads", "missed", "stale", "early", "foreign", "torn", "absent"] as const;
export type Tally = Readonly<Record<(typeof fields)[number], number>>;

const readsPerCall = 100_000;

async function run(object: string, folder: string): Promise<void> {
  const sizes = mapSizes(stressLimits);
  const maps: Record<string, MapSettings> = {};
  for (const name of ["frontends", "addresses", "cidrs", "states", "descriptors", "backends"] as const) {
    maps[name] = { max: sizes[name], pin: path.join(folder, name) };
  }
  maps["active"] = { pin: path.join(folder, "active") };
  using loaded = await loadObject(object, maps);
  const key = new Uint32Array(1);
  const keyBytes = new Uint8Array(key.buffer);
  for (const [i, frontend] of stressFrontends.entries()) {
    const question = new Uint8Array(24);
    question.set(stressKey(frontend));
    question[21] = frontend.number;
    question[22] = frontend.isSteady ? 1 : 0;
    key[0] = i;
    updateElement(loaded.mapFd("questions"), keyBytes, question, 0);
  }
  key[0] = 0;
  updateElement(
    loaded.mapFd("questions_count"),
    keyBytes,
    new Uint8Array(Uint32Array.of(stressFrontends.length).buffer),
    0,
  );
  const program = loaded.programFd("reader");
  const ending = new AbortController();
  process.stdin.on("end", () => ending.abort());
  process.stdin.resume();
  process.stdout.write("reading\n");
  while (!ending.signal.aborted) {
    testRun(program, readsPerCall);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const tally = new BigUint64Array(fields.length);
  lookupElement(loaded.mapFd("tallies"), keyBytes, new Uint8Array(tally.buffer));
  process.stdout.write(`${JSON.stringify(Object.fromEntries(fields.map((name, i) => [name, Number(tally[i])])))}\n`);
}

const [object, folder] = process.argv.slice(2);
if (object !== undefined && folder !== undefined) await run(object, folder);
