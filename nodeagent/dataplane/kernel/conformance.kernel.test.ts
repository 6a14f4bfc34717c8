import { after, before } from "node:test";
import { describeDataplane } from "../conformance.ts";
import { KernelDataplane } from "./kernel-dataplane.ts";
import { kernelTestsSkipped, makeKernelLab, type KernelLab } from "./testing/kernel-lab.ts";
import { isServed } from "./round-applier.ts";

const skip = kernelTestsSkipped();
let lab: KernelLab | undefined;

if (skip === false) {
  before(() => {
    lab = makeKernelLab();
  });
  after(() => lab?.[Symbol.dispose]());
}

describeDataplane({
  name: "kernel",
  skip,
  create(limits) {
    if (lab === undefined) throw new Error("there is no scratch place for kernel tests");
    return new KernelDataplane({ ...lab.place(), limits });
  },
  serves: isServed,
});
