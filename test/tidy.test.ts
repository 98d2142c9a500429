/** The house is in order: who imports whom, what each file begins with, what each machine's folder holds, and that the documents say what is there. */

import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { basename, dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const find = (pattern: string): string[] => globSync(pattern, { cwd: ROOT, exclude: (path) => path.includes('node_modules') }).map((path) => path.replaceAll('\\', '/')).sort();

interface Package {
  readonly scripts: Record<string, string>;
  readonly dependencies: Record<string, string>;
  readonly devDependencies: Record<string, string>;
  readonly optionalDependencies: Record<string, string>;
}
const PACKAGE = JSON.parse(read('package.json')) as Package;

/** Top-level folders, each of which may import those before it. */
const LAYERS = [['machines'], ['actors'], ['snapshots'], ['scenarios'], ['cli', 'web', 'bench'], ['test']];
const SOURCES = find(`{${LAYERS.flat().join(',')}}/**/*.{ts,js}`);
/** The simulator itself: it runs in a browser too, and knows no time and no chance but the World's. */
const PURE = SOURCES.filter((path) => /^(machines|actors|snapshots|scenarios)\//.test(path) && !reachesNode(path));

/** Files that may import `node:` modules and native packages. */
function reachesNode(path: string): boolean {
  return /^(cli|web|bench|test)\//.test(path) || path.startsWith('snapshots/store/') || path.startsWith('scenarios/guests/') || basename(path) === 'node.ts';
}

/** Which files may import a package; one that is not here may not be imported at all. */
const PACKAGES: Readonly<Record<string, (path: string) => boolean>> = {
  commander: (path) => path.startsWith('cli/'),
  'fast-check': (path) => path.startsWith('test/'),
  immer: (path) => !path.startsWith('machines/'),
  lmdb: (path) => path.startsWith('snapshots/store/'),
  msgpackr: (path) => path === 'snapshots/codec.ts',
  vitest: (path) => path.startsWith('test/'),
  xstate: (path) => path.endsWith('.machine.ts') || path === 'machines/statechart.ts' || path.startsWith('test/'),
  'xxhash-wasm': (path) => path === 'machines/memory/hash.ts',
};

interface Import { readonly from: string; readonly to: string; readonly reExport: boolean }

/** Comments out, and what stands in strings and templates too: what is left is code. */
const codeOf = (text: string): string => text.replaceAll(/\/\*[\s\S]*?\*\/|(?<![:'"`\w])\/\/.*$/gm, '').replaceAll(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\$]|\\.|\$(?!\{))*`/g, "''");

function importsOf(path: string): Import[] {
  const text = read(path).replaceAll(/\/\*[\s\S]*?\*\//g, '');
  const statements = text.matchAll(/^(?:(import|export)\s[^'"`;=()]*?from\s*|import\s*)['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm);
  return [...statements].map(([, keyword, named, called]) => {
    const to = (named ?? called)!;
    return { from: path, to: to.startsWith('.') ? normalize(join(dirname(path), to)) : to, reExport: keyword === 'export' };
  });
}
const IMPORTS = SOURCES.flatMap(importsOf);
const isFile = (to: string): boolean => LAYERS.flat().some((layer) => to.startsWith(`${layer}/`));
const packageOf = (to: string): string => to.split('/').slice(0, to.startsWith('@') ? 2 : 1).join('/');

/** The group that a file of machines/ belongs to: a folder, or its own name at the top. */
const machineOf = (path: string): string => path.split('/')[1]!.replace(/\.ts$/, '');
const GROUND = ['bits', 'messages', 'statechart'];
const ON_AARCH64 = ['kvm', 'gic', 'vgic', 'timer', 'mmu'];
const MACHINES = [...new Set(find('machines/*/*.ts').map(machineOf))];
/** What a machine may import besides itself. What is neither memory, nor the core, nor L0 and its siblings is a device. */
function mayImport(machine: string): readonly string[] {
  if (GROUND.includes(machine)) return GROUND;
  if (machine === 'memory') return GROUND;
  if (machine === 'aarch64') return [...GROUND, 'memory'];
  if (ON_AARCH64.includes(machine)) return [...GROUND, 'memory', 'aarch64'];
  return GROUND;
}

const line = ({ from, to }: Import): string => `${from} imports ${to}`;

describe('imports', () => {
  test('there are some, and each names a file that exists', () => {
    expect(IMPORTS.length).toBeGreaterThan(500);
    expect(IMPORTS.filter(({ to }) => isFile(to) && !existsSync(join(ROOT, to))).map(line)).toEqual([]);
  });

  test('machines ◀ actors ◀ snapshots ◀ scenarios ◀ { cli · web · bench }', () => {
    const rank = (path: string): number => LAYERS.findIndex((layer) => layer.includes(path.split('/')[0]!));
    const layer = (path: string): string => path.split('/')[0]!;
    expect(IMPORTS.filter(({ from, to }) => isFile(to) && (rank(to) > rank(from) || (rank(to) === rank(from) && layer(to) !== layer(from)))).map(line)).toEqual([]);
  });

  test('bits ◀ memory ◀ aarch64 ◀ { kvm · gic · vgic · timer · mmu }, who are strangers; devices know none of them', () => {
    const inside = IMPORTS.filter(({ from, to }) => from.startsWith('machines/') && to.startsWith('machines/'));
    expect(inside.filter(({ from, to }) => machineOf(from) !== machineOf(to) && !mayImport(machineOf(from)).includes(machineOf(to))).map(line)).toEqual([]);
    // The list of who stands on the core is not longer than the folders that are.
    expect(ON_AARCH64.filter((machine) => !MACHINES.includes(machine))).toEqual([]);
  });

  test('no file imports itself through others', () => {
    const next = Map.groupBy(IMPORTS.filter(({ to }) => isFile(to)), ({ from }) => from);
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '));
      else if (!done.has(path)) {
        for (const { to } of next.get(path) ?? []) visit(to, [...trail, path]);
        done.add(path);
      }
    };
    for (const path of SOURCES) visit(path, []);
    expect(cycles).toEqual([]);
  });

  test('node: modules only where files and processes are somebody\'s business', () => {
    const foreign = IMPORTS.filter(({ to }) => to.startsWith('node:') || builtinModules.includes(to));
    expect(foreign.filter(({ from }) => !reachesNode(from)).map(line)).toEqual([]);
    expect(foreign.filter(({ to }) => !to.startsWith('node:')).map(line), 'written with node: in front').toEqual([]);
  });

  test('what is pure uses nothing that only Node has', () => {
    expect(PURE.filter((path) => /\b(process|Buffer|require|__dirname|__filename)\b\s*[.([]|import\.meta\.(dirname|filename|main)/.test(codeOf(read(path))))).toEqual([]);
  });

  test('each package has its place', () => {
    const packages = IMPORTS.filter(({ to }) => !isFile(to) && !to.startsWith('node:') && !to.startsWith('.'));
    expect(packages.filter(({ from, to }) => !(PACKAGES[packageOf(to)]?.(from) ?? from.startsWith('test/'))).map(line)).toEqual([]);
    expect(packages.filter(({ from, to }) => !from.startsWith('test/') && !(packageOf(to) in PACKAGE.dependencies)).map(line), 'a dependency, not a devDependency').toEqual([]);
  });

  test('versions are pinned exactly', () => {
    const all = { ...PACKAGE.dependencies, ...PACKAGE.devDependencies, ...PACKAGE.optionalDependencies };
    expect(Object.entries(all).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  });

  test('the tests run on the Node that is pinned', () => {
    expect(Object.values(PACKAGE.optionalDependencies)).toContain(process.versions.node);
  });
});

describe('files', () => {
  test('no wall clock, no chance and no timers below cli/ and web/', () => {
    const clocks = /\bDate\.now\b|\bnew Date\b|\bDate\(\)|\bperformance\s*\.|\bMath\.random\b|\bhrtime\b|\bTemporal\.Now\b|\bset(Timeout|Interval|Immediate)\b|\bcrypto\.(getRandomValues|randomUUID)\b/;
    const simulator = SOURCES.filter((path) => /^(machines|actors|snapshots|scenarios)\//.test(path) && !path.startsWith('scenarios/guests/'));
    expect(simulator.filter((path) => clocks.test(codeOf(read(path))))).toEqual([]);
  });

  test('each begins by saying in a sentence what it is for', () => {
    const files = [...SOURCES, ...find('*.ts'), ...find('{scenarios/guests,bench/workloads}/**/*.{c,h,S,lds}')];
    expect(files.filter((path) => !/^(#!.*\n)?\/\*\*?\s+(\* )?[\p{L}\d*`][^]*?[.?!:][^]*?\*\//u.test(read(path)))).toEqual([]);
  });

  test('nothing is put off in a comment', () => {
    const marks = /\b(TODO|FIXME|XXX|HACK)\b/;
    const files = [...SOURCES, ...find('{scenarios/guests,bench/workloads}/**/*.{c,h,S,lds}'), ...find('docs/**/*.md'), 'README.md'].filter((path) => path !== 'test/tidy.test.ts');
    expect(files.filter((path) => marks.test(read(path)))).toEqual([]);
  });

  test('none is longer than 700 lines', () => {
    expect(SOURCES.map((path) => `${path}: ${read(path).split('\n').length - 1}`).filter((text) => Number(text.split(': ')[1]) > 700)).toEqual([]);
  });

  test('none only passes on what others export', () => {
    expect(SOURCES.filter((path) => basename(path) === 'index.ts' || /^(\s*export\s*(type\s*)?(\*|\{[^}]*\})[^;]*from\s*'[^']*';)+\s*$/.test(read(path).replaceAll(/\/\*[\s\S]*?\*\//g, '')))).toEqual([]);
  });

  test('types are erasable: no enums, namespaces or parameter properties', () => {
    expect(SOURCES.filter((path) => /^\s*(export )?(const )?(enum|namespace) \w|constructor\([^)]*\b(private|public|protected|readonly) \w+\??:/m.test(codeOf(read(path))))).toEqual([]);
  });
});

/** Why a machine's folder lacks a part of the anatomy. */
const EXEMPT: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'state.ts': { memory: 'its state is the linear memory itself, and the page tree' },
  'describe.ts': { memory: 'bytes are described by whoever knows what they are' },
  registers: {
    memory: 'not a device', kvm: 'the registers that a guest sees are those of aarch64', vgic: 'list registers are rows of aarch64', timer: 'timer registers are rows of aarch64',
    mmu: 'a guest sees its tables, not registers',
  },
  chart: { memory: 'without modes', aarch64: 'the core is hardware, whose modes are PSTATE; its power is the vCPU actor\'s', uart: 'a FIFO and an enable bit: no modes',
    virtio: 'its status register is its mode, which the driver writes bit by bit', pci: 'a bus: nothing in it has modes',
    rtc: 'a counter: no modes', gpio: 'eight lines: no modes', 'fw-cfg': 'a selector and an offset: no modes', flash: 'its modes are the rows of COMMANDS in registers.ts' },
};

describe('machines have one anatomy', () => {
  const holds = (machine: string, pattern: string): boolean => find(`machines/${machine}/${pattern}`).length > 0;
  test.each([
    ['state.ts', 'state.ts'], ['describe.ts', 'describe.ts'], ['registers', '{registers.ts,registers/*.ts}'], ['chart', '*.machine.ts'],
  ])('%s is there, or it is said why not', (part, pattern) => {
    expect(MACHINES.filter((machine) => !holds(machine, pattern) && EXEMPT[part]![machine] === undefined)).toEqual([]);
    expect(Object.keys(EXEMPT[part]!).filter((machine) => holds(machine, pattern)), 'the exemption is no longer needed').toEqual([]);
  });
});

/** Tests whose subject is not one file, by what they are about. */
const ABOUT: Readonly<Record<string, string>> = {
  'test/machines/charts.test.ts': 'every *.machine.ts',
  'test/machines/gic/board.test.ts': 'the GIC as a bare board wires it',
  'test/machines/aarch64/instructions.test.ts': 'instructions/',
  'test/machines/aarch64/float.test.ts': 'engine/float/, and the float rows',
  'test/machines/aarch64/vector.test.ts': 'the vector rows, and what they do in memory',
  'test/snapshots/memory-system.test.ts': 'history over linear memory',
};

describe('tests', () => {
  const TESTS = find('test/**/*.test.ts');

  test('stand where their subject stands', () => {
    // What is asked of scenarios and of the command line is asked of all of them: their tests are named by the question.
    const mirrored = TESTS.filter((path) => /^test\/(machines|actors|snapshots)\//.test(path));
    const subjects = (path: string): string[] => {
      const plain = path.slice('test/'.length, -'.test.ts'.length);
      // access-nested.test.ts may be a second part of access.test.ts.
      const parts = basename(plain).split('-').map((_, index, words) => join(dirname(plain), words.slice(0, index + 1).join('-')));
      return parts.flatMap((part) => [`${part}.ts`, `${part}.js`]);
    };
    expect(mirrored.filter((path) => !subjects(path).some((subject) => existsSync(join(ROOT, subject))) && ABOUT[path] === undefined)).toEqual([]);
    expect(Object.keys(ABOUT).filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  test('run: a test that is skipped says in its name what it lacks', () => {
    const skips = TESTS.filter((path) => path !== 'test/tidy.test.ts').flatMap((path) => [...read(path).matchAll(/\b(?:test|it|describe)\.(skip|only|todo|skipIf|runIf|fails)\b.*/g)].map(([text, how]) => ({ path, text, how: how! })));
    // Where several tests lack the same, WHERE holds the words. A setting under which a question makes no sense is not a lack.
    const named = ({ how, text }: { how: string; text: string }): boolean => ['skip', 'skipIf', 'runIf'].includes(how) && /\(needs [^)]+\)|\(skipped where [^)]+\)|is not beside the checkout|\$\{WHERE\}|\.runIf\((nested|l1|vcpus) === /.test(text);
    expect(skips.filter((skip) => !named(skip)).map(({ path, text }) => `${path}: ${text}`)).toEqual([]);
  });

  test('expect something', () => {
    expect(TESTS.filter((path) => !/\bexpect\b|\bfc\.assert\b/.test(read(path)))).toEqual([]);
  });
});

describe('documents', () => {
  const DOCUMENTS = ['README.md', ...find('docs/**/*.md'), ...find('{scenarios,bench,web}/**/*.md')];
  const linksOf = (path: string): string[] => [...read(path).replaceAll(/```[^]*?```/g, '').matchAll(/\]\(([^)\s]+)\)/g)].map(([, to]) => to!);
  const anchorsOf = (path: string): string[] => [...read(path).matchAll(/^#+ (.+)$/gm)].map(([, title]) => title!.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-'));

  test('link to what is there', () => {
    const broken = DOCUMENTS.flatMap((path) => linksOf(path).filter((to) => !/^[a-z]+:/.test(to)).filter((to) => {
      const [file, anchor] = to.split('#') as [string, string | undefined];
      const target = file === '' ? path : join(dirname(path), file);
      if (!existsSync(join(ROOT, target))) return true;
      return anchor !== undefined && !anchorsOf(target).includes(anchor);
    }).map((to) => `${path}: ${to}`));
    expect(broken).toEqual([]);
  });

  test('name files that exist', () => {
    // Decisions are kept as they were made, and NAME stands for a name.
    const missing = DOCUMENTS.filter((path) => !path.startsWith('docs/decisions/')).flatMap((path) => [...read(path).matchAll(/`((?:machines|actors|snapshots|scenarios|cli|web|bench|test|docs)\/[\w./-]*[\w/])`/g)]
      .map(([, file]) => file!).filter((file) => !file.includes('NAME') && !existsSync(join(ROOT, file))).map((file) => `${path}: ${file}`));
    expect(missing).toEqual([]);
  });

  test('name npm scripts that exist', () => {
    const named = [...DOCUMENTS, ...SOURCES].filter((path) => path !== 'test/tidy.test.ts').flatMap((path) => [...read(path).matchAll(/\bnpm (?:run ([\w:-]+)|(test)\b)/g)].map(([, script, plain]) => ({ path, script: script ?? plain! })));
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter(({ script }) => !(script in PACKAGE.scripts)).map(({ path, script }) => `${path}: npm run ${script}`)).toEqual([]);
  });

  test('have a row for each verb, and no other', () => {
    const named = [...read('README.md').matchAll(/^\| (`[^|]*`) \|/gm)].flatMap(([, cell]) => [...cell!.matchAll(/`(\w+)(?: [^`]*)?`/g)].map(([, verb]) => verb!)).toSorted();
    expect(named).toEqual([...read('cli/main.ts').matchAll(/import \{ add\w+ \} from '\.\/(\w+)\.ts'/g)].map(([, verb]) => verb!).toSorted());
  });

  test('are linked from README.md, each decision from the list of decisions', () => {
    const linked = new Set(linksOf('README.md').map((to) => normalize(to.split('#')[0]!)));
    const listed = existsSync(join(ROOT, 'docs/decisions/README.md')) ? linksOf('docs/decisions/README.md').map((to) => normalize(join('docs/decisions', to))) : [];
    expect(find('docs/**/*.md').filter((path) => !linked.has(path) && !listed.includes(path))).toEqual([]);
  });

  test('scripts run files that exist', () => {
    const files = Object.values(PACKAGE.scripts).flatMap((script) => script.match(/[\w./-]+\.[tj]s\b/g) ?? []);
    expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
  });

  test('.ci/run can be run', () => {
    expect(statSync(join(ROOT, '.ci/run')).mode & 0o111).toBe(0o111);
  });
});
