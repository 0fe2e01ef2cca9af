/** `varve demo`: a service in this process, a few recordings, and a tour of what can be done with them over HTTP. */
import { pino, type Logger } from 'pino';
import { VarveError, isVarveError } from '../core/errors.ts';
import { formatTime, NS_PER_S, parseTime } from '../core/time.ts';
import { viewAs } from '../core/numbers/dtype.ts';
import { importedSpec } from '../formats/recordings/imported-series.ts';
import { packRecords, unpackRecords } from '../formats/binary/packed-records.ts';
import { VarveClient, type SampleAnswer, type SeriesAnswer } from './client/client.ts';
import type { Config } from './process/config.ts';
import { Narrator } from './demo/narrator.ts';
import { BIOREACTORS, ECGS } from './demo/recordings.ts';
import { firstToken, tokenPath } from './process/first-token.ts';
import { importRecording } from './importing/import-recording.ts';
import { openLog } from './process/log.ts';
import { Progress } from './commands/progress.ts';
import { readyText } from './process/ready-text.ts';
import { serve, type Running } from './serve.ts';
import { untilStopped } from './process/until-stopped.ts';
import { tagText } from '../core/signal/tag-value.ts';

const PROJECT = 'default';

/**
 * Starts the service, tours, and goes on serving until it is told to stop. The recordings are made once: another run on the same
 * folder finds them.
 * @param config its log level `warn` stands for the story alone; any other one is obeyed
 * @throws conflict if the port or the data folder is taken
 */
export async function demo(config: Config, { exit = false }: { exit?: boolean }): Promise<void> {
  const narrator = new Narrator();
  const log = config.logLevel === 'warn' ? storyLog(narrator) : { log: openLog(config.logLevel), begin() {} };
  const running = await narrator.step(`Start a service of its own, with its data in ${config.dataRoot}`, () =>
    start(config, log.log),
  );
  log.begin();
  let stopping = false;
  const stopped = untilStopped(() => {
    stopping = true;
    return running.close();
  });
  const guide: Guide = {
    narrator,
    client: new VarveClient(running.url, firstToken(config)),
    curl: (path, ...options) => narrator.say(`$ ${curlLine(running.url, tokenText(config), path, options)}`),
  };
  try {
    await record(guide);
    await report(guide);
    await search(guide);
    await readMinute(guide);
    await compareCultures(guide);
  } catch (error) {
    if (!stopping) await running.close();
    if (!stopping) throw error;
  }
  if (exit) return running.close();
  const link = running.signInLink(await recordingPath(guide.client));
  process.stdout.write(`\n${readyText(running.url, config, link)}Ctrl-C ends the service, its data stay.\n`);
  return stopped;
}

/** Where the page shows the first recording. */
async function recordingPath(client: VarveClient): Promise<string> {
  const { id } = await client.getSeries({ project: PROJECT, name: first(ECGS).name });
  return `/series/${id}`;
}

interface Guide {
  readonly narrator: Narrator;
  readonly client: VarveClient;
  /** Prints the line that repeats a request. */
  readonly curl: (path: string, ...options: string[]) => Promise<void>;
}

async function start(config: Config, log: Logger): Promise<Running> {
  try {
    return await serve(config, log, { worker: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new VarveError(
      'conflict',
      `port ${config.port} is taken, perhaps by another Varve: choose one, as in VARVE_PORT=${config.port + 1} varve demo`,
      { slug: 'port-taken', cause: error },
    );
  }
}

/** As pino numbers it. */
const WARN = 40;

/** While the service starts, what it says is a part of the story; afterwards only what goes wrong is. */
function storyLog(narrator: Narrator): { log: Logger; begin(): void } {
  let starting = true;
  const log = pino(
    { level: 'info' },
    {
      write(line: string) {
        const { level, msg } = JSON.parse(line) as { level: number; msg: string };
        if (level >= WARN) process.stderr.write(`varve: ${msg}\n`);
        else if (starting) void narrator.say(`${msg} …`);
      },
    },
  );
  return { log, begin: () => (starting = false) };
}

/** The token as a shell finds it. */
function tokenText({ firstToken: given, dataRoot }: Config): string {
  return given === null ? `$(cat ${quoted(tokenPath(dataRoot))})` : '$VARVE_TOKEN';
}

/** A line for a shell, ready to be pasted. */
function curlLine(url: string, token: string, path: string, options: readonly string[]): string {
  const parts = [`-H "Authorization: Bearer ${token}"`, ...options, quoted(`${url}${path}`)];
  return `curl -sS ${parts.join(' ')}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

async function record({ narrator, client, curl }: Guide): Promise<void> {
  const all = [...ECGS, ...BIOREACTORS];
  await narrator.step(`Record ${ECGS.length} ECGs and ${BIOREACTORS.length} bioreactors (synthetic)`, async () => {
    const progress = new Progress('recording', all.length, 'recordings');
    const lines: string[] = [];
    for (const { name, source, make } of all) {
      const made = first(await importRecording(client, make(), source, { project: PROJECT, tags: {} }));
      const state = made.addedRows + made.addedAnnotations > 0 ? 'new' : 'was there';
      const marks = made.annotations > 0 ? `, ${made.annotations.toLocaleString('en')} beats annotated` : '';
      lines.push(`${name}: ${made.rows.toLocaleString('en')} rows${marks} (${state})`);
      progress.add(1);
    }
    progress.stop();
    for (const line of lines) await narrator.say(line);
  });
  await curl(`/v1/series/by-name/${first(ECGS).name}`);
}

async function report({ narrator, client, curl }: Guide): Promise<void> {
  const name = 'demo/thermometer';
  const time = '2026-05-01T09:00:00Z';
  const celsius = 21.5;
  const idempotencyKey = 'first-reading';
  await narrator.step('Let a sensor report a reading, twice: its Idempotency-Key stores it once', async () => {
    const { id } = await client
      .createSeries({
        ...importedSpec({
          name,
          dtype: 'float64',
          channels: [{ label: 'value' }],
          unit: 'Cel',
          sampling: { kind: 'irregular' },
          duplicates: 'last',
          provenance: {},
        }),
        project: PROJECT,
      })
      .catch((error: unknown) => {
        if (!isVarveError(error) || error.code !== 'conflict') throw error;
        return client.getSeries({ project: PROJECT, name });
      });
    const body = packRecords(BigInt64Array.of(parseTime(time)!), Float64Array.of(celsius));
    for (let sent = 0; sent < 2; sent++) await client.appendSamples(id, body, { idempotencyKey });
    const { rows } = await client.getSeries({ id });
    await narrator.say(`${name} has ${rows} ${rows === 1 ? 'row' : 'rows'}`);
  });
  const json = (body: object): string => `-H 'Content-Type: application/json' -d ${quoted(JSON.stringify(body))}`;
  await curl('/v1/series', json({ name, dtype: 'float64', unit: 'Cel', sampling: { kind: 'irregular' } }));
  await narrator.say('  (answers 409 now, as the name is taken)');
  await curl(
    `/v1/series/by-name/${name}/samples`,
    `-H 'Idempotency-Key: ${idempotencyKey}'`,
    json({ times: [time], values: [celsius] }),
  );
}

async function search({ narrator, client, curl }: Guide): Promise<void> {
  const conditions = { 'tag.species': 'mouse', 'tag.heart_rate[gt]': '500' };
  await narrator.step('Find the mice whose heart beats faster than 500 a minute', async () => {
    for await (const { name, tags } of client.search(new URLSearchParams(conditions))) {
      await narrator.say(`${name}: ${JSON.stringify(tags)}`);
    }
  });
  const parameters = Object.entries(conditions).map((condition) => `--data-urlencode ${quoted(condition.join('='))}`);
  await curl('/v1/series', '-G', ...parameters);
}

/** An R wave rises above the first; the trace falls below the second before the next one. Noise at one level would count twice. */
const R_WAVE_MV = { above: 0.7, below: 0.3 };

async function readMinute({ narrator, client, curl }: Guide): Promise<void> {
  const { name } = first(ECGS);
  let range = '';
  await narrator.step(`Read a minute of ${name} and count the heart beats in it`, async () => {
    const { first_time, sampling } = await client.getSeries({ project: PROJECT, name });
    const startNs = parseTime(first_time!)! + 30n * NS_PER_S;
    range = `start=${formatTime(startNs)}&end=${formatTime(startNs + 60n * NS_PER_S)}`;
    const selection = new URLSearchParams(`${range}&physical=true&format=octet`);
    const begun = performance.now();
    const bytes = await bodyBytes(await client.readSamples({ project: PROJECT, name }, selection));
    const ms = (performance.now() - begun).toFixed(1);
    const millivolts = viewAs('float64', bytes) as Float64Array;
    await narrator.say(`${millivolts.length.toLocaleString('en')} samples in ${ms} ms`);
    await narrator.say(`${beatsPerMinute(millivolts, sampling).toFixed(0)} beats a minute, from the samples`);
  });
  const path = `/v1/series/by-name/${name}`;
  await curl(`${path}/samples?${range}&physical=true&format=npy`, '-o minute.npy');
  await curl(`${path}/samples?rows=0:5&format=csv`);
  await curl(`${path}/annotations?${range}&limit=3`);
}

function beatsPerMinute(millivolts: Float64Array, sampling: SeriesAnswer['sampling']): number {
  if (sampling.kind !== 'regular') throw new Error('an ECG of the demo is regular');
  const beats: number[] = [];
  let high = false;
  millivolts.forEach((value, row) => {
    if (!high && value > R_WAVE_MV.above) beats.push(row);
    high = value > (high ? R_WAVE_MV.below : R_WAVE_MV.above);
  });
  const seconds = (first(beats.slice(-1)) - first(beats)) / sampling.rate_hz;
  return (60 * (beats.length - 1)) / seconds;
}

async function compareCultures({ narrator, client, curl }: Guide): Promise<void> {
  await narrator.step('Compare the cultures: highest optical density, and when half of it was reached', async () => {
    for (const { name } of BIOREACTORS) {
      const selection = new URLSearchParams({ channels: 'OD600', format: 'octet' });
      const bytes = await bodyBytes(await client.readSamples({ project: PROJECT, name }, selection));
      const { times, values } = unpackRecords(bytes, 'float64', 1);
      const densities = values as Float64Array;
      const most = densities.reduce((high, density) => Math.max(high, density), 0);
      const half = densities.findIndex((density) => density >= most / 2);
      const hours = Number(first(times.subarray(half)) - first(times)) / 3.6e12;
      const { tags } = await client.getSeries({ project: PROJECT, name });
      const [strain, medium, temperature] = ['strain', 'medium', 'temperature'].map((key) => tagText(tags[key] ?? '–'));
      await narrator.say(
        `${name}: OD600 ${most.toFixed(2)}, half after ${hours.toFixed(1)} h (${strain} in ${medium}, ${temperature} °C)`,
      );
    }
  });
  await curl(`/v1/series/by-name/${first(BIOREACTORS).name}/samples?channels=OD600&rows=-3:&format=json`);
}

/** @throws if there is none: what was recorded is not what the story tells */
function first<T>(of: Iterable<T>): T {
  for (const item of of) return item;
  throw new Error('the demo has not recorded what it tells of');
}

async function bodyBytes({ body }: SampleAnswer): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces);
}
