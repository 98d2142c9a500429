/** The workloads of `bench:execute`: what each is, how large its forms are, and how they are built for QEMU's virt board and ours. */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const SOURCES = join(import.meta.dirname, 'workloads');
const GCC = 'aarch64-linux-gnu-gcc';

/** The two numbers a form is linked with. */
interface Form { readonly rounds: number; readonly size: number }
export interface Workload {
  readonly name: string;
  readonly sources: readonly string[];
  readonly flags: readonly string[];
  /** A power of two, at most 32,768 (128 MiB). */
  readonly heapPages: number;
  /** Some 5 million instructions. */
  readonly short: Form;
  /** 100 to 600 million. */
  readonly long: Form;
  /** Shows one thing about an engine, and is run only when it is named. */
  readonly special?: true;
}

const INTEGER = ['-O2', '-mgeneral-regs-only'];
const alone = (name: string, short: Form, long: Form, heapPages = 16): Workload => ({ name, sources: [`${name}.c`], flags: INTEGER, heapPages, short, long });

const special = (...of: Parameters<typeof alone>): Workload => ({ ...alone(...of), special: true });

/** What a run costs before and after its work: taken off the time of a process. */
export const NOTHING = alone('nothing', { rounds: 1, size: 0 }, { rounds: 1, size: 0 });

/** The same loop with its data beside it, in the page of its code, and elsewhere. */
const CODE_DATA: Workload = { name: 'code-data', sources: ['code-data.S'], flags: INTEGER, heapPages: 16, short: { rounds: 450_000, size: 1 }, long: { rounds: 10_000_000, size: 1 } };
const CODE_APART: Workload = { ...CODE_DATA, name: 'code-apart', short: { ...CODE_DATA.short, size: 0 }, long: { ...CODE_DATA.long, size: 0 } };

export const WORKLOADS: readonly Workload[] = [
  alone('integer', { rounds: 6, size: 0 }, { rounds: 400, size: 0 }),
  alone('memory', { rounds: 3, size: 8000 }, { rounds: 8, size: 200_000 }, 4096),
  { ...alone('float', { rounds: 8, size: 0 }, { rounds: 400, size: 0 }), flags: ['-O3'] },
  alone('branchy', { rounds: 5, size: 0 }, { rounds: 300, size: 0 }),
  { ...alone('system', { rounds: 5, size: 100 }, { rounds: 50, size: 300 }, 512), sources: ['system.c', 'user.S'] },
  CODE_DATA, CODE_APART,
  special('calls', { rounds: 80, size: 0 }, { rounds: 3000, size: 0 }),
  special('flags', { rounds: 100, size: 0 }, { rounds: 5000, size: 0 }),
  // Functions that run a thousand times before they are written over, and functions that run four times.
  special('generated', { rounds: 1, size: 500 }, { rounds: 20, size: 1000 }),
  { ...special('seldom', { rounds: 20, size: 4 }, { rounds: 500, size: 4 }), sources: ['generated.c'] },
  special('spaces', { rounds: 80, size: 20 }, { rounds: 2500, size: 20 }, 512),
  { ...special('atomics', { rounds: 450, size: 0 }, { rounds: 12_000, size: 0 }), flags: [...INTEGER, '-march=armv8.1-a'] },
  special('devices', { rounds: 2000, size: 100 }, { rounds: 20_000, size: 1000 }),
];

/** The virtual machine is no Linux and has no library. Without -mstrict-align, since with the MMU on all memory is Normal. */
const FLAGS = [
  '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-march=armv8-a', '-mno-outline-atomics', '-mbranch-protection=none', '-ffreestanding', '-fno-pic', '-fno-stack-protector',
  '-fno-tree-loop-distribute-patterns', '-fno-asynchronous-unwind-tables', '-nostdlib', '-static', '-no-pie',
  '-Wl,--build-id=none', '-Wl,-z,max-page-size=4096', '-Wl,-z,noexecstack', '-Wl,--no-warn-rwx-segments', `-Wl,-T,${join(SOURCES, 'workload.lds')}`,
];

/** Builds one form of a workload into `folder`: the path of an ELF file. Throws what the compiler says, or that there is none. */
export function buildWorkload(workload: Workload, form: Form, folder: string): string {
  const output = join(folder, `${workload.name}-${form.rounds}-${form.size}.elf`);
  const numbers = `-Wl,--defsym=workload_rounds=${form.rounds},--defsym=workload_size=${form.size},--defsym=workload_heap_pages=${workload.heapPages}`;
  const sources = ['start.S', ...workload.sources].map((name) => join(SOURCES, name));
  const { error, status, stderr } = spawnSync(GCC, [...FLAGS, ...workload.flags, numbers, '-o', output, ...sources], { encoding: 'utf8' });
  if (error) throw new Error(`${GCC}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'not found; the workloads are built from source (Debian: gcc-aarch64-linux-gnu)' : error.message}`);
  if (status !== 0) throw new Error(`${workload.name}: ${GCC} fails:\n${stderr}`);
  return output;
}
