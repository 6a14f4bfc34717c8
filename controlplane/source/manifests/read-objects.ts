/** The documents of one manifest -> its objects, projected. Lists are opened, also nested ones (S27). */
import { describe, isJsonObject } from "../fields.ts";
import type { JsonObject } from "../fields.ts";
import { project } from "../projection.ts";
import type { ObjectIdentity, Projection } from "../projection.ts";
import type { SourceRecord } from "../source.ts";
import type { ManifestRefusal } from "./refusal.ts";

/** Lists in lists. */
const listDepthMax = 8;
/** Aliases make a small file describe many endpoints; this bounds what one file may cost. */
const endpointsPerFileMax = 500_000;
/** Faults named per file; their true number is always said. */
const refusalsPerFileMax = 200;

/** One of our objects, where a file has it. */
export interface FoundObject {
  readonly identity: ObjectIdentity;
  /** "document 2" or "document 2, items[3]". */
  readonly place: string;
  readonly outcome: "record" | "ignored" | "refused";
  /** Set if the outcome is "record". */
  readonly record: SourceRecord | undefined;
}

export interface FileObjects {
  readonly objects: readonly FoundObject[];
  readonly refusals: readonly ManifestRefusal[];
}

/** @param documents the values of the documents in order; null: an empty one. */
export function readObjects(file: string, documents: readonly unknown[]): FileObjects {
  const objects: FoundObject[] = [];
  const refusals: ManifestRefusal[] = [];
  let refusalsTotal = 0;
  // Aliases make values shared: reading each only once bounds the work by the size of the text.
  const seen = new Map<object, string>();
  let endpoints = 0;

  const refuse = (object: string, field: string, message: string): void => {
    refusalsTotal++;
    if (refusals.length < refusalsPerFileMax)
      refusals.push({ kind: "object", file, line: undefined, object, field, message });
  };

  const readProjection = (projection: Projection, place: string): void => {
    if (projection.outcome === "other") return;
    if (projection.outcome !== "ignored") {
      for (const { object, field, message } of projection.refusals) {
        const isNamed = projection.outcome === "record" || projection.identity !== undefined;
        refuse(isNamed ? object : `${object} (${place})`.trimStart(), field, message);
      }
    }
    if (projection.identity === undefined) return;
    const record = projection.outcome === "record" ? projection.record : undefined;
    objects.push({ identity: projection.identity, place, outcome: projection.outcome, record });
  };

  const isRepeated = (value: JsonObject, place: string): boolean => {
    const earlier = seen.get(value);
    if (earlier === undefined) seen.set(value, place);
    else refuse(`(${place})`, "document", `is an alias of ${earlier}, which counts`);
    return earlier !== undefined;
  };

  const readValue = (value: unknown, place: string, listDepth: number, inherited: JsonObject): void => {
    if (!isJsonObject(value)) {
      readProjection(project(value), place);
      return;
    }
    if (isRepeated(value, place)) return;
    readObject(isBare(value) ? { ...value, ...inherited } : value, place, listDepth);
  };

  const readObject = (value: JsonObject, place: string, listDepth: number): void => {
    if (isList(value)) {
      if (listDepth === listDepthMax) refuse(`(${place})`, "items", `holds lists more than ${listDepthMax} deep`);
      else readList(value, place, listDepth + 1);
      return;
    }
    if (Array.isArray(value["endpoints"])) endpoints += value["endpoints"].length;
    if (endpoints > endpointsPerFileMax) {
      refuse(`(${place})`, "endpoints", `the file holds more than ${endpointsPerFileMax} endpoints; split it`);
      return;
    }
    readProjection(project(value), place);
  };

  const readList = (list: JsonObject, place: string, listDepth: number): void => {
    const items = list["items"] ?? [];
    if (!Array.isArray(items)) {
      refuse(`(${place})`, "items", `must be a list, not ${describe(items)}`);
      return;
    }
    // The items of a typed list ("ServiceList", as the API answers) carry neither kind nor apiVersion of their own.
    const itemKind = String(list["kind"]).slice(0, -"List".length);
    const inherited = itemKind === "" ? {} : { kind: itemKind, apiVersion: list["apiVersion"] };
    for (const [i, item] of items.entries()) readValue(item, `${place}, items[${i}]`, listDepth, inherited);
  };

  for (const [i, document] of documents.entries()) {
    if (document !== null && document !== undefined) readValue(document, `document ${i + 1}`, 0, {});
  }
  if (refusalsTotal > refusals.length) {
    const more = refusalsTotal - refusals.length;
    refusals.push({
      kind: "object",
      file,
      line: undefined,
      object: "(file)",
      field: "documents",
      message: `${more} more faults`,
    });
  }
  return { objects, refusals };
}

// "List", "ServiceList", … : a kind that ends so and has items, or none at all.
function isList(value: JsonObject): boolean {
  const kind = value["kind"];
  if (typeof kind !== "string" || !kind.endsWith("List")) return false;
  return kind === "List" || Object.hasOwn(value, "items") || Object.hasOwn(ourLists, kind);
}

const ourLists = { ServiceList: true, EndpointSliceList: true, NodeList: true, ServiceCIDRList: true };

function isBare(item: JsonObject): boolean {
  return (item["kind"] ?? undefined) === undefined && (item["apiVersion"] ?? undefined) === undefined;
}
