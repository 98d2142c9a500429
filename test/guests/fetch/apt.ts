/** Debian's packages by apt, without a change to the system: apt's state, cache and sources lie in a folder of ours. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FetchError, sumOf, type Package } from './manifest.ts';

/** Where this machine gets Debian, and the keys it trusts for that: '' for those of the system. */
export interface Mirror { readonly uri: string; readonly keys: string }

export interface Apt {
  /** Packages by `NAME:ARCHITECTURE/SUITE` or `NAME:ARCHITECTURE=VERSION`, without what they depend on. */
  packages(names: readonly string[]): Package[];
  /** Packages for this machine and all that they depend on, down to the C library. */
  closure(names: readonly string[]): Package[];
  /** The field Depends of a package. */
  depends(name: string): string;
  /** Gets packages into a folder. One is there by its name only when all of it is. */
  download(packages: readonly Package[], folder: string): void;
}

/** The suites of Debian itself; those of others are not asked. */
const SUITES = ['bullseye', 'bookworm', 'trixie', 'forky', 'sid', 'oldoldstable', 'oldstable', 'stable', 'testing', 'unstable'];
const KEYRINGS = ['/usr/share/keyrings/debian-archive-keyring.gpg', '/usr/share/keyrings/debian-archive-keyring.pgp'];
const LIMIT_MS = 600_000;

/** Stands for this machine's own among architectures. */
export const HOST = 'host';

/** Asks the mirrors that this machine knows, one after another, until one has all suites. `folder` is apt's, and may be deleted afterwards. */
export function openApt(folder: string, suites: Readonly<Record<string, readonly string[]>>): Apt {
  const host = command('dpkg', ['--print-architecture']).trim();
  const mirrors = mirrorsOf(command('apt-get', ['indextargets', 'Created-By: Packages']), (path) => (existsSync(path) ? readFileSync(path, 'utf8') : ''), KEYRINGS.filter((path) => existsSync(path)));
  if (mirrors.length === 0) throw new FetchError("apt's configuration has no mirror of Debian: a source with a suite such as bookworm and the component main");
  const settings = configure(folder, host);
  const failures: string[] = [];
  for (const { uri, keys } of mirrors) {
    const lines = Object.entries(suites).map(([suite, names]) => {
      const architectures = [...new Set(names.map((name) => (name === HOST ? host : name)))].join(',');
      return `deb [arch=${architectures}${keys === '' ? '' : ` signed-by=${keys}`}] ${uri} ${suite} main\n`;
    });
    writeFileSync(join(folder, 'sources.list'), lines.join(''));
    try {
      command('apt-get', ['-q', '-c', settings, 'update']);
      return aptOf(settings, join(folder, 'download'));
    } catch (error) {
      if (!(error instanceof FetchError)) throw error;
      failures.push(error.message);
    }
  }
  throw new FetchError(`no mirror of Debian answers: ${failures[0]!}`);
}

/** The mirrors among apt's own index targets. `read` reads a file of sources, for the keys that it names; each mirror is tried with those first, then with `keyrings`. */
export function mirrorsOf(targets: string, read: (path: string) => string, keyrings: readonly string[]): Mirror[] {
  const mirrors: Mirror[] = [];
  for (const target of targets.split('\n\n')) {
    const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(target)?.[1] ?? '';
    // Without an index the origin is not known yet: whether it is Debian shows when it is asked for its suites.
    const ofDebian = SUITES.includes(field('Release')) && field('Component') === 'main' && ['', 'Debian'].includes(field('Origin'));
    if (!ofDebian) continue;
    const [, path, entry] = /^(.*):(\d+)$/.exec(field('Sourcesentry')) ?? [];
    const keys = path === undefined ? '' : keysOf(read(path), path.endsWith('.sources'), Number(entry));
    for (const each of [keys, ...keyrings, '']) {
      const uri = field('Repo-URI');
      if (!mirrors.some((mirror) => mirror.uri === uri && mirror.keys === each) && (each !== '' || keys === '')) mirrors.push({ uri, keys: each });
    }
  }
  return mirrors;
}

/** The file of keys that an entry names: of a line, or, in the format of stanzas, of the stanza with that number. Keys that stand in the stanza itself are no file. */
function keysOf(sources: string, stanzas: boolean, entry: number): string {
  const uncommented = sources.split('\n').filter((line) => !stanzas || !line.startsWith('#')).join('\n');
  const parts = stanzas ? uncommented.split(/\n\s*\n/).filter((part) => part.trim() !== '') : uncommented.split('\n');
  return /\bsigned-by\s*[:=]\s*(\/[^\s\],]+)/i.exec(parts[entry - 1] ?? '')?.[1] ?? '';
}

/** The way to the network (proxies, credentials) is the system's. Everything else is ours: no pins, no hooks, no locks, and nothing is installed. */
function configure(folder: string, host: string): string {
  for (const each of ['state/lists/partial', 'cache/archives/partial', 'download']) mkdirSync(join(folder, each), { recursive: true });
  writeFileSync(join(folder, 'state/status'), '');
  const settings = join(folder, 'apt.conf');
  writeFileSync(settings, [
    ...['APT::Update::Pre-Invoke', 'APT::Update::Post-Invoke', 'APT::Update::Post-Invoke-Success', 'APT::Architectures', 'Acquire::IndexTargets::deb::Contents-deb'].map((name) => `#clear ${name};`),
    ...Object.entries({
      'Dir::State': `${folder}/state/`, 'Dir::State::status': `${folder}/state/status`, 'Dir::Cache': `${folder}/cache/`, 'Dir::Cache::pkgcache': 'pkgcache.bin', 'Dir::Cache::srcpkgcache': 'srcpkgcache.bin',
      'Dir::Etc::sourcelist': `${folder}/sources.list`, 'Dir::Etc::sourceparts': '/dev/null', 'Dir::Etc::preferences': '/dev/null', 'Dir::Etc::preferencesparts': '/dev/null',
      'APT::Architecture': host, 'APT::Default-Release': '', 'APT::Install-Recommends': 'false', 'APT::Get::Assume-Yes': 'true', 'APT::Sandbox::User': 'root', 'APT::Update::Error-Mode': 'any',
      'Acquire::Languages': 'none', 'Acquire::GzipIndexes': 'true', 'Acquire::ForceHash': 'SHA256', 'Acquire::Retries': '2', 'Acquire::http::Timeout': '20', 'Acquire::https::Timeout': '20', 'Debug::NoLocking': 'true',
    }).map(([name, value]) => `${name} "${value}";`),
    `APT::Architectures { "${host}"; "arm64"; };`, '',
  ].join('\n'));
  return settings;
}

function aptOf(settings: string, scratch: string): Apt {
  const get = (...words: string[]): string => command('apt-get', ['-q', '-c', settings, ...words], scratch);
  return {
    packages: (names) => packagesOf(get('download', '--print-uris', ...names)),
    closure: (names) => packagesOf(get('install', '--print-uris', ...names)),
    depends: (name) => /^Depends: (.*)$/m.exec(command('apt-cache', ['-c', settings, 'show', name]))?.[1] ?? '',
    download(packages, folder) {
      mkdirSync(folder, { recursive: true });
      get('download', ...packages.map(({ name, architecture, version }) => `${name}${architecture === 'all' ? '' : `:${architecture}`}=${version}`));
      for (const { file, sha256 } of packages) {
        const path = join(scratch, file);
        if (!existsSync(path)) throw new FetchError(`${file}: apt-get says it is downloaded, and it is not there`);
        if (sumOf(path) !== sha256) throw new FetchError(`${file}: not the sum that Debian's index has for it`);
        // Within a file system: there at once, or not at all.
        renameSync(path, join(folder, file));
      }
      rmSync(scratch, { recursive: true });
      mkdirSync(scratch);
    },
  };
}

/** What `--print-uris` prints: an address in quotes, the name of the file, its size, its sum. Colons of versions are percent signs in names of files. */
export function packagesOf(printed: string): Package[] {
  return printed.split('\n').filter((line) => line.startsWith("'")).map((line) => {
    const [, file, sha256] = /^'[^']*' (\S+) \d+ SHA256:([0-9a-f]{64})$/.exec(line) ?? [];
    const [, name, version, architecture] = /^([^_]+)_([^_]+)_([^_]+)\.deb$/.exec(file ?? '') ?? [];
    if (architecture === undefined) throw new FetchError(`apt-get names a package in a way that is not understood: ${line}`);
    return { name: name!, version: decodeURIComponent(version!), architecture, file: file!, sha256: sha256! };
  });
}

/** What a command prints. Its first word of failure becomes the one line. */
export function command(name: string, words: readonly string[], folder?: string): string {
  const { error, status, signal, stdout, stderr } = spawnSync(name, words, { encoding: 'utf8', maxBuffer: 1 << 28, timeout: LIMIT_MS, cwd: folder, env: { ...process.env, LC_ALL: 'C.UTF-8' }, stdio: ['ignore', 'pipe', 'pipe'] });
  if (error !== undefined && 'code' in error && error.code === 'ENOENT') throw new FetchError(`${name}: not found; guests are packages of Debian, which are got with apt-get, dpkg-deb and xz`);
  if (error !== undefined) throw new FetchError(`${name}: ${error.message}`);
  if (status === 0) return stdout;
  const told = stderr.split('\n').filter((line) => line.trim() !== '');
  const first = told.find((line) => /^[EW]:/.test(line)) ?? told[0] ?? `ended by ${signal ?? `status ${status}`}`;
  throw new FetchError(`${name}: ${first.replace(/^[EW]: /, '').replaceAll(/\s+/g, ' ')}`);
}
