import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCommand } from "@weft/proto/program/parse.ts";
import { controlPlaneCommand } from "./command.ts";
import { chooseSource } from "./source-flags.ts";

const needed = ["--manifests", "m", "--listen", "127.0.0.1:0", "--http", "[::1]:8080"];
const tls = ["--tls-cert", "a", "--tls-key", "b", "--tls-client-ca", "c"];

const refused: readonly (readonly [name: string, args: readonly string[], says: RegExp])[] = [
  ["no flags", [], /--listen is missing/],
  ["no source", needed.slice(2), /give --manifests DIR, --kubeconfig FILE or --in-cluster/],
  ["two sources", [...needed, "--kubeconfig", "k", "--insecure"], /--manifests and --kubeconfig exclude each other/],
  ["a cluster inside and out", [...needed.slice(2), "--in-cluster", "--kubeconfig", "k"], /exclude each other/],
  ["a context without kubeconfig", [...needed, "--context", "c", "--insecure"], /give --kubeconfig FILE too/],
  ["no address for agents", ["--manifests", "m", "--http", "127.0.0.1:0", "--insecure"], /--listen is missing/],
  ["no address for HTTP", ["--manifests", "m", "--listen", "127.0.0.1:0", "--insecure"], /--http is missing/],
  ["an unknown flag", [...needed, "--insecur"], /did you mean --insecure\?/],
  ["neither TLS nor --insecure", needed, /--tls-client-ca, or --insecure/],
  ["half of TLS", [...needed, "--tls-cert", "a"], /belong together/],
  ["TLS and --insecure", [...needed, ...tls, "--insecure"], /excludes/],
  ["a port that is none", [...needed.slice(0, 3), "127.0.0.1:x", "--http", "127.0.0.1:0", "--insecure"], /HOST:PORT/],
  ["a share above 100%", [...needed, "--insecure", "--mass-removal-threshold", "101%"], /a share from 0% to 100%/],
  ["a hold of no time", [...needed, "--insecure", "--mass-removal-hold", "0s"], /give a duration from 1ms/],
  ["a CIDR that is none", [...needed, "--insecure", "--service-cidr", "10.0.0.0"], /"10\.0\.0\.0": give a CIDR/],
];

for (const [name, args, says] of refused) {
  test(`a command line is refused: ${name}`, () => {
    const parsed = parseCommand(controlPlaneCommand, args, {});
    assert.equal(parsed.kind, "usage-error");
    assert.match(parsed.kind === "usage-error" ? parsed.message : "", says);
  });
}

test("a source on the command line silences the variables of the others", () => {
  const args = [...needed.slice(2), "--insecure", "--kubeconfig", "k"];
  const parsed = parseCommand(controlPlaneCommand, args, { WEFT_MANIFESTS: "m", WEFT_IN_CLUSTER: "true" });
  assert.ok(parsed.kind === "run");
  assert.deepEqual(chooseSource(parsed.values), { kind: "kubeconfig", file: "k", context: undefined });
});

test("every flag can be a variable, and service CIDRs are many", () => {
  const environment = {
    WEFT_MANIFESTS: "m",
    WEFT_LISTEN: "127.0.0.1:7000",
    WEFT_HTTP: "127.0.0.1:7001",
    WEFT_INSECURE: "true",
    WEFT_SERVICE_CIDR: "10.96.1.0/12, fd00:96::/108",
  };
  const parsed = parseCommand(controlPlaneCommand, [], environment);
  assert.ok(parsed.kind === "run");
  assert.deepEqual([parsed.values.manifests, parsed.values.listen.port, parsed.values.insecure], ["m", 7000, true]);
  assert.deepEqual(parsed.values.serviceCidr, [
    { address: "10.96.0.0", length: 12 },
    { address: "fd00:96::", length: 108 },
  ]);
});

test("mass removals are held above half of the services for 10 minutes, unless flags say otherwise", () => {
  const cases: readonly (readonly [args: readonly string[], percent: number, holdMs: number])[] = [
    [[], 50, 600_000],
    [["--mass-removal-threshold", "0", "--mass-removal-hold", "1m30s"], 0, 90_000],
    [["--mass-removal-threshold", "75%"], 75, 600_000],
  ];
  for (const [args, percent, holdMs] of cases) {
    const parsed = parseCommand(controlPlaneCommand, [...needed, "--insecure", ...args], {});
    assert.ok(parsed.kind === "run");
    assert.deepEqual([parsed.values.massRemovalThreshold, parsed.values.massRemovalHold], [percent, holdMs]);
  }
});
