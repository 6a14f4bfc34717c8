/** Has a Node process that listens for debuggers (`--inspect`) collect all garbage and say what is left. */

const answerLimitMs = 30_000;

/** Bytes that a process holds when its garbage is collected. */
export interface InspectedHeap {
  /** JavaScript objects. */
  readonly objectsBytes: number;
  /** Buffers and what native code says it holds, TLS too. */
  readonly externalBytes: number;
}

interface Answer {
  readonly id?: number;
  readonly error?: unknown;
  readonly result?: { readonly result?: { readonly value?: unknown } };
}

// Twice: what is freed only by finalizers goes with the second.
const questions = [
  { method: "HeapProfiler.collectGarbage", params: {} },
  { method: "HeapProfiler.collectGarbage", params: {} },
  {
    method: "Runtime.evaluate",
    params: {
      returnByValue: true,
      expression:
        "(({ heapUsed, external }) => ({ objectsBytes: heapUsed, externalBytes: external }))(process.memoryUsage())",
    },
  },
] as const;

/** @param url As the process printed it: `ws://…`. It is blocked for that time. */
export async function inspectedHeap(url: string): Promise<InspectedHeap> {
  const socket = new WebSocket(url);
  const { promise, resolve, reject } = Promise.withResolvers<InspectedHeap>();
  const fail = (why: string): void => reject(new Error(`the inspector at ${url} ${why}`));
  const ask = (index: number): void => socket.send(JSON.stringify({ id: index, ...questions[index] }));
  socket.addEventListener("open", () => ask(0));
  socket.addEventListener("message", ({ data }) => {
    const { id, error, result } = JSON.parse(String(data)) as Answer;
    if (id === undefined) return;
    if (error !== undefined) fail(`refused: ${JSON.stringify(error)}`);
    else if (id + 1 < questions.length) ask(id + 1);
    else resolve(result?.result?.value as InspectedHeap);
  });
  socket.addEventListener("error", () => fail("is not there"));
  const limit = setTimeout(() => fail("did not answer"), answerLimitMs);
  try {
    return await promise;
  } finally {
    clearTimeout(limit);
    socket.close();
  }
}
