/** Every command of the documents, run as a reader would: in their order, in the folder of a demo that serves. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { openApiDocument } from '../../src/http/openapi.ts';
import { projectRoot } from '../support/project-root.ts';
import { describePython } from '../support/python.ts';
import { runCli, type CliProcess } from '../support/service.ts';

const CLI = fileURLToPath(new URL('../../src/main/cli.js', import.meta.url));
const ROOT = projectRoot();
const DOCUMENTED_URL = 'http://127.0.0.1:7424';
const INTRODUCTION = 'the introduction of /docs';
/** In the order in which they are read: the page on HTTP makes what others use. */
const DOCUMENTS = [
  'README.md',
  'docs/http.md',
  'docs/line-protocol.md',
  'docs/grafana.md',
  'docs/live.md',
  'docs/push.md',
  'docs/regular-series.md',
  'docs/command-line.md',
  'docs/import.md',
  'docs/access.md',
  'docs/search.md',
  'docs/metadata.md',
  'docs/importing-over-http.md',
  'docs/sql.md',
  'docs/python.md',
  INTRODUCTION,
];

const PYTHON_PAGES = ['README.md', 'docs/python.md'];

interface Block {
  readonly document: string;
  readonly language: string;
  readonly text: string;
}

function blocksOf(document: string): Block[] {
  const text =
    document === INTRODUCTION ? openApiDocument('0').info.description! : readFileSync(join(ROOT, document), 'utf8');
  return [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, block]) => ({
    document,
    language,
    text: block,
  }));
}

const blocks = DOCUMENTS.flatMap(blocksOf);

/** Lines of a shell block, put together where quotes, backslashes or a here-document join them. */
function commandsOf(block: string): string[] {
  const commands: string[] = [];
  let open = '';
  let ending: string | null = null;
  for (const line of block.split('\n')) {
    open += open === '' ? line : `\n${line}`;
    if (ending !== null) {
      if (line !== ending) continue;
      ending = null;
    } else {
      ending = /<<'(\w+)'/.exec(line)?.[1] ?? null;
      const isQuoted = (open.replaceAll(/"(?:[^"\\]|\\.)*"|#[^\n]*/g, '').split("'").length - 1) % 2 === 1;
      if (ending !== null || isQuoted || line.endsWith('\\')) continue;
    }
    if (!/^\s*(#|$)/.test(open)) commands.push(open);
    open = '';
  }
  expect(open).toBe('');
  return commands;
}

/** Where there is no psql, its line is left out; the statements are run all the same, below. */
const WITHOUT_PSQL =
  process.env.VARVE_TEST_NO_SKIP === '1' ? '' : "command -v psql > /dev/null || psql() { echo 'SKIPPED: no psql'; }";

/** What every shell of this suite knows: the program, the variables of the page on HTTP, and a curl that fails where HTTP does. */
const PRELUDE = `
varve() { "${process.execPath}" "${CLI}" "$@"; }
curl() { command curl -sS --fail-with-body "$@"; }
${WITHOUT_PSQL}
T="Authorization: Bearer $(cat varve-data/token)"
J="Content-Type: application/json"
U=${DOCUMENTED_URL}/v1
`;

let folder: string;
let demo: CliProcess;
let url: string;

beforeAll(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'varve-docs-')));
  mkdirSync(join(folder, 'varve-data'));
  demo = runCli(['demo', '--port', '0', '--data', join(folder, 'varve-data')], {});
  url = (await demo.line('varve is ready at ')).split(' ').at(-1)!;
}, 120_000);

afterAll(async () => {
  demo?.signal('SIGTERM');
  await demo?.exited;
  rmSync(folder, { recursive: true, force: true });
});

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a script where the demo is, with the port of the documents turned into its own. */
function shell(script: string): Promise<Outcome> {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(VARVE_.*|NODE_OPTIONS|DATABASE_URL|REDIS_URL)$/.test(name),
  );
  const env = { ...Object.fromEntries(inherited), VARVE_PORT: new URL(url).port };
  return new Promise((resolve) =>
    execFile('sh', ['-c', script.replaceAll(DOCUMENTED_URL, url)], { cwd: folder, env }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? 1 : 0, stdout, stderr }),
    ),
  );
}

/** Answers that hold nothing. */
const EMPTY = /^\s*$|^\s*\{"items":\s*\[\]|^\s*\[\]\s*$|^\s*\{"series":0[,}]|"undone":0[,}]/;
/** Commands that say nothing when they have done what they should. */
const SILENT = /^(\w+=|cat > )|-X DELETE|--out |\| varve push |> \S+$/;

describe('the documents', () => {
  test('use the port and the variables of the demo, and say of every block what it is', () => {
    const everywhere = [
      ...DOCUMENTS,
      ...readdirSync(join(ROOT, 'docs'))
        .filter((name) => name.endsWith('.md'))
        .map((name) => `docs/${name}`),
    ];
    for (const { document, language, text } of [...new Set(everywhere)].flatMap(blocksOf)) {
      expect([document, text]).toEqual([document, expect.not.stringMatching(/4321|\$VARVE\b|\$TOKEN\b|0198c5e0|…/)]);
      // A command that is not marked as one would not be run below.
      if (language === '')
        expect([document, text]).toEqual([
          document,
          expect.not.stringMatching(/^\s*(curl|varve|psql|GET|POST|PUT|DELETE) /m),
        ]);
    }
    expect(blocks.filter(({ language }) => language === 'sh').length).toBeGreaterThan(10);
  });

  test('run every block of every page, or say why not: of ten at most', () => {
    const pages = readdirSync(ROOT).filter((name) => name.endsWith('.md'));
    const docs = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'));
    const COMMAND = /^\s*(npm|npx|node|curl|varve|psql|docker|python3?|import|from|select) ?/im;
    const isRun = (page: string, language: string): boolean =>
      (language === 'sh' && DOCUMENTS.includes(page)) ||
      (language === 'python' && PYTHON_PAGES.includes(page)) ||
      (language === 'sql' && page === 'docs/sql.md');
    const reasons: string[] = [];
    for (const page of [...pages, ...docs.map((name) => `docs/${name}`)]) {
      const text = readFileSync(join(ROOT, page), 'utf8');
      for (const [, marker, language, block] of text.matchAll(
        /(?:^<!-- not-run: (.+) -->\n+)?^```(\w*)\n(.*?)^```$/gms,
      )) {
        if (marker) reasons.push(marker);
        else if (COMMAND.test(block) && language !== 'text')
          expect([page, block, isRun(page, language)]).toEqual([page, block, true]);
        else if (language === 'text')
          expect([page, block]).toEqual([page, expect.not.stringMatching(/^\s*(npm|npx|curl|varve) /m)]);
      }
    }
    expect(reasons.length).toBeLessThanOrEqual(10);
  });

  test('show what the demo prints', () => {
    const lines = blocks.flatMap(({ language, text }) => (language === 'text' ? text.trimEnd().split('\n') : []));
    expect(lines.length).toBeGreaterThan(3);
    for (const line of lines) expect(demo.output()).toContain(line);
  });

  const shells = blocks.filter(({ language }) => language === 'sh');
  test.each(shells.map((block, at) => [at + 1, block.document, block] as const))(
    'shell block %i, of %s: every command succeeds and finds something',
    async (_number, _document, { text }) => {
      const commands = commandsOf(text);
      expect(commands.length).toBeGreaterThan(0);
      // One shell for the block, as a reader has: variables stay. A line between two commands tells their outputs apart.
      const steps = commands.map((command, at) => `${command}\nprintf '\\n@@ ${at} %s\\n' $?`);
      const { stdout, stderr } = await shell(`${PRELUDE}\n${steps.join('\n')}`);
      const answers = stdout.split(/^@@ \d+ /m);
      commands.forEach((command, at) => {
        const code = Number(/^\d+/.exec(answers[at + 1] ?? '')?.[0] ?? NaN);
        const said = answers[at].replace(at === 0 ? '' : /^\d+\n/, '');
        expect({ command, code, ...(code !== 0 && { said, stderr }) }).toEqual({ command, code: 0 });
        if (SILENT.test(command)) return;
        expect({ command, said }).toEqual({ command, said: expect.not.stringMatching(EMPTY) });
        if (/format=csv|varve cat/.test(command) && !command.includes('--data-binary'))
          expect(said.trim().split('\n').length).toBeGreaterThan(1);
      });
      expect(stderr).not.toMatch(/no series meets|has no rows/);
    },
    120_000,
  );

  test('the function node for Node-RED makes a request that is taken', async () => {
    const [{ text }] = blocksOf('docs/line-protocol.md').filter(({ language }) => language === 'js');
    const token = readFileSync(join(folder, 'varve-data', 'token'), 'utf8').trim();
    // oxlint-disable-next-line typescript/no-implied-eval -- the text of a page, as Node-RED runs it
    const run = new Function('msg', 'env', text.replaceAll(DOCUMENTED_URL, url)) as (
      msg: object,
      env: { get(name: string): string },
    ) => { url: string; headers: Record<string, string>; payload: string };
    const sent = run({ payload: '21.5' }, { get: () => token });
    const { status } = await fetch(sent.url, { method: 'POST', headers: sent.headers, body: sent.payload });
    expect(status).toBe(204);
    const { stdout } = await shell(
      `${PRELUDE}\ncurl -H "$T" "$U/series/by-name/room%2Cfloor%3D2%3Atemperature/samples?format=csv"`,
    );
    expect(stdout).toMatch(/,21\.5\s*$/);
  });

  test('the sketch for an ESP32 sends bytes that are taken', async () => {
    const [{ text }] = blocksOf('docs/line-protocol.md').filter(({ language }) => language === 'cpp');
    const token = readFileSync(join(folder, 'varve-data', 'token'), 'utf8').trim();
    const path = /begin\("http:\/\/[^/]+([^"]+)"\)/.exec(text)![1];
    const [, header, scheme] = /addHeader\("([^"]+)", "([^"]+)" VARVE_TOKEN\)/.exec(text)!;
    // As the board puts it together, from the expression that the sketch sends.
    const line = /send\((.+)\);/
      .exec(text)![1]
      .split(' + ')
      .map((part) =>
        part.startsWith('"') ? (JSON.parse(part) as string) : part.startsWith('WiFi') ? '24:6F:28:AB:CD:EF' : '53.33',
      )
      .join('');
    const { port } = new URL(url);
    const lines = [
      `POST ${path} HTTP/1.1`,
      `Host: 127.0.0.1:${port}`,
      'User-Agent: ESP32HTTPClient',
      'Connection: close',
    ];
    // Its client gives a text no other type than this one.
    lines.push(`${header}: ${scheme}${token}`, 'Content-Type: text/plain', `Content-Length: ${line.length}`, '', line);
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(lines.join('\r\n'));
    let answer = '';
    for await (const piece of socket) answer += String(piece);
    expect(answer).toMatch(/^HTTP\/1\.1 204 /);
    const name = 'room,board=24:6F:28:AB:CD:EF:temperature';
    const { stdout } = await shell(
      `${PRELUDE}\ncurl -H "$T" "$U/series/by-name/${encodeURIComponent(name)}/samples?format=csv"`,
    );
    expect(stdout).toMatch(/,53\.33\s*$/);
  });

  test('psql-url leads to the embedded Postgres, and every SQL statement finds something there', async () => {
    const { stdout } = await shell(`${PRELUDE}\nvarve psql-url`);
    expect(demo.output()).not.toContain(new URL(stdout.trim()).password);
    const client = new pg.Client({ connectionString: stdout.trim() });
    await client.connect();
    try {
      const statements = blocksOf('docs/sql.md')
        .filter(({ language }) => language === 'sql')
        .flatMap(({ text }) => text.replaceAll(/--.*$/gm, '').split(';'))
        .map((statement) => statement.trim())
        .filter((statement) => statement !== '');
      expect(statements.length).toBeGreaterThan(4);
      for (const statement of statements) {
        const { rows } = await client.query(statement);
        if (statement.startsWith('select'))
          expect({ statement, found: rows.length > 0 }).toEqual({ statement, found: true });
      }
    } finally {
      await client.end();
    }
  });
});

describePython('Python in the documents', ['numpy', 'pandas', 'h5py'], (python) => {
  const inFolder = (code: string): string =>
    python(`
import os, sys
os.chdir(${JSON.stringify(folder)})
sys.dont_write_bytecode = True
sys.path.insert(0, ${JSON.stringify(join(ROOT, 'docs/examples'))})
${code.replaceAll(DOCUMENTED_URL, url)}`).toString();

  const hasArrow = (): boolean =>
    inFolder('import importlib.util; print(importlib.util.find_spec("pyarrow") is not None)').trim() === 'True';

  test.each(PYTHON_PAGES)('the blocks of %s run one after the other', (document) => {
    const code = blocksOf(document)
      .filter(({ language, text }) => language === 'python' && (!text.includes('pyarrow') || hasArrow()))
      .map(({ text }) => text)
      .join('\n');
    const checks =
      document === 'README.md'
        ? 'print(array.shape, len(table))'
        : 'print(len(frame), rows, len(tidy), hours.shape[0] > 40, aligned.shape[1], len(now), stored["rows"])';
    const expected = document === 'README.md' ? '(100000, 1) 120000' : '1000 120000 20006 True 6 8 216000';
    expect(inFolder(`${code}\n${checks}`).trim()).toBe(expected);
  });

  test('numbers read as the documents say are those that were stored, to the last bit', () => {
    const code = `
import json, random, struct, urllib.request
import pandas as pd
token = open("varve-data/token").read().strip()
headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
def post(path, body):
    return json.load(urllib.request.urlopen(urllib.request.Request("${DOCUMENTED_URL}" + path, json.dumps(body).encode(), headers)))
random.seed(1)
sent = [value for value in (struct.unpack("<d", random.randbytes(8))[0] for _ in range(5000)) if value == value and abs(value) != float("inf")]
id = post("/v1/series", {"name": "bits", "dtype": "float64", "sampling": {"kind": "irregular"}})["id"]
post(f"/v1/series/{id}/samples", {"times": list(range(len(sent))), "values": sent})
from read_samples import Series, table
frames = [Series("${DOCUMENTED_URL}", id, token).frame()["value"], table("${DOCUMENTED_URL}", token, series=[id])["value"]]
print([[struct.pack("<d", a) for a in sent] == [struct.pack("<d", b) for b in frame] for frame in frames])
for document in ${JSON.stringify(['README.md', 'docs/python.md', 'docs/examples/read_samples.py'].map((name) => join(ROOT, name)))}:
    calls = [part.split("\\n")[0] for part in open(document).read().split("read_csv(")[1:]]
    print(len(calls) > 0 and all('float_precision="round_trip"' in call for call in calls))`;
    expect(inFolder(code).trim().split('\n')).toEqual(['[True, True]', 'True', 'True', 'True']);
  });

  test.each(['demo/ecg/mouse-12', 'demo/ecg/volunteer-7', 'demo/bioreactor/R1', 'demo/thermometer'])(
    'the example script reads %s to its end',
    async (series) => {
      const script = join(ROOT, 'docs/examples/read_samples.py');
      const { stdout, stderr, code } = await shell(
        `VARVE_TOKEN="$(cat varve-data/token)" ${JSON.stringify(pythonOf(python))} ${JSON.stringify(script)} ${url} ${series}`,
      );
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout).toMatch(/^array: \(\d+/);
      expect(stdout).toMatch(/^pages: \d+ equal to the array: True$/m);
      expect(stdout).toMatch(/^table: \(\d+, [12]\) \['demo\//m);
    },
  );

  test('the example script says in a sentence what it was refused', async () => {
    const script = join(ROOT, 'docs/examples/read_samples.py');
    const { stderr, code } = await shell(
      `VARVE_TOKEN="$(cat varve-data/token)" ${JSON.stringify(pythonOf(python))} ${JSON.stringify(script)} ${url} nothing/here`,
    );
    expect([code, stderr]).toEqual([1, '404: no series nothing/here\n']);
  });
});

/** The interpreter that the judge runs. */
function pythonOf(python: (script: string) => Buffer): string {
  return python('import sys; print(sys.executable)').toString().trim();
}
