/** What `npm test` runs: everything under test/ but the guests nobody here wrote, which vitest.guests.config.ts has. */

import { configDefaults, defineConfig } from 'vitest/config';

/** `.ci/run` counts tests by this file. */
const report = process.env['ZENO_REPORT'];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'], exclude: [...configDefaults.exclude, 'test/guests/**'],
    testTimeout: 120_000, hookTimeout: 120_000, pool: 'forks', maxWorkers: 2,
    reporters: report === undefined ? ['dot'] : ['dot', ['json', { outputFile: report }]],
  },
});
