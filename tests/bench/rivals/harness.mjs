// What the programs of the rivals share: the same loads as the C++ side makes, in JavaScript. A rival gives an object with
// prepare(), publisher() → async (first, count), consume(handled) → async stop(), and what it can of drain and fan_out.
//   node RIVAL.mjs URL '{"do": "publish", …}'     prints one line of JSON
import { setTimeout as sleep } from "node:timers/promises";

const filler = "x".repeat(425 - '{"n":1234567890,"key":"k000","filler":""}'.length);
const firstNumber = 2_000_000_000; // the numbers of the warm-up are below it
export const message = (n) => ({ n: firstNumber + n, key: "k" + String((firstNumber + n) % 1000).padStart(3, "0"), filler });
export const messages = (first, count) => Array.from({ length: count }, (_, i) => message(first + i));

// Calls one after the other on each of `connections`, until the time is over.
async function closedLoop(publish, { batch = 1, connections, ms }) {
  let next = 0, calls = 0;
  for (let i = 0; i < 50; ++i) await publish((next += batch) - batch, batch); // the compiler's warm-up
  const start = performance.now();
  await Promise.all(Array.from({ length: connections }, async () => {
    while (performance.now() < start + ms) {
      const first = next;
      next += batch;
      await publish(first, batch);
      ++calls;
    }
  }));
  return { messages: calls * batch, seconds: (performance.now() - start) / 1000 };
}

async function flow(rival, { batch, producers, per_second: rate, ms }) {
  const began = [], latencies_ms = [], each_second = [];
  let next = 0, handled = 0, start = Infinity;
  let warm = 0;
  const stop = await rival.consume(({ n }) => {
    if (n < firstNumber) return void ++warm;
    const now = performance.now();
    ++handled;
    latencies_ms.push(now - began[n - firstNumber]);
    const second = Math.floor((now - start) / 1000);
    if (now < start + ms) each_second[second] = (each_second[second] ?? 0) + 1;
  });
  const publish = rival.publisher();
  for (let i = 1; i <= 50; ++i) await publish(-i * batch, batch);
  const warmLimit = performance.now() + 10_000;
  while (warm < 50 * batch && performance.now() < warmLimit) await sleep(1);
  start = performance.now();
  await Promise.all(Array.from({ length: producers }, async () => {
    let due = start;
    for (;;) {
      if (rate > 0) {
        due += (-Math.log(1 - Math.random()) * 1000 * batch * producers) / rate;
        const wait = Math.min(due, start + ms) - performance.now();
        if (wait > 0) await sleep(wait);
      }
      const now = performance.now();
      if (now >= start + ms) return;
      const first = next;
      next += batch;
      for (let n = first; n < next; ++n) began[n] = now;
      await publish(first, batch);
    }
  }));
  const limit = performance.now() + 5000;
  while (handled < next && performance.now() < limit) await sleep(5);
  await stop();
  const seconds = Array.from({ length: Math.ceil(ms / 1000) }, (_, i) => each_second[i] ?? 0);
  const consumed = seconds.reduce((sum, count) => sum + count, 0);
  return { published: { messages: next, seconds: ms / 1000 }, consumed: { messages: consumed, seconds: ms / 1000 },
    latencies_ms, each_second: seconds };
}

async function drain(rival, { backlog }) {
  const publish = rival.publisher();
  for (let n = 0; n < backlog; n += 1000) await publish(n, 1000);
  let handled = 0;
  const start = performance.now();
  let last = start;
  const stop = await rival.consume(() => { ++handled; last = performance.now(); });
  while (handled < backlog && performance.now() < start + 90_000) await sleep(5);
  await stop();
  if (handled !== backlog) throw new Error(`${handled} of ${backlog} messages handled in 90 s`);
  return { messages: backlog, seconds: (last - start) / 1000 };
}

async function fanOut(rival, { instances, connections, ms }) {
  const publish = await rival.fanOutPublisher(instances);
  return closedLoop(publish, { connections, ms });
}

export async function main(open) {
  const [url, text] = process.argv.slice(2);
  const what = JSON.parse(text);
  const rival = await open(url);
  let result = {};
  if (what.do === "prepare") await rival.prepare();
  else if (what.do === "publish") result = await closedLoop(rival.publisher(), what);
  else if (what.do === "flow") result = await flow(rival, what);
  else if (what.do === "drain") result = await drain(rival, what);
  else if (what.do === "fan_out") result = await fanOut(rival, what);
  else throw new Error(`unknown: ${what.do}`);
  process.stdout.write("\n" + JSON.stringify(result) + "\n", () => process.exit(0));
}
