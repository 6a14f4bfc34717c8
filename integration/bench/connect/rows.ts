/** The lines of `connect`. Pure. */
import { atMost } from "../bench.ts";
import type { Row } from "../bench.ts";
import { median, tail } from "../quantiles.ts";
import type { Call, Size } from "./calls.ts";

/** Microseconds of one way's calls at one size. */
export interface WayTimes {
  readonly way: string;
  readonly size: Size;
  readonly call: Call;
  readonly us: readonly number[];
}

const ratioMax = 1.1;
const flatMax = 1.05;

/** @param times of every way that was measured, "direct" and "weft" among them. */
export function connectRows(times: readonly WayTimes[]): readonly Row[] {
  const ofWeft = times.filter(({ way }) => way === "weft");
  return [
    ...ofWeft.flatMap((weft) => wayRows(weft, times)),
    ...[...new Set(ofWeft.map(({ call }) => call))]
      .filter(({ protocol }) => protocol === "tcp")
      .map((call) =>
        flatRow(
          ofWeft.filter((of) => of.call === call),
          times,
        ),
      ),
  ];
}

function wayRows(weft: WayTimes, all: readonly WayTimes[]): readonly Row[] {
  const { size, call } = weft;
  const p50 = median(weft.us);
  const others = all.filter((of) => of.size === size && of.call === call && of.way !== "weft");
  return others.map(({ way, us }): Row => {
    const other = median(us);
    return {
      what: `${printCall(call)}, ${size.toLocaleString("en-US")} services`,
      measured: { value: p50, unit: "us", ...(way === "direct" ? { spread: tail(weft.us) } : {}) },
      peer: { name: way, value: other },
      ...(way === "direct" && call.protocol === "tcp" ? { goal: atMost(p50 / other, ratioMax, "x") } : {}),
    };
  });
}

// Beside a direct connection of the same minute: what the machine did between two sizes is in both.
function flatRow(ofWeft: readonly WayTimes[], all: readonly WayTimes[]): Row {
  const bySize = ofWeft.toSorted((a, b) => a.size - b.size);
  const [smallest, largest] = [bySize[0], bySize.at(-1)];
  if (smallest === undefined || largest === undefined) throw new RangeError("nothing was measured");
  const [few, many] = [smallest, largest].map((weft) => {
    const direct = all.find((of) => of.way === "direct" && of.size === weft.size && of.call === weft.call);
    return median(weft.us) / median(direct?.us ?? []);
  });
  if (few === undefined || many === undefined) throw new RangeError("nothing was measured");
  return {
    what: `${printCall(largest.call)}, times direct with ${largest.size.toLocaleString("en-US")} services`,
    measured: { value: many, unit: "x" },
    peer: { name: `with ${smallest.size}`, value: few },
    goal: { text: `flat (<= ${flatMax}x)`, isMet: many <= flatMax * few },
  };
}

function printCall({ protocol, family }: Call): string {
  return protocol === "tcp" ? `TCP connect, ${family}` : `UDP connect and send, ${family}`;
}
