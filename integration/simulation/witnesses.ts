import { printCursor } from "@weft/proto/cursor.ts";
import type { NodeWitness } from "./node.ts";
import { printRequest, printResponse } from "./print-message.ts";

/** Says what passes, before each of `judges` judges it. `say`: undefined: nobody reads it. */
export function witnesses(say: ((line: string) => void) | undefined, judges: readonly NodeWitness[]): NodeWitness {
  return {
    activating: (node, round, digest, isEverything) => {
      say?.(`${node.name} activates ${printCursor(round.cursor)}, ${round.services.length} services`);
      for (const judge of judges) judge.activating(node, round, digest, isEverything);
    },
    sent: (node, message) => {
      say?.(`${node.name} -> ${printRequest(message)}`);
      for (const judge of judges) judge.sent(node, message);
    },
    receiving: (node, message, bytes) => {
      say?.(`${node.name} <- ${printResponse(message)}, ${bytes} bytes`);
      for (const judge of judges) judge.receiving(node, message, bytes);
    },
  };
}
