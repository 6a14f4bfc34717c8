/** Has a Node process that listens for debuggers (`--inspect`) collect all garbage, so that what it holds can be measured. */

const answerLimitMs = 30_000;

/** @param url As the process printed it: `ws://…`. Resolves when it has. */
export async function collectGarbage(url: string): Promise<void> {
  const socket = new WebSocket(url);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (why: string): void => reject(new Error(`the inspector at ${url} ${why}`));
  socket.addEventListener("open", () => socket.send('{"id":1,"method":"HeapProfiler.collectGarbage"}'));
  socket.addEventListener("message", ({ data }) => {
    const answer = JSON.parse(String(data)) as { readonly id?: number; readonly error?: unknown };
    if (answer.id !== 1) return;
    if (answer.error === undefined) resolve();
    else fail(`refused: ${JSON.stringify(answer.error)}`);
  });
  socket.addEventListener("error", () => fail("is not there"));
  const limit = setTimeout(() => fail("did not answer"), answerLimitMs);
  try {
    await promise;
  } finally {
    clearTimeout(limit);
    socket.close();
  }
}
