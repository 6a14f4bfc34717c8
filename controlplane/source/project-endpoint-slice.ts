/** EndpointSlice -> EndpointSliceRecord. Reference: kube-proxy's endpointslicecache.go. */
import { familyOf } from "@weft/proto/address.ts";
import { describe, Fields, hasKey, isJsonObject, isName, quote } from "./fields.ts";
import type { JsonObject } from "./fields.ts";
import { sharedText } from "./shared-texts.ts";
import type { EndpointRecord, EndpointSliceRecord, SlicePortRecord } from "./source.ts";

const headlessLabel = "service.kubernetes.io/headless";
const serviceNameLabel = "kubernetes.io/service-name";
const triggerTimeAnnotation = "endpoints.kubernetes.io/last-change-trigger-time";
const serviceNameField = `metadata.labels["${serviceNameLabel}"]`;

/** Zones or nodes that one endpoint may name in its hints. The API allows 8. */
const hintsMax = 64;

/** Undefined: not served (S12, S20). Endpoints that are left out are named in `partial`. */
export function projectEndpointSlice(
  name: string,
  object: JsonObject,
  fields: Fields,
  partial: Fields,
): EndpointSliceRecord | undefined {
  const labels = fields.object(fields.object(object, "metadata", ""), "labels", "metadata.");
  if (hasKey(labels, headlessLabel)) return undefined;
  const addressType = fields.choice(object, "addressType", "", ["IPv4", "IPv6", "FQDN"]);
  if (addressType === "FQDN") return undefined;
  if ((object["addressType"] ?? "") === "") fields.refuse("addressType", "is missing; it must be IPv4, IPv6 or FQDN");
  const serviceName = readServiceName(labels, fields);
  const ports = readPorts(object, fields);
  const listed = fields.list(object, "endpoints", "");
  if (fields.refusals.length > 0) return undefined;

  const family = addressType === "IPv6" ? 6 : 4;
  const endpoints: EndpointRecord[] = [];
  const hintLists = new HintLists();
  for (const [i, item] of listed.entries()) {
    const endpoint = readEndpoint(item, `endpoints[${i}]`, family, hintLists, partial);
    if (endpoint !== undefined) endpoints.push(endpoint);
  }
  const namespace = name.slice(0, name.indexOf("/"));
  const atMs = readTriggerTime(object);
  return {
    kind: "EndpointSlice",
    name,
    service: `${namespace}/${serviceName}`,
    ports,
    endpoints,
    ...(atMs === undefined ? {} : { trigger: { atMs, family } }),
  };
}

// RFC 3339 with any fraction, as Go writes it. Anything else is nothing: a metric is no reason to refuse a slice.
function readTriggerTime(object: JsonObject): number | undefined {
  const { metadata } = object;
  const annotations = isJsonObject(metadata) ? metadata["annotations"] : undefined;
  const text = isJsonObject(annotations) ? annotations[triggerTimeAnnotation] : undefined;
  if (typeof text !== "string" || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(text))
    return undefined;
  const atMs = Date.parse(text);
  return atMs > 0 ? atMs : undefined;
}

function readServiceName(labels: JsonObject, fields: Fields): string {
  const value = labels[serviceNameLabel] ?? undefined;
  if (value === undefined || value === "")
    fields.refuse(serviceNameField, "is missing; it must name the slice's Service");
  else if (typeof value !== "string") fields.refuse(serviceNameField, `must be a string, not ${describe(value)}`);
  else if (!isName(value)) fields.refuse(serviceNameField, `must be the name of a Service, not ${quote(value)}`);
  else return value;
  return "";
}

function readPorts(object: JsonObject, fields: Fields): readonly SlicePortRecord[] {
  const ports = fields.objects(object, "ports", "", (port, at) => {
    const name = fields.name(port, "name", at);
    const protocol = fields.choice(port, "protocol", at, ["TCP", "UDP", "SCTP"]);
    const number = fields.integer(port, "port", at, 1, 65_535);
    // A number that is null means "every port": nothing that a proxy could choose (S25).
    return number === undefined ? undefined : { name, protocol, number };
  });
  return ports.filter((port) => port !== undefined);
}

// Undefined: refused; the other endpoints of the slice count (S28).
function readEndpoint(
  item: unknown,
  field: string,
  family: 4 | 6,
  hintLists: HintLists,
  partial: Fields,
): EndpointRecord | undefined {
  if (!isJsonObject(item)) {
    partial.refuse(field, `must be an object, not ${describe(item)}`);
    return undefined;
  }
  const faults = new Fields();
  const at = `${field}.`;
  const addresses = faults.list(item, "addresses", at);
  const first = addresses[0];
  const firstField = `${at}addresses[0]`;
  let address;
  if (typeof first === "string") address = faults.address(first, firstField);
  else if (addresses.length > 0) faults.refuse(firstField, `must be a string, not ${describe(first)}`);
  else if (faults.refusals.length === 0) faults.refuse(`${at}addresses`, "must hold an address");
  if (address !== undefined && familyOf(address) !== family) {
    faults.refuse(firstField, `must be an IPv${family} address, as the slice's addressType says, not ${address}`);
  }
  const conditions = faults.object(item, "conditions", at);
  const hints = faults.object(item, "hints", at);
  // S22: ready and serving unless said otherwise.
  const endpoint = {
    isReady: faults.boolean(conditions, "ready", `${at}conditions.`, true),
    isServing: faults.boolean(conditions, "serving", `${at}conditions.`, true),
    isTerminating: faults.boolean(conditions, "terminating", `${at}conditions.`, false),
    nodeName: sharedText(faults.name(item, "nodeName", at)),
    zone: sharedText(faults.name(item, "zone", at)),
    zoneHints: hintLists.shared(readHints(hints, "forZones", `${at}hints.`, faults)),
    nodeHints: hintLists.shared(readHints(hints, "forNodes", `${at}hints.`, faults)),
  };
  for (const fault of faults.refusals) partial.refuse(fault.field, fault.message);
  return address === undefined || faults.refusals.length > 0 ? undefined : { address, ...endpoint };
}

function readHints(hints: JsonObject, key: string, at: string, faults: Fields): readonly string[] {
  const listed = faults.list(hints, key, at);
  if (listed.length === 0) return none;
  if (listed.length > hintsMax) {
    faults.refuse(at + key, `must hold at most ${hintsMax} names, not ${listed.length}`);
    return none;
  }
  return faults.objects(hints, key, at, (hint, hintAt) => {
    const name = faults.name(hint, "name", hintAt);
    if (name === "" && faults.refusals.length === 0) faults.refuse(`${hintAt}name`, "is missing");
    return name;
  });
}

const none: readonly string[] = [];

/** The endpoints of a slice have few different hints: at 250,000 endpoints a list for each costs 45 MB. */
class HintLists {
  readonly #lists = new Map<string, readonly string[]>();

  shared(list: readonly string[]): readonly string[] {
    if (list.length === 0) return none;
    const key = list.join("/");
    const known = this.#lists.get(key);
    if (known !== undefined) return known;
    this.#lists.set(key, list);
    return list;
  }
}
