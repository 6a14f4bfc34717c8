import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { frontendElement } from "./element-key.ts";
import { udpPeerLayout, udpPeersMax } from "./layout.ts";
import { LeftPeers, slotOf } from "./left-peers.ts";
import { addressOf, clusterIp } from "./testing/plans.ts";

const target = { address: addressOf("10.0.0.1"), port: 53 };
const [frontend, otherFrontend] = ["172.30.0.1", "172.30.0.2"].map((ip) => {
  const [of] = clusterIp("a/dns", ip, [], { port: 53, protocol: "UDP" }).frontends;
  assert.ok(of);
  return frontendElement(of, "").bytes;
});
assert.ok(frontend && otherFrontend);
const slot = slotOf(frontend, target);
const left = { frontend, left: [target], came: [] };
const came = { ...left, left: [], came: [target] };

describe("backends that left while UDP sockets are connected to them", () => {
  const start = (sockets: number) => {
    const memory = new ArrayBuffer(udpPeersMax * udpPeerLayout.size);
    const words = new Uint32Array(memory);
    words[slot * 2] = sockets;
    return { memory, words, peers: new LeftPeers(memory) };
  };

  it("are needed while they have sockets, and forgotten then", () => {
    const { words, peers } = start(1);
    assert.equal(peers.review(0), false, "nothing left yet");
    peers.moved([left], 0);
    assert.equal(peers.review(0), true);
    assert.equal(peers.review(5_000), true);
    words[slot * 2] = 0;
    assert.equal(peers.review(5_001), false);
    words[slot * 2] = 1;
    assert.equal(peers.review(5_002), false, "it was forgotten");
  });

  it("are looked at again for a connect() that was on its way", () => {
    const { words, peers } = start(0);
    peers.moved([left], 0);
    assert.equal(peers.review(0), false);
    assert.equal(peers.review(900), false);
    words[slot * 2] = 1;
    assert.equal(peers.review(1_100), true);
  });

  it("are not needed once they are back, but those of another frontend are", () => {
    const { words, peers } = start(1);
    const other = { ...left, frontend: otherFrontend };
    words[slotOf(otherFrontend, target) * 2] = 1;
    peers.moved([left, other], 0);
    peers.moved([came], 1);
    assert.equal(peers.review(2), true);
    peers.moved([{ ...came, frontend: otherFrontend }], 3);
    assert.equal(peers.review(4), false);
  });

  it("are known to a restarted agent until they have no sockets", () => {
    const { memory, words, peers } = start(1);
    peers.moved([left], 0);
    const restarted = new LeftPeers(memory);
    assert.equal(restarted.review(0), true);
    words[slot * 2] = 0;
    assert.equal(restarted.review(1), false);
    assert.ok(words.every((word) => word === 0));
  });
});
