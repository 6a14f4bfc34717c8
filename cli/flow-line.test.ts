import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseFlowLine, parseFlowTarget } from "./flow-line.ts";

const good: readonly { readonly line: string; readonly flow: string }[] = [
  { line: '{"from":"10.0.0.2","to":"172.30.0.41:80","protocol":"UDP"}', flow: "10.0.0.2 172.30.0.41 80 UDP" },
  { line: '{"from":"10.0.0.2","to":"172.30.0.41:80"}', flow: "10.0.0.2 172.30.0.41 80 TCP" },
  { line: '{"from":"10.0.0.2","to":"172.30.0.41:80","protocol":null,"more":[1]}', flow: "10.0.0.2 172.30.0.41 80 TCP" },
  { line: ' {"protocol":"sctp","to":"[FD00:0::1]:65535","from":"fd00::0:2"} ', flow: "fd00::2 fd00::1 65535 SCTP" },
  { line: '{"from":"010.000.0.02","to":" 172.30.0.041:080 "}', flow: "10.0.0.2 172.30.0.41 80 TCP" },
  { line: '{"from":"::ffff:10.0.0.2","to":"[::ffff:172.30.0.41]:1"}', flow: "10.0.0.2 172.30.0.41 1 TCP" },
];

const bad: readonly { readonly line: string; readonly problem: RegExp }[] = [
  { line: "", problem: /^not JSON/ },
  { line: "{", problem: /^not JSON/ },
  { line: "[]", problem: /^not an object/ },
  { line: "null", problem: /^not an object/ },
  { line: "7", problem: /^not an object/ },
  { line: "{}", problem: /^from: what is missing is no IP address$/ },
  { line: '{"from":7,"to":"1.2.3.4:1"}', problem: /^from: 7 is no IP/ },
  { line: '{"from":"1.2.3","to":"1.2.3.4:1"}', problem: /^from: "1\.2\.3" is no IP/ },
  { line: '{"from":"1.2.3.4"}', problem: /^to: what is missing/ },
  { line: '{"from":"1.2.3.4","to":"1.2.3.4"}', problem: /^to: "1\.2\.3\.4" is no IP:PORT$/ },
  { line: '{"from":"1.2.3.4","to":"1.2.3.4:0"}', problem: /^to: / },
  { line: '{"from":"1.2.3.4","to":"1.2.3.4:65536"}', problem: /^to: / },
  { line: '{"from":"1.2.3.4","to":"1.2.3.4:80/UDP"}', problem: /^to: / },
  { line: '{"from":"1.2.3.4","to":"fd00::1:80"}', problem: /^to: / },
  { line: '{"from":"1.2.3.4","to":"1.2.3.4:80","protocol":"ICMP"}', problem: /^protocol: "ICMP" is none of/ },
  { line: '{"from":"1.2.3.4","to":"1.2.3.4:80","protocol":""}', problem: /^protocol: "" is none of/ },
  { line: '{"from":"1.2.3.4","to":"[::1]:80"}', problem: /^from 1\.2\.3\.4 and to ::1 are of different/ },
  { line: `{"from":"${"9".repeat(1_000)}","to":"1.2.3.4:1"}`, problem: /^from: "9{79}… is no IP address$/ },
];

describe("a line of --flows", () => {
  for (const { line, flow } of good) {
    it(`is read: ${line}`, () => {
      const parsed = parseFlowLine(line);
      assert.ok(parsed.ok, line);
      const { from, to, port, protocol } = parsed.value;
      assert.equal(`${from} ${to} ${port} ${protocol}`, flow);
    });
  }

  for (const { line, problem } of bad) {
    it(`is refused: ${line.slice(0, 60)}`, () => {
      const parsed = parseFlowLine(line);
      assert.ok(!parsed.ok);
      assert.match(parsed.problem, problem);
    });
  }
});

describe("--to", () => {
  for (const [given, target] of [
    ["10.0.0.1:80", "10.0.0.1 80 TCP"],
    ["10.0.0.1:53/UDP", "10.0.0.1 53 UDP"],
    ["[fd00::1]:53/sctp", "fd00::1 53 SCTP"],
  ] as const) {
    it(`is read: ${given}`, () => {
      const parsed = parseFlowTarget(given);
      assert.ok(parsed.ok);
      assert.equal(`${parsed.value.address} ${parsed.value.port} ${parsed.value.protocol}`, target);
    });
  }

  for (const given of ["10.0.0.1", "10.0.0.1:0", "10.0.0.1:80/", "10.0.0.1:80/ICMP", "10.0.0.1:80/TCP/UDP", "web:80"]) {
    it(`is refused: ${given}`, () => assert.equal(parseFlowTarget(given).ok, false));
  }
});
