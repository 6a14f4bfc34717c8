/** ServiceCIDR -> ServiceCidrRecord. */
import type { Fields } from "./fields.ts";
import type { JsonObject } from "./fields.ts";
import type { ServiceCidrRecord } from "./source.ts";

export function projectServiceCidr(name: string, object: JsonObject, fields: Fields): ServiceCidrRecord {
  const spec = fields.object(object, "spec", "");
  const cidrs = fields.texts(spec, "cidrs", "spec.", (text, field) => fields.prefix(text, field));
  if (cidrs.length === 0 && fields.refusals.length === 0)
    fields.refuse("spec.cidrs", "must hold at least one address range");
  return { kind: "ServiceCIDR", name, cidrs };
}
