/** The steps of the demo, in order. */
import { setTimeout as delay } from "node:timers/promises";
import { api, dns, web } from "./cast.ts";
import type { Stage } from "./stage.ts";

/** How long the control plane stays away. */
const awayMs = 1_000;

export const story: readonly { readonly title: string; readonly play: (stage: Stage) => Promise<void> }[] = [
  {
    title: "Scale out: one more pod of default/web",
    play: async (stage) => {
      const added = await stage.startPods([{ name: "web-4", node: 1, ports: String(web.port) }]);
      await stage.edit(web, "add web-4", { add: added });
      await stage.answers(web);
    },
  },
  {
    title: "Replace: both pods of default/api in one edit",
    play: async (stage) => {
      const added = await stage.startPods([
        { name: "api-3", node: 2, ports: String(api.port) },
        { name: "api-4", node: 3, ports: String(api.port) },
      ]);
      await stage.edit(api, "api-1, api-2 become api-3, api-4", { add: added, remove: ["api-1", "api-2"] });
      await stage.stopDrained(api, ["api-1", "api-2"]);
      await stage.answers(api);
    },
  },
  {
    title: "Terminate: web-2 drains while it is still listed",
    play: async (stage) => {
      const leaving = { pod: "web-2", node: "node-2", addresses: stage.addressesOf("web-2"), isTerminating: true };
      await stage.edit(web, "web-2 is terminating", { add: [leaving] });
      await stage.stopDrained(web, ["web-2"]);
      await stage.edit(web, "remove web-2", { remove: ["web-2"] });
      await stage.answers(web);
    },
  },
  {
    title: "Remove: one of two pods of kube-system/dns, UDP and TCP",
    play: async (stage) => {
      await stage.edit(dns, "remove dns-1", { remove: ["dns-1"] });
      await stage.stopDrained(dns, ["dns-1"]);
      await stage.answers(dns);
    },
  },
  {
    title: "The control plane is killed; an edit waits for its return",
    play: async (stage) => {
      const { lab, screen } = stage;
      await lab.controlplane.kill();
      screen.fact("SIGKILL", "weft-controlplane; every node keeps its last revision");
      screen.fact("edit", `${web.file}: remove web-3`);
      lab.manifests.changeEndpoints(web.file, web.name, { remove: ["web-3"] });
      await delay(awayMs, undefined, { signal: stage.signal });
      await lab.controlplane.start();
      stage.watch = lab.watchRevisions();
      screen.fact("restart", "a new epoch; nodes compare digests, only what differs travels");
      const back = await stage.weft("wait", "--revision", "1");
      if (back.code !== 0) stage.problem(`weft wait ended with ${back.code}: ${back.stderrTail}`);
      stage.show(await stage.watch.committed(web.name, 0));
      await stage.stopDrained(web, ["web-3"]);
      await stage.answers(web);
    },
  },
  {
    title: "An agent is killed; its node serves on, and is not called done",
    play: async (stage) => {
      const { lab, screen } = stage;
      const node = lab.node(2);
      await node.agent.kill();
      screen.fact("SIGKILL", `weft-agent on ${node.name}`);
      const before = stage.watch.head;
      screen.fact("edit", `${api.file}: remove api-4`);
      lab.manifests.changeEndpoints(api.file, api.name, { remove: ["api-4"] });
      const { commit } = await stage.watch.committed(api.name, before);
      const early = await stage.weft("wait", "--revision", String(commit.revision), "--timeout", "1s");
      if (early.code !== 3)
        stage.problem(`weft wait ended with ${early.code} while ${node.name} had no agent; 3 was due`);
      await node.startAgent();
      screen.fact("restart", "the maps were pinned; nothing was removed in between");
      stage.show(await stage.watch.settled(api.name, before));
      await stage.stopDrained(api, ["api-4"]);
      await stage.answers(api);
    },
  },
];
