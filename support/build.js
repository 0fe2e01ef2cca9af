/**
 * Compiles into dist, and bundles the page. With `--if-changed` only if a source is newer than what is there, with `--declaration` with types for whoever installs it.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { apiTypes } from './api-types.js';
import { buildPage } from './build-page.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
/** Written last: a build that was cut off leaves none. */
const stamp = join(root, 'dist/.built');
const inputs = ['src', 'migrations', 'test', 'bench', 'tsconfig.json', 'package-lock.json', 'support'];

if (!process.argv.includes('--if-changed') || newest(inputs) > timeOf(stamp)) {
  // Beside what is there, which may be running: it loads threads later on.
  const [made, former] = [join(root, 'dist.new'), join(root, 'dist.old')];
  for (const left of [made, former]) rmSync(left, { recursive: true, force: true });
  const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
  execFileSync(
    process.execPath,
    [tsc, '--project', root, '--outDir', made, ...process.argv.filter((each) => each === '--declaration')],
    {
      stdio: 'inherit',
    },
  );
  chmodSync(join(made, 'src/main/cli.js'), 0o755);
  const { openApiDocument } = await import(pathToFileURL(join(made, 'src/http/openapi.js')).href);
  writeFileSync(join(made, 'api-types.d.ts'), apiTypes(openApiDocument('')));
  mkdirSync(join(made, 'web'));
  // Not to standard output: whoever packs reads the tarball's name there.
  process.stderr.write(`${await buildPage(root, join(made, 'web'))}\n`);
  if (timeOf(join(root, 'dist')) >= 0) renameSync(join(root, 'dist'), former);
  renameSync(made, join(root, 'dist'));
  writeFileSync(stamp, '');
  rmSync(former, { recursive: true, force: true });
}

/** When the newest of files, and of those in folders, was changed, in ms; folders count, for a file may be gone. */
function newest(paths) {
  let time = 0;
  for (const path of paths) {
    const whole = join(root, path);
    time = Math.max(time, timeOf(whole));
    if (!statSync(whole, { throwIfNoEntry: false })?.isDirectory()) continue;
    for (const entry of readdirSync(whole, { recursive: true })) time = Math.max(time, timeOf(join(whole, entry)));
  }
  return time;
}

function timeOf(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? -1;
}
