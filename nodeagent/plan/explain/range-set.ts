/** Address ranges that are asked often: parsed once. */
import { addressBytes, bytesContain, familyOf, type Address, type Family, type Prefix } from "@weft/proto/address.ts";

export class RangeSet {
  readonly #ranges: readonly { readonly bytes: Uint8Array; readonly length: number }[];
  readonly #families: ReadonlySet<Family>;

  constructor(prefixes: readonly Prefix[]) {
    this.#ranges = prefixes.map(({ address, length }) => ({ bytes: addressBytes(address), length }));
    this.#families = new Set(prefixes.map(({ address }) => familyOf(address)));
  }

  hasFamily(family: Family): boolean {
    return this.#families.has(family);
  }

  contains(address: Address): boolean {
    if (!this.#families.has(familyOf(address))) return false;
    const bytes = addressBytes(address);
    return this.#ranges.some((range) => bytesContain(range.bytes, range.length, bytes));
  }
}
