/** What `npm run test:guests` runs: guests nobody here wrote, which take longer than `npm test` should. */

import { defineConfig } from 'vitest/config';

/** `.ci/run` counts tests by this file. */
const report = process.env['ZENO_REPORT'];

export default defineConfig({
  test: {
    include: ['test/guests/**/*.test.ts'], testTimeout: 300_000, hookTimeout: 300_000, pool: 'forks', maxWorkers: 2,
    reporters: report === undefined ? ['verbose'] : ['verbose', ['json', { outputFile: report }]],
  },
});
