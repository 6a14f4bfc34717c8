/** Node -> NodeRecord. */
import type { Address } from "@weft/proto/address.ts";
import { describe, isName, quote } from "./fields.ts";
import type { JsonObject, Fields } from "./fields.ts";
import type { NodeRecord } from "./source.ts";

const zoneLabel = "topology.kubernetes.io/zone";

export function projectNode(name: string, object: JsonObject, fields: Fields): NodeRecord {
  const labels = fields.object(fields.object(object, "metadata", ""), "labels", "metadata.");
  const byType: Record<"InternalIP" | "ExternalIP", Address[]> = { InternalIP: [], ExternalIP: [] };
  fields.objects(fields.object(object, "status", ""), "addresses", "status.", (entry, at) => {
    const type = fields.text(entry, "type", at);
    if (type !== "InternalIP" && type !== "ExternalIP") return;
    const address = fields.address(fields.text(entry, "address", at), `${at}address`);
    if (address !== undefined) byType[type].push(address);
  });
  // The order matters: the first of each family is the primary one (S8, S15).
  const addresses = [...new Set([...byType.InternalIP, ...byType.ExternalIP])];
  return { kind: "Node", name, zone: readZone(labels, fields), addresses };
}

function readZone(labels: JsonObject, fields: Fields): string {
  const zone = labels[zoneLabel] ?? "";
  const field = `metadata.labels["${zoneLabel}"]`;
  if (typeof zone !== "string") fields.refuse(field, `must be a string, not ${describe(zone)}`);
  else if (zone !== "" && !isName(zone)) fields.refuse(field, `must be a label value, not ${quote(zone)}`);
  else return zone;
  return "";
}
