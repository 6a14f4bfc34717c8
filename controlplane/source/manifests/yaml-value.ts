/**
 * A composed YAML node -> its plain value. The library's own `toJS` looks for each alias among all others: quadratic, which a small
 * file can make last for hours. Here aliases cost nothing, their values are shared, and the copies of merge keys are counted.
 */
import { isAlias, isMap, isScalar, isSeq } from "yaml";

/** Keys copied by "<<" in one document. */
const mergedKeysMax = 1_000_000;

type Keys = Record<string, unknown>;

/** What a document says that cannot be a value. */
export class YamlValueError extends Error {
  readonly code = "yaml-value";
  /** In the text of the document; undefined if unknown. */
  readonly offset: number | undefined;

  constructor(node: unknown, message: string) {
    super(message);
    this.offset =
      typeof node === "object" && node !== null && "range" in node && Array.isArray(node.range)
        ? Number(node.range[0])
        : undefined;
  }
}

/**
 * Recursive: the nesting of `node` must be bounded.
 * @throws YamlValueError
 */
export function yamlValue(node: unknown): unknown {
  return new YamlReader().value(node);
}

class YamlReader {
  readonly #anchors = new Map<string, unknown>();
  #mergedKeys = 0;

  value(node: unknown): unknown {
    if (isAlias(node)) {
      if (!this.#anchors.has(node.source))
        throw new YamlValueError(node, `alias of an unknown anchor: *${node.source.slice(0, 64)}`);
      return this.#anchors.get(node.source);
    }
    const value = this.#content(node);
    if ((isScalar(node) || isMap(node) || isSeq(node)) && node.anchor !== undefined)
      this.#anchors.set(node.anchor, value);
    return value;
  }

  #content(node: unknown): unknown {
    if (isScalar(node)) return node.value;
    if (isSeq(node)) return node.items.map((item) => this.value(item));
    if (!isMap(node)) return null;
    const mapping: Keys = {};
    for (const { key, value } of node.items) {
      const read = this.value(key);
      if (read === "<<" && isScalar(key) && key.type === "PLAIN") this.#merge(mapping, value);
      else if (typeof read === "object" && read !== null) throw new YamlValueError(key, "a key must be a text");
      else define(mapping, typeof read === "string" ? read : keyText(read), this.value(value));
    }
    return mapping;
  }

  // A key that is there already stays; of several sources the first counts.
  #merge(mapping: Keys, node: unknown): void {
    const merged = this.value(node);
    for (const source of Array.isArray(merged) ? merged : [merged]) {
      if (typeof source !== "object" || source === null)
        throw new YamlValueError(node, 'the value of "<<" must be a mapping');
      for (const [key, value] of Object.entries(source)) {
        if (++this.#mergedKeys > mergedKeysMax)
          throw new YamlValueError(node, `merge keys copy more than ${mergedKeysMax} keys`);
        if (!Object.hasOwn(mapping, key)) define(mapping, key, value);
      }
    }
  }
}

// Assigning to "__proto__" would change the object's prototype.
function define(mapping: Keys, key: string, value: unknown): void {
  if (key === "__proto__")
    Object.defineProperty(mapping, key, { value, enumerable: true, configurable: true, writable: true });
  else mapping[key] = value;
}

function keyText(key: unknown): string {
  return typeof key === "number" || typeof key === "boolean" ? String(key) : "";
}
