// pg-boss: send for one job, insert for many, publish and subscribe for fan-out. Its workers poll every half second at the
// soonest, so the handlers ask by fetch and complete, as its documentation offers for a loop of one's own: at once again
// while there are any jobs, after a millisecond when there are none. Up to 10,000 at a time: a fetch sorts all that waits, and
// 1000 at a time drained a backlog five times slower.
import PgBoss from "pg-boss";
import { setTimeout as sleep } from "node:timers/promises";
import { main, message, messages } from "./harness.mjs";

await main(async (url) => {
  const boss = new PgBoss({ connectionString: url, max: 10, supervise: false, schedule: false });
  boss.on("error", (error) => console.error(error.message));
  await boss.start();
  await boss.createQueue("bench");
  return {
    prepare: async () => {},
    publisher: () => (first, count) => count === 1
      ? boss.send("bench", message(first))
      : boss.insert(messages(first, count).map((data) => ({ name: "bench", data }))),
    fanOutPublisher: async (instances) => {
      for (let i = 0; i < instances; ++i) {
        await boss.createQueue(`instance_${i}`);
        await boss.subscribe("bench", `instance_${i}`);
      }
      return (first) => boss.publish("bench", message(first));
    },
    async consume(handled) {
      let stopped = false;
      const loop = (async () => {
        while (!stopped) {
          const jobs = await boss.fetch("bench", { batchSize: 10_000 });
          for (const job of jobs) handled(job.data);
          if (jobs.length > 0) await boss.complete("bench", jobs.map((job) => job.id));
          else await sleep(1);
        }
      })();
      return async () => { stopped = true; await loop; };
    },
  };
});
