/** The source of a plan in a folder of manifests, compiled as a control plane would. */
import { Compiler } from "@weft/controlplane/compile/compiler.ts";
import { ManifestsError, readManifests } from "@weft/controlplane/source/manifests/read-manifests.ts";
import type { ManifestsReading } from "@weft/controlplane/source/manifests/read-manifests.ts";
import { printRefusal } from "@weft/controlplane/source/manifests/refusal.ts";
import { planInput } from "@weft/nodeagent/plan/plan-input.ts";
import { compareText } from "@weft/proto/address.ts";
import type { Backend, Service } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";
import { plannedNode, type PlanSource, type SourceValues } from "./plan-source.ts";

/** Names of nodes in a message. */
const namesMax = 5;

/** @throws ProgramError naming the folder or the node that is missing (S7). */
export async function planFromManifests(dir: string, values: SourceValues): Promise<PlanSource> {
  const nodeName = values.node;
  const { records, refusals, problems } = await read(dir);
  const compiler = new Compiler();
  compiler.apply(records.map((record) => ({ op: "put", record })));
  const { puts, collisions } = compiler.take();
  const refused = [...problems, ...refusals].map(printRefusal);
  const node = compiler.nodes().get(nodeName);
  if (node === undefined) throw missingNode(dir, nodeName, [...compiler.nodes().keys()], refused);
  const services: Service[] = [];
  const backends: Backend[] = [];
  const names = new Map<bigint, string>();
  for (const { id, value } of puts) {
    if (value.kind === "service") services.push(value.service);
    else if (value.kind === "backend") backends.push(value.backend);
    else names.set(id, value.name.value);
  }
  return {
    input: planInput(services, backends),
    node: plannedNode(values, node.zone, node.addresses),
    serviceCidrs: compiler.serviceCidrs(),
    names,
    refusals: [...refused, ...collisions.map(({ object, field, message }) => `${object}: ${field}: ${message}`)],
  };
}

async function read(dir: string): Promise<ManifestsReading> {
  try {
    return await readManifests(dir);
  } catch (error) {
    if (!(error instanceof ManifestsError)) throw error;
    throw new ProgramError("not-found", error.message, {
      remedy: "give --manifests the path of a folder that can be read",
      cause: error,
    });
  }
}

// The refusals may say why it is missing.
function missingNode(dir: string, name: string, known: readonly string[], refused: readonly string[]): ProgramError {
  const shown = known.toSorted(compareText).slice(0, namesMax).join(", ");
  const more = known.length > namesMax ? ` and ${known.length - namesMax} more` : "";
  const has = known.length === 0 ? "there is no Node object in it" : `it has ${shown}${more}`;
  const why = refused.length === 0 ? "" : `; refused there: ${refused.slice(0, namesMax).join("; ")}`;
  return new ProgramError("not-found", `no Node object "${name}" in the folder of manifests ${dir}: ${has}${why}`, {
    remedy: "add the Node object, or give --node the name of one that is there",
  });
}
