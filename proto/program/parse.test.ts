import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { defineCommand, defineProgram } from "./command.ts";
import { amount, boolean, choice, duration, integer, list, listOf, text } from "./flags.ts";
import { parseCommand, parseProgram } from "./parse.ts";
import type { Environment } from "./parse.ts";

const run = defineCommand({
  name: "weft-agent run",
  summary: "Keeps this node's kernel at the newest revision.",
  flags: {
    node: text({ value: "NAME", required: true, help: "Name of the node." }),
    dataplane: choice({ choices: ["kernel", "memory"], default: "kernel", help: "Where connections are balanced." }),
    nodeAddresses: list({ value: "IP", isCommaSeparated: true, help: "Addresses of the node." }),
    heartbeat: duration({ default: 10_000, minMs: 100, maxMs: 60_000, help: "Interval of heartbeats." }),
    backendsMax: integer({ min: 1, max: 1_000, help: "Most backends." }),
    insecure: boolean({ help: "No TLS." }),
    probe: boolean({ default: true, help: "Probe after attaching." }),
    output: choice({ choices: ["table", "json"], default: "table", short: "o", help: "Form." }),
    quorum: amount({ minCount: 0, minPercent: 1, default: { kind: "percent", percent: 100 }, help: "How many." }),
    drained: listOf({
      value: "IP:PORT",
      isVariadic: true,
      help: "Backends.",
      parse: (given) =>
        given.includes(":") ? { ok: true, value: given.split(":") } : { ok: false, problem: "give IP:PORT" },
    }),
  },
  examples: ["weft-agent run --node n1 --insecure"],
  alternatives: [[["insecure"], ["output", "quorum"]]],
  check: (values) => (values.insecure || values.node !== "secret" ? undefined : "--node secret needs --insecure"),
});

const defaults = {
  node: "n1",
  dataplane: "kernel",
  nodeAddresses: [],
  heartbeat: 10_000,
  backendsMax: undefined,
  insecure: false,
  probe: true,
  output: "table",
  quorum: { kind: "percent", percent: 100 },
  drained: [],
};

const accepted: readonly { readonly argv: string; readonly environment?: Environment; readonly values: object }[] = [
  { argv: "--node n1", values: {} },
  { argv: "--node=n1", values: {} },
  { argv: "", environment: { WEFT_NODE: "n1" }, values: {} },
  { argv: "--node n1", environment: { WEFT_NODE: "n2" }, values: {} },
  { argv: "--node n1 --dataplane memory", values: { dataplane: "memory" } },
  { argv: "--node n1", environment: { WEFT_DATAPLANE: "memory" }, values: { dataplane: "memory" } },
  { argv: "--node n1", environment: { WEFT_DATAPLANE: "" }, values: {} },
  { argv: "--node n1 --node-addresses 10.0.0.1,fd00::1", values: { nodeAddresses: ["10.0.0.1", "fd00::1"] } },
  { argv: "--node n1 --node-addresses a --node-addresses=b", values: { nodeAddresses: ["a", "b"] } },
  { argv: "--node n1", environment: { WEFT_NODE_ADDRESSES: "a, b" }, values: { nodeAddresses: ["a", "b"] } },
  {
    argv: "--node-addresses c --node n1",
    environment: { WEFT_NODE_ADDRESSES: "a,b" },
    values: { nodeAddresses: ["c"] },
  },
  { argv: "--node n1 --heartbeat 500ms", values: { heartbeat: 500 } },
  { argv: "--node n1 --heartbeat 0.5s", values: { heartbeat: 500 } },
  { argv: "--node n1 --heartbeat 1m", values: { heartbeat: 60_000 } },
  { argv: "--node n1 --backends-max 7", values: { backendsMax: 7 } },
  { argv: "--node n1 --insecure", values: { insecure: true } },
  { argv: "--node n1 --insecure=false", values: { insecure: false } },
  { argv: "--node n1 --no-insecure", environment: { WEFT_INSECURE: "true" }, values: { insecure: false } },
  { argv: "--node n1", environment: { WEFT_INSECURE: "1" }, values: { insecure: true } },
  { argv: "--node n1 --insecure", environment: { WEFT_OUTPUT: "json" }, values: { insecure: true } },
  {
    argv: "--node n1 --quorum 3",
    environment: { WEFT_INSECURE: "1", WEFT_OUTPUT: "json" },
    values: { output: "json", quorum: { kind: "count", count: 3 } },
  },
  { argv: "--node n1 --no-insecure", environment: { WEFT_OUTPUT: "json" }, values: { output: "json" } },
  {
    argv: "--node n1",
    environment: { WEFT_INSECURE: "1", WEFT_OUTPUT: "json" },
    values: { insecure: true, output: "json" },
  },
  { argv: "--node n1 --no-probe", values: { probe: false } },
  { argv: "--node n1 -o json", values: { output: "json" } },
  { argv: "--node n1 -o=json", values: { output: "json" } },
  { argv: "--node n1 --quorum 3", values: { quorum: { kind: "count", count: 3 } } },
  { argv: "--node n1 --quorum 90%", values: { quorum: { kind: "percent", percent: 90 } } },
  {
    argv: "--drained a:1 b:2 --node n1",
    values: {
      drained: [
        ["a", "1"],
        ["b", "2"],
      ],
    },
  },
  {
    argv: "--drained=a:1 --drained b:2 --node n1",
    values: {
      drained: [
        ["a", "1"],
        ["b", "2"],
      ],
    },
  },
];

const refused: readonly { readonly argv: string; readonly environment?: Environment; readonly says: RegExp }[] = [
  {
    argv: "",
    says: /^weft-agent run: --node is missing: give --node NAME or set WEFT_NODE \(see weft-agent run --help\)$/,
  },
  { argv: "--node n1 --bakends-max 7", says: /unknown flag --bakends-max: did you mean --backends-max\?/ },
  { argv: "--node n1 --node-adresses x", says: /did you mean --node-addresses\?/ },
  { argv: "--node n1 --node-addr x", says: /did you mean --node-addresses\?/ },
  { argv: "--node n1 --zebra", says: /unknown flag --zebra \(see/ },
  { argv: "--node n1 -x", says: /unknown flag -x/ },
  { argv: "--node n1 --help=1", says: /--help takes no value/ },
  { argv: "--node n1 -h=1", says: /-h takes no value/ },
  { argv: "--node n1 --version=2", says: /--version takes no value/ },
  { argv: "--node", says: /--node needs a value: --node NAME/ },
  { argv: "--node --insecure", says: /--node needs a value/ },
  { argv: "--drained --node n1", says: /--drained needs a value/ },
  { argv: "--node= --insecure", says: /--node "": the value is empty/ },
  { argv: "--node n1 --node n2", says: /--node is given twice/ },
  { argv: "--node n1 stray", says: /unexpected "stray"/ },
  { argv: "--node n1 --", says: /unknown flag --/ },
  { argv: "--node n1 --dataplane xdp", says: /--dataplane "xdp": give one of kernel, memory/ },
  { argv: "--node n1", environment: { WEFT_DATAPLANE: "xdp" }, says: /WEFT_DATAPLANE "xdp": give one of/ },
  { argv: "--node n1 --backends-max 0", says: /--backends-max "0": give a whole number from 1 to 1000/ },
  { argv: "--node n1 --backends-max 1e2", says: /whole number/ },
  { argv: "--node n1 --heartbeat 10", says: /--heartbeat "10": give a duration from 100ms to 1m, such as 30s/ },
  { argv: "--node n1 --heartbeat 2m", says: /from 100ms to 1m/ },
  { argv: "--node n1 --insecure=maybe", says: /--insecure "maybe": give true or false/ },
  { argv: "--node n1 --no-insecure=true", says: /--no-insecure takes no value/ },
  { argv: "--node n1 --quorum 101%", says: /share from 1% to 100%/ },
  { argv: "--node n1 --drained a:1 b", says: /"b": give IP:PORT/ },
  { argv: "--node secret", says: /--node secret needs --insecure/ },
];

describe("a command line", () => {
  for (const { argv, environment = {}, values } of accepted) {
    test(`"${argv}" with ${JSON.stringify(environment)} is accepted`, () => {
      const parsed = parseCommand(run, argv.split(" ").filter(Boolean), environment);
      assert.deepEqual(parsed, { kind: "run", values: { ...defaults, ...values } });
    });
  }
  for (const { argv, environment = {}, says } of refused) {
    test(`"${argv}" with ${JSON.stringify(environment)} is refused`, () => {
      const parsed = parseCommand(run, argv.split(" ").filter(Boolean), environment);
      assert.equal(parsed.kind, "usage-error");
      assert.match(parsed.kind === "usage-error" ? parsed.message : "", says);
    });
  }

  test("values have the types that were declared", () => {
    const parsed = parseCommand(run, ["--node", "n1"], {});
    assert.ok(parsed.kind === "run");
    const node: string = parsed.values.node;
    const dataplane: "kernel" | "memory" = parsed.values.dataplane;
    const backendsMax: number | undefined = parsed.values.backendsMax;
    // @ts-expect-error a flag without a default may be undefined
    const always: number = parsed.values.backendsMax;
    assert.deepEqual([node, dataplane, backendsMax, always], ["n1", "kernel", undefined, undefined]);
  });

  test("help names every flag, its variable and its default, and wins over mistakes", () => {
    for (const argv of [["--help"], ["-h"], ["--zebra", "--help"]]) {
      const parsed = parseCommand(run, argv, {});
      assert.ok(parsed.kind === "help");
      for (const part of [
        "weft-agent run --node NAME [flags]",
        "--node-addresses IP",
        "WEFT_NODE_ADDRESSES",
        "-o, --output table|json",
        "default 10s",
        "default 100%",
        "required; WEFT_NODE",
        "Examples:",
      ]) {
        assert.ok(parsed.text.includes(part), part);
      }
      for (const line of parsed.text.split("\n")) assert.ok(line.length <= 100, line);
    }
    assert.equal(parseCommand(run, ["--version"], {}).kind, "version");
  });
});

const weft = defineProgram({
  name: "weft",
  summary: "Asks a control plane.",
  commands: {
    plan: defineCommand({
      name: "weft plan",
      summary: "Prints a plan.",
      flags: { node: text({ help: "Node." }) },
      examples: [],
    }),
    "get services": defineCommand({ name: "weft get services", summary: "Lists services.", flags: {}, examples: [] }),
    "get backends": defineCommand({ name: "weft get backends", summary: "Lists backends.", flags: {}, examples: [] }),
  },
});

describe("a program with commands", () => {
  test("runs a command of one word and one of two", () => {
    assert.deepEqual(parseProgram(weft, ["plan", "--node", "n1"], {}), {
      kind: "run",
      command: "plan",
      values: { node: "n1" },
    });
    assert.deepEqual(parseProgram(weft, ["get", "services"], {}), { kind: "run", command: "get services", values: {} });
  });

  const mistakes: readonly (readonly [string, RegExp])[] = [
    ["paln", /^weft: unknown command "paln": did you mean "plan"\? \(see weft --help\)$/],
    ["zebra", /unknown command "zebra": one of plan, get services, get backends/],
    ["get", /what to get is missing: one of services, backends/],
    ["get --node n1", /what to get is missing/],
    ["get service", /unknown "get service": did you mean "get services"\?/],
    ["--node n1 plan", /flags follow a command/],
    ["plan --nod n1", /^weft plan: unknown flag --nod: did you mean --node\?/],
    ["plan extra", /^weft plan: unexpected "extra"/],
  ];
  for (const [argv, says] of mistakes) {
    test(`"${argv}" is refused`, () => {
      const parsed = parseProgram(weft, argv.split(" "), {});
      assert.match(parsed.kind === "usage-error" ? parsed.message : parsed.kind, says);
    });
  }

  for (const argv of ["", "--help", "-h", "help", "get --help"]) {
    test(`"${argv}" lists the commands`, () => {
      const parsed = parseProgram(weft, argv.split(" ").filter(Boolean), {});
      assert.match(parsed.kind === "help" ? parsed.text : parsed.kind, /get services {2}Lists services\./);
    });
  }
  for (const argv of ["plan --help", "help plan", "get services --help", "help get services"]) {
    test(`"${argv}" tells about the command`, () => {
      const parsed = parseProgram(weft, argv.split(" "), {});
      assert.match(parsed.kind === "help" ? parsed.text : parsed.kind, /Usage:\n {2}weft (plan|get services)/);
    });
  }
});

describe("a command with an operand", () => {
  const command = defineCommand({
    name: "weft trace",
    summary: "Shows a revision.",
    flags: { revision: text({ value: "N", help: "Which." }), output: text({ short: "o", help: "Form." }) },
    operand: "revision",
    examples: [],
  });
  for (const argv of ["7", "--revision 7", "-o x 7", "7 -o x"]) {
    test(`takes it as a bare word or as its flag: ${argv}`, () => {
      const parsed = parseCommand(command, argv.split(" "), {});
      assert.equal(parsed.kind === "run" && parsed.values.revision, "7");
    });
  }
  for (const argv of ["7 8", "7 --revision 8", "--revision 8 7"]) {
    test(`takes one only: ${argv}`, () => {
      assert.equal(parseCommand(command, argv.split(" "), {}).kind, "usage-error");
    });
  }
  test("shows it in its usage", () => {
    const help = parseCommand(command, ["--help"], {});
    assert.match(help.kind === "help" ? help.text : "", /^ {2}weft trace \[N\] \[flags\]$/m);
  });
});
