/**
 * Program: writes to the API server, beside it in its network namespace, and says when answers were there. Ends when its stdin does.
 *
 * Arguments: KUBECONFIG. Lines on stdin and stdout: writer-messages.ts.
 */
import readline from "node:readline";
import { ApiClient } from "../../kube/api-client.ts";
import { readKubeconfig } from "../../kube/kubeconfig.ts";
import { namespaceObjects, objectsOf, shapeOf } from "./api-objects.ts";
import { CountedWatch } from "./counted-watch.ts";
import { monotonicUs } from "./monotonic.ts";
import type { WriterCommand, WriterMessage, WriterResult } from "./writer-messages.ts";

const progressEvery = 500;

const access = readKubeconfig(process.argv[2] ?? "");
const client = new ApiClient(access);
let watch: CountedWatch | undefined;

say({ kind: "ready" });
for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as WriterCommand;
  // Writes overlap if their commands do.
  void obey(command).then(
    (result) => say({ kind: "done", id: command.id, result }),
    (error: unknown) => say({ kind: "failed", id: command.id, message: String(error) }),
  );
}
process.exit(0);

function say(message: WriterMessage): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

async function obey(command: WriterCommand): Promise<WriterResult> {
  switch (command.kind) {
    case "create":
      await client.createAll(command.objects);
      return { returnedUs: monotonicUs() };
    case "services":
      return createServices(command);
    case "patch":
      await client.patch(command.name, command.patch);
      return { returnedUs: monotonicUs() };
    case "watch":
      watch = await CountedWatch.open(access, command);
      return {};
    case "watched":
      return { bytes: (await watch?.bytes) ?? 0 };
    case "get": {
      const answer = await fetch(command.url);
      if (!answer.ok) throw new Error(`${command.url}: ${answer.status}`);
      return { text: await answer.text() };
    }
  }
}

async function createServices({
  first,
  last,
  endpoints,
}: WriterCommand & { readonly kind: "services" }): Promise<WriterResult> {
  const shape = shapeOf(last + 1, endpoints);
  for (const namespace of namespaceObjects(first, last)) await client.apply(namespace);
  for (let from = first; from <= last; from += progressEvery) {
    const count = Math.min(progressEvery, last + 1 - from);
    const pairs = Array.from({ length: count }, (_, i) => objectsOf(shape, from + i));
    await client.createAll(pairs.flat());
    if (first !== last) say({ kind: "progress", text: `${from + count - first} of ${last + 1 - first} services made` });
  }
  return { returnedUs: monotonicUs() };
}
