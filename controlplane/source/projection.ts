/**
 * The boundary of every source: an API object, a JSON value of unknown shape, becomes a record, or nothing, or a refusal that
 * names the field. The rules are those of SEMANTICS; their numbers stand where they are applied.
 */
import { describe, Fields, isJsonObject, quote } from "./fields.ts";
import type { JsonObject } from "./fields.ts";
import { projectEndpointSlice } from "./project-endpoint-slice.ts";
import { projectNode } from "./project-node.ts";
import { projectServiceCidr } from "./project-service-cidr.ts";
import { projectService } from "./project-service.ts";
import type { RecordKind, SourceRecord } from "./source.ts";

/** Why an object, or one endpoint of it, was left out. */
export interface ObjectRefusal {
  /** "Service ns1/bad"; "Service" or "" if the object does not say who it is. */
  readonly object: string;
  readonly field: string;
  readonly message: string;
}

export interface ObjectIdentity {
  readonly kind: RecordKind;
  /** "namespace/name", or "name" for kinds without namespace. */
  readonly name: string;
}

export type Projection =
  /** `refusals` are endpoints that were left out (S28). */
  | {
      readonly outcome: "record";
      readonly identity: ObjectIdentity;
      readonly record: SourceRecord;
      readonly refusals: readonly ObjectRefusal[];
    }
  /** One of our kinds that is not served (S12, S20). */
  | { readonly outcome: "ignored"; readonly identity: ObjectIdentity }
  /** `identity` is undefined if the object does not say who it is. */
  | {
      readonly outcome: "refused";
      readonly identity: ObjectIdentity | undefined;
      readonly refusals: readonly ObjectRefusal[];
    }
  /** Another kind (S27). */
  | { readonly outcome: "other" };

interface Kind {
  readonly apiVersion: string;
  readonly isNamespaced: boolean;
  /** Undefined: not served. Faults go to `fields`; if it has any that are not in `partial`, the record does not count. */
  readonly project: (name: string, object: JsonObject, fields: Fields, partial: Fields) => SourceRecord | undefined;
}

const kinds: Readonly<Record<RecordKind, Kind>> = {
  Service: { apiVersion: "v1", isNamespaced: true, project: projectService },
  EndpointSlice: { apiVersion: "discovery.k8s.io/v1", isNamespaced: true, project: projectEndpointSlice },
  Node: { apiVersion: "v1", isNamespaced: false, project: projectNode },
  ServiceCIDR: { apiVersion: "networking.k8s.io/v1", isNamespaced: false, project: projectServiceCidr },
};

/** What an API object means to Weft. */
export function project(value: unknown): Projection {
  if (!isJsonObject(value)) {
    const header = new Fields();
    header.refuse("document", `must be an object, not ${describe(value)}`);
    return refused(undefined, "", header);
  }
  const header = new Fields();
  const kindName = header.text(value, "kind", "");
  const apiVersion = header.text(value, "apiVersion", "");
  if (kindName === "") header.refuse("kind", "is missing; every document needs one");
  if (apiVersion === "") header.refuse("apiVersion", "is missing; every document needs one");
  if (!isRecordKind(kindName)) {
    return header.refusals.length > 0 ? refused(undefined, "", header) : { outcome: "other" };
  }
  const kind = kinds[kindName];
  if (apiVersion !== "" && apiVersion !== kind.apiVersion) {
    header.refuse("apiVersion", `must be ${kind.apiVersion} for ${withArticle(kindName)}, not ${quote(apiVersion)}`);
  }
  const identity = readIdentity(kindName, kind, value, header);
  const object = identity === undefined ? kindName : `${kindName} ${identity.name}`;
  if (identity === undefined || header.refusals.length > 0) return refused(identity, object, header);

  const whole = new Fields();
  const partial = new Fields();
  const record = kind.project(identity.name, value, whole, partial);
  if (whole.refusals.length > 0) return refused(identity, object, whole);
  if (record === undefined) return { outcome: "ignored", identity };
  return { outcome: "record", identity, record, refusals: named(object, partial) };
}

function readIdentity(kindName: RecordKind, kind: Kind, value: JsonObject, header: Fields): ObjectIdentity | undefined {
  const metadata = header.object(value, "metadata", "");
  const name = header.name(metadata, "name", "metadata.");
  if (name === "") {
    if (header.refusals.every((refusal) => !refusal.field.startsWith("metadata")))
      header.refuse("metadata.name", "is missing");
    return undefined;
  }
  if (!kind.isNamespaced) return { kind: kindName, name };
  const namespace = header.name(metadata, "namespace", "metadata.");
  if (header.refusals.some((refusal) => refusal.field === "metadata.namespace")) return undefined;
  return { kind: kindName, name: `${namespace === "" ? "default" : namespace}/${name}` };
}

function refused(identity: ObjectIdentity | undefined, object: string, fields: Fields): Projection {
  return { outcome: "refused", identity, refusals: named(object, fields) };
}

function named(object: string, { refusals, total }: Fields): readonly ObjectRefusal[] {
  const shown = refusals.map(({ field, message }) => ({ object, field, message }));
  return total > shown.length
    ? [...shown, { object, field: "…", message: `${total - shown.length} more faults` }]
    : shown;
}

function isRecordKind(text: string): text is RecordKind {
  return Object.hasOwn(kinds, text);
}

function withArticle(kind: RecordKind): string {
  return kind === "EndpointSlice" ? `an ${kind}` : `a ${kind}`;
}
