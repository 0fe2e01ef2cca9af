/** Bundles the page into one folder: index.html, and assets whose names have their hashes. */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { build } from 'esbuild';

/** @returns a line that says how large it is */
export async function buildPage(root, folder) {
  const source = join(root, 'src/web');
  const { metafile } = await build({
    entryPoints: { page: join(source, 'main.tsx') },
    outdir: join(folder, 'assets'),
    entryNames: '[name]-[hash]',
    chunkNames: '[name]-[hash]',
    assetNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    target: ['es2022', 'chrome108', 'firefox115', 'safari16.4'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    minify: true,
    legalComments: 'none',
    metafile: true,
    absWorkingDir: root,
    logLevel: 'warning',
  });
  const outputs = Object.entries(metafile.outputs).map(([path, output]) => ({ path: join(root, path), ...output }));
  const entry = outputs.find((each) => each.entryPoint === 'src/web/main.tsx');
  const index = readFileSync(join(source, 'index.html'), 'utf8')
    .replace('{script}', `/assets/${basename(entry.path)}`)
    .replace('{style}', `/assets/${basename(entry.cssBundle)}`);
  writeFileSync(join(folder, 'index.html'), index);
  writeFileSync(join(folder, 'assets/licenses.txt'), licenses(root, Object.keys(metafile.inputs)));
  for (const path of [join(folder, 'index.html'), ...outputs.map((each) => each.path)]) compress(path);
  return sizes(outputs, entry);
}

/** Beside each file its short forms, which are sent as they are. */
function compress(path) {
  const bytes = readFileSync(path);
  writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }));
  writeFileSync(
    `${path}.br`,
    brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY } }),
  );
}

/** What the licenses of bundled packages ask for: their texts go along. */
function licenses(root, inputs) {
  const packages = new Set(
    inputs.flatMap((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path.replaceAll('\\', '/'))?.[1] ?? []),
  );
  return [...packages]
    .sort((a, b) => (a < b ? -1 : 1))
    .map((name) => {
      const folder = join(root, 'node_modules', name);
      const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
      return `${name}\n\n${file ? readFileSync(join(folder, file), 'utf8') : ''}`;
    })
    .join('\n\n');
}

/** Script that is loaded at once, that which seeing adds, and all other; gzipped. */
function sizes(outputs, entry) {
  const scripts = outputs.filter((each) => each.path.endsWith('.js'));
  const all = new Map(scripts.map((each) => [each.path, each]));
  const reached = (from) => {
    const found = new Set();
    const visit = (output) => {
      if (!output || found.has(output.path)) return;
      found.add(output.path);
      for (const { path, kind } of output.imports) {
        if (kind === 'import-statement') visit(scripts.find((each) => each.path.endsWith(path)));
      }
    };
    visit(from);
    return found;
  };
  const first = reached(entry);
  const seeing = reached(scripts.find((each) => each.entryPoint === 'src/web/see/see-view.tsx'));
  for (const path of first) seeing.delete(path);
  const rest = [...all.keys()].filter((path) => !first.has(path) && !seeing.has(path));
  const kilobytes = (paths) =>
    ([...paths].reduce((sum, path) => sum + gzipSync(readFileSync(path), { level: 9 }).length, 0) / 1000).toFixed(1);
  return `page: ${kilobytes(first)} KB of script gzipped, ${kilobytes(seeing)} KB more for seeing, ${kilobytes(rest)} KB loaded when opened`;
}
