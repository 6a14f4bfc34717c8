/**
 * The Services and EndpointSlices that stand, by service. While a take is open it sees them as they stood at its beginning: what is
 * applied meanwhile belongs to the next one, or a commit would hold a part of a batch.
 */
import type { EndpointSliceRecord, ServiceRecord } from "../source/source.ts";

/** All that the resources of one service are made of. */
export interface ServiceInputs {
  /** Undefined: slices without their Service. */
  readonly record: ServiceRecord | undefined;
  readonly slices: readonly EndpointSliceRecord[];
}

export class StandingRecords {
  readonly services = new Map<string, ServiceRecord>();
  readonly slices = new Map<string, EndpointSliceRecord>();
  /** By service, then by slice name; also of services that are not known (yet). */
  readonly #slicesByService = new Map<string, Map<string, EndpointSliceRecord>>();
  /** Services that changed since the open take began, as they were then; undefined: no take is open. */
  #before: Map<string, ServiceInputs> | undefined;

  /** Names of the slices of a service, known or not. */
  slicesOf(service: string): Iterable<string> {
    return this.#slicesByService.get(service)?.keys() ?? [];
  }

  putService(record: ServiceRecord): void {
    this.#keep(record.name);
    this.services.set(record.name, record);
  }

  removeService(name: string): void {
    this.#keep(name);
    this.services.delete(name);
  }

  /** Replaces the one of its name, which may be of another service. */
  putSlice(record: EndpointSliceRecord): void {
    this.removeSlice(record.name);
    this.#keep(record.service);
    this.slices.set(record.name, record);
    const ofService = this.#slicesByService.get(record.service);
    if (ofService === undefined) this.#slicesByService.set(record.service, new Map([[record.name, record]]));
    else ofService.set(record.name, record);
  }

  removeSlice(name: string): void {
    const slice = this.slices.get(name);
    if (slice === undefined) return;
    this.#keep(slice.service);
    this.slices.delete(name);
    const ofService = this.#slicesByService.get(slice.service);
    ofService?.delete(name);
    if (ofService?.size === 0) this.#slicesByService.delete(slice.service);
  }

  openTake(): void {
    if (this.#before !== undefined) throw new Error("a take is open already");
    this.#before = new Map();
  }

  closeTake(): void {
    this.#before = undefined;
  }

  /** As the open take sees it. */
  inputsOf(service: string): ServiceInputs {
    return this.#before?.get(service) ?? this.#current(service);
  }

  #current(service: string): ServiceInputs {
    const slices = this.#slicesByService.get(service);
    return { record: this.services.get(service), slices: slices === undefined ? [] : [...slices.values()] };
  }

  // Before the first change of a service since the open take began.
  #keep(service: string): void {
    if (this.#before !== undefined && !this.#before.has(service)) this.#before.set(service, this.#current(service));
  }
}
