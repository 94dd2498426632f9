// graphile-worker, with the settings of its page on performance (worker.graphile.org/docs/performance): 24 jobs side by side,
// 25 connections, a local queue of 500, completion in batches. Publishing by addJob and addJobs of its utilities.
import { makeWorkerUtils, run, runMigrations, Logger } from "graphile-worker";
import pg from "pg";
import { main, message, messages } from "./harness.mjs";

const logger = new Logger(() => (level, text) => { if (level === "error") console.error(text); });

await main(async (url) => {
  const pgPool = new pg.Pool({ connectionString: url, max: 25 });
  pgPool.on("error", (error) => console.error(error.message));
  pgPool.on("connect", (client) => client.on("error", (error) => console.error(error.message)));
  const utils = await makeWorkerUtils({ pgPool, logger });
  return {
    prepare: () => runMigrations({ pgPool, logger }),
    publisher: () => (first, count) => count === 1
      ? utils.addJob("bench", message(first))
      : utils.addJobs(messages(first, count).map((payload) => ({ identifier: "bench", payload }))),
    fanOutPublisher: async (instances) => (first) =>
      utils.addJobs(Array.from({ length: instances }, (_, i) => ({ identifier: `instance_${i}`, payload: message(first) }))),
    async consume(handled) {
      const runner = await run({
        pgPool, logger, noHandleSignals: true,
        taskList: { bench: async (payload) => { handled(payload); } },
        preset: { worker: { concurrentJobs: 24, maxPoolSize: 25, localQueue: { size: 500 }, completeJobBatchDelay: 0,
          failJobBatchDelay: 0 } },
      });
      return () => runner.stop();
    },
  };
});
