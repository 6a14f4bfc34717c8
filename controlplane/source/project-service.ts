/** Service -> ServiceRecord. Reference: kube-proxy's newBaseServicePortInfo, and the API's validation where that leaves a choice. */
import { familyOf } from "@weft/proto/address.ts";
import type { Address } from "@weft/proto/address.ts";
import { hasKey } from "./fields.ts";
import type { JsonObject, Fields } from "./fields.ts";
import type { ServicePortRecord, ServiceRecord } from "./source.ts";

const proxyNameLabel = "service.kubernetes.io/service-proxy-name";
const nodeLocalAnnotation = "weft.dev/node-local";
/** S4 */
const affinitySecondsDefault = 10_800;
const affinitySecondsMax = 86_400;

const policies = ["Cluster", "Local"] as const;

/** Undefined: not served (S12). */
export function projectService(name: string, object: JsonObject, fields: Fields): ServiceRecord | undefined {
  const metadata = fields.object(object, "metadata", "");
  if (hasKey(fields.object(metadata, "labels", "metadata."), proxyNameLabel)) return undefined;
  const spec = fields.object(object, "spec", "");
  const type = fields.choice(spec, "type", "spec.", ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]);
  if (type === "ExternalName") return undefined;
  const clusterIps = readClusterIps(spec, fields);
  if (clusterIps === undefined) return undefined;

  const annotations = fields.object(metadata, "annotations", "metadata.");
  return {
    kind: "Service",
    name,
    type,
    ports: readPorts(spec, fields),
    clusterIps,
    externalIps: fields.texts(spec, "externalIPs", "spec.", (text, field) => fields.address(text, field)),
    loadBalancerIps: readLoadBalancerIps(object, fields),
    externalTrafficPolicy: fields.choice(spec, "externalTrafficPolicy", "spec.", policies),
    internalTrafficPolicy: fields.choice(spec, "internalTrafficPolicy", "spec.", policies),
    affinitySeconds: readAffinitySeconds(spec, fields),
    // A range that cannot be parsed refuses the service; skipping it would open what was meant to be guarded (S16).
    loadBalancerSourceRanges: fields.texts(spec, "loadBalancerSourceRanges", "spec.", (text, field) =>
      fields.prefix(text, field),
    ),
    healthCheckNodePort: fields.integer(spec, "healthCheckNodePort", "spec.", 0, 65_535) ?? 0,
    isNodeLocalPass: annotations[nodeLocalAnnotation] === "pass",
  };
}

// S11, S12. Undefined: there is none yet, or the service is headless.
function readClusterIps(spec: JsonObject, fields: Fields): readonly Address[] | undefined {
  const single = fields.text(spec, "clusterIP", "spec.");
  const several = fields.list(spec, "clusterIPs", "spec.");
  const first = several.length > 0 ? several[0] : single;
  if (first === "" || first === "None" || single === "None") return undefined;

  const read = (text: string, field: string): Address | undefined => fields.address(text, field);
  if (several.length === 0) {
    const address = read(single, "spec.clusterIP");
    return address === undefined ? [] : [address];
  }
  const addresses = fields.texts(spec, "clusterIPs", "spec.", read);
  const [a, b] = addresses;
  if (addresses.length > 2)
    fields.refuse("spec.clusterIPs", `must hold one address per family, not ${addresses.length} addresses`);
  else if (a !== undefined && b !== undefined && familyOf(a) === familyOf(b)) {
    fields.refuse("spec.clusterIPs[1]", `must be of another family than spec.clusterIPs[0], not ${b}`);
  }
  const singleAddress = single === "" ? undefined : read(single, "spec.clusterIP");
  if (singleAddress !== undefined && a !== undefined && singleAddress !== a) {
    fields.refuse("spec.clusterIPs[0]", `must be the same as spec.clusterIP, ${singleAddress}, not ${a}`);
  }
  return addresses;
}

function readPorts(spec: JsonObject, fields: Fields): readonly ServicePortRecord[] {
  const seen = new Map<string, string>();
  const claim = (key: string, field: string, what: string): void => {
    const earlier = seen.get(key);
    if (earlier === undefined) seen.set(key, field);
    else fields.refuse(field, `repeats ${what} of ${earlier}`);
  };
  const ports = fields.objects(spec, "ports", "spec.", (port, at): ServicePortRecord => {
    const name = fields.name(port, "name", at);
    const protocol = fields.choice(port, "protocol", at, ["TCP", "UDP", "SCTP"]);
    const number = fields.integer(port, "port", at, 1, 65_535);
    if (number === undefined && (port["port"] ?? undefined) === undefined) fields.refuse(`${at}port`, "is missing");
    const nodePort = fields.integer(port, "nodePort", at, 0, 65_535) ?? 0;
    claim(`name ${protocol} ${name}`, `${at}name`, "the name and protocol");
    if (number !== undefined) claim(`port ${protocol} ${number}`, `${at}port`, "the number and protocol");
    if (nodePort !== 0) claim(`nodePort ${protocol} ${nodePort}`, `${at}nodePort`, "the number and protocol");
    return { name, protocol, port: number ?? 0, nodePort };
  });
  if (ports.length === 0 && fields.refusals.length === 0) fields.refuse("spec.ports", "must hold at least one port");
  return ports;
}

// S17: an address with ipMode Proxy is not served here, and a hostname is not ours to resolve.
function readLoadBalancerIps(object: JsonObject, fields: Fields): readonly Address[] {
  const status = fields.object(object, "status", "");
  const loadBalancer = fields.object(status, "loadBalancer", "status.");
  const served = fields.objects(loadBalancer, "ingress", "status.loadBalancer.", (ingress, at) => {
    const text = fields.text(ingress, "ip", at);
    const mode = fields.choice(ingress, "ipMode", at, ["VIP", "Proxy"]);
    const address = text === "" ? undefined : fields.address(text, `${at}ip`);
    return mode === "VIP" ? address : undefined;
  });
  return served.filter((address) => address !== undefined);
}

function readAffinitySeconds(spec: JsonObject, fields: Fields): number {
  if (fields.choice(spec, "sessionAffinity", "spec.", ["None", "ClientIP"]) === "None") return 0;
  const at = "spec.sessionAffinityConfig.";
  const clientIp = fields.object(fields.object(spec, "sessionAffinityConfig", "spec."), "clientIP", at);
  return fields.integer(clientIp, "timeoutSeconds", `${at}clientIP.`, 1, affinitySecondsMax) ?? affinitySecondsDefault;
}
