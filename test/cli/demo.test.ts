/** The demonstration tells its story to the end. */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { scratch, zeno } from '../support/zeno.ts';

test('the demo finds the fault, rewinds, forks, compares and replays, and leaves a recording that the verbs read', async () => {
  const cwd = scratch();
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(import.meta.dirname, '../../cli/demo.ts')], { cwd, encoding: 'utf8', env: { ...process.env, NO_COLOR: '1' } });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  for (const line of [
    /^failed: an exception that L1 forwards arrives at L2's vector: vcpu1 returns to L2 at 0x40001290/m, /^→ 40001290 {2}d518103f {2}msr actlr_el1, xzr$/m,
    /^ {2}ELR_EL2 +0x40001290 <trap> +but to the instruction that trapped/m, /^passed: RESULT forward-exception PASS$/m, /kvm_nested_eret elr=0x40000a00/, /^identical: /m,
    /^main failed, the fork passed, both replay; /m,
  ]) expect(stdout).toMatch(line);
  expect((await zeno(['replay', join(cwd, 'recordings/demo')])).status).toBe(0);
  expect((await zeno(['timeline', join(cwd, 'recordings/demo'), '--tree'])).out).toMatch(/^nested:5 /m);
});
