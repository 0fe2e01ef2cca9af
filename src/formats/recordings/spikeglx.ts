/**
 * SpikeGLX recordings (Neuropixels, NI-DAQ): a `.meta` text beside a `.bin` of int16 frames.
 * @see https://billkarsh.github.io/SpikeGLX/#metadata-guides
 */
import { invalidField, unprocessableField } from '../../core/errors.ts';
import { parseRate, rateHz } from '../../core/signal/rate.ts';
import type { Recording } from '../../core/signal/recording.ts';
import type { Channel } from '../../core/signal/series.ts';
import { parseTime } from '../../core/time.ts';
import { distinctLabels } from './channel-labels.ts';
import { flatBatches } from './flat-frames.ts';
import { commonUnit, decodeText, labelText, oneLine, someOf } from './header-text.ts';
import { importedSpec } from './imported-series.ts';
import { startAt } from './local-start.ts';
import { neededSize, readWhole, type FileOptions, type RecordingFiles } from './recording-files.ts';

const MAX_CHANNELS = 65_536;
/** Metadata that are kept as they are; lists of channels are longer and are told by the channels. */
const MAX_META_CHARS = 500;
/** Steps of half the range of the converter, where the metadata do not say it. */
const PROBE_STEPS = 512;
const NI_STEPS = 32_768;
/** Probes of the second generation: one gain, and more steps. */
const SECOND_GENERATION = { gain: 80, steps: 8192 };

type Meta = ReadonlyMap<string, string>;

/** From raw to volts; null of what is no voltage. */
interface SpikeGlxInput {
  readonly kind: string;
  readonly voltsPerStep: number | null;
}

/**
 * Makes one regular int16 series of all saved channels; scale is in volts. Words of digital lines are raw bits. The
 * size of the `.bin` counts, whatever the metadata promise.
 * @param file the `.meta`
 * @throws `invalid-input` or `unprocessable` naming file and key; `not-found` if there is no `.bin`
 */
export async function readSpikeGlx(files: RecordingFiles, file: string, options: FileOptions): Promise<Recording> {
  const meta = parseMeta(decodeText(await readWhole(files, file)));
  const binary = file.replace(/\.meta$/i, '.bin');
  const size = await neededSize(files, binary, file);
  const count = numberOf(meta, 'nSavedChans', file);
  if (!Number.isInteger(count) || count < 1 || count > MAX_CHANNELS) {
    throw invalidField(file, `has nSavedChans=${count}`);
  }
  const rateText = meta.get('imSampRate') ?? meta.get('niSampRate') ?? meta.get('obSampRate') ?? '';
  const rate = parseRate(rateText);
  if (!rate) throw invalidField(file, `has the sampling rate "${oneLine(rateText, 40)}"`);
  const notes: string[] = [];
  const frameBytes = count * 2;
  const rows = Math.floor(size / frameBytes);
  if (rows === 0) throw invalidField(binary, `ends at byte ${size}, before its first sample is whole`);
  const promised = Number(meta.get('fileSizeBytes') ?? size);
  if (promised > size) {
    const lost = Math.ceil((promised - size) / frameBytes) / rateHz(rate);
    notes.push(`${binary} has ${size} of ${promised} bytes: it was cut off, and the last ${lost} s are lost`);
  } else if (promised < size) {
    notes.push(`the metadata promise ${promised} bytes, ${binary} has ${size}; all of them were read`);
  }
  if (size % frameBytes !== 0) notes.push(`${size % frameBytes} bytes after the last whole sample were left out`);
  const channels = channelsOf(meta, count, file, notes);
  const start = startAt(parseTime(meta.get('fileCreateTime') ?? ''), options, notes);
  const flat = { file: binary, fromByte: 0, rows, channels: count, dtype: 'int16' } as const;
  const kept = [...meta].filter(([key, value]) => !key.startsWith('~') && value.length <= MAX_META_CHARS);
  const spec = importedSpec({
    name: options.name,
    dtype: 'int16',
    channels,
    unit: commonUnit(channels),
    sampling: { kind: 'regular', rate, startNs: start.startNs },
    timeReference: start.timeReference,
    timeZone: start.timeZone,
    provenance: { format: 'SpikeGLX', meta: Object.fromEntries(kept.slice(0, 300)) },
  });
  const series = { spec, rows, batches: () => flatBatches(files, flat), annotations: [] };
  return { series: [series], notes, sources: [file, binary] };
}

function parseMeta(text: string): Meta {
  return new Map(
    text.split(/\r?\n/).flatMap((line) => {
      const at = line.indexOf('=');
      return at > 0 ? [[line.slice(0, at).trim(), line.slice(at + 1).trim()] as const] : [];
    }),
  );
}

function numberOf(meta: Meta, key: string, file: string): number {
  const text = meta.get(key);
  const value = Number(text);
  if (text === undefined || text === '' || !Number.isFinite(value)) {
    throw invalidField(file, text === undefined ? `has no ${key}` : `has ${key}=${oneLine(text, 40)}`);
  }
  return value;
}

/** Entries of a table such as `(384,384)(0 0 0 500 250)`, without its head. */
function entriesOf(meta: Meta, key: string): string[] {
  return [...(meta.get(`~${key}`) ?? '').matchAll(/\(([^)]*)\)/g)].slice(1).map((match) => match[1]);
}

function channelsOf(meta: Meta, count: number, file: string, notes: string[]): Channel[] {
  const inputs = inputsOf(meta, file);
  const saved = savedOf(meta.get('snsSaveChanSubset') ?? 'all', inputs.length, file);
  // Of those that were saved; older metadata list all.
  const chosen = saved && saved.length === count ? saved : Array.from({ length: count }, (_, i) => i);
  const names = entriesOf(meta, 'snsChanMap').map((entry) => entry.split(';')[0]);
  const labels = distinctLabels(
    chosen.map((input, i) =>
      labelText(names[names.length === count ? i : input] ?? '', `${inputs[input]?.kind ?? 'channel'} ${input}`),
    ),
  );
  const raw: string[] = [];
  const channels = chosen.map((input, i): Channel => {
    const volts = inputs[input]?.voltsPerStep ?? null;
    const info = { input, kind: inputs[input]?.kind ?? 'unknown' };
    if (volts === null || !Number.isFinite(volts) || volts === 0) {
      raw.push(labels[i]);
      return { label: labels[i], info };
    }
    return { label: labels[i], unit: 'V', scale: volts, offset: 0, info };
  });
  if (raw.length > 0) notes.push(`digital words, and channels without a gain, stay raw: ${someOf(raw)}`);
  return channels;
}

/** `all`, or numbers and ranges such as `0:3,768`; null: it does not tell. */
function savedOf(text: string, inputs: number, file: string): number[] | null {
  if (text.toLowerCase() === 'all') return null;
  const chosen: number[] = [];
  for (const part of text.split(',')) {
    const match = /^(\d{1,6})(?::(\d{1,6}))?$/.exec(part.trim());
    if (!match) return null;
    const last = Number(match[2] ?? match[1]);
    for (let input = Number(match[1]); input <= last; input++) chosen.push(input);
    if (chosen.length > MAX_CHANNELS)
      throw invalidField(file, `has snsSaveChanSubset with over ${MAX_CHANNELS} channels`);
  }
  return inputs > 0 && chosen.some((input) => input >= inputs) ? null : chosen;
}

/** All inputs that were acquired, in order. */
function inputsOf(meta: Meta, file: string): SpikeGlxInput[] {
  const kind = meta.get('typeThis') ?? (meta.has('niSampRate') ? 'nidq' : 'imec');
  if (kind === 'imec') return probeInputs(meta, file);
  if (kind === 'nidq') return niInputs(meta, file);
  if (kind === 'obx') return oneboxInputs(meta, file);
  throw unprocessableField(file, `has typeThis=${oneLine(kind, 40)}; imec, nidq and obx are read`);
}

function countsOf(meta: Meta, keys: readonly string[], file: string): number[] {
  const key = keys.find((each) => meta.has(each));
  const counts = (key === undefined ? '' : meta.get(key)!).split(',').map(Number);
  const sum = counts.reduce((total, value) => total + value, 0);
  if (key === undefined || counts.some((value) => !Number.isInteger(value) || value < 0) || sum > MAX_CHANNELS) {
    throw invalidField(file, `has no usable ${key ?? keys[0]}`);
  }
  return counts;
}

/** Channels of action potentials, of field potentials, and the word of the synchronisation. */
function probeInputs(meta: Meta, file: string): SpikeGlxInput[] {
  const [ap = 0, lf = 0, sync = 0] = countsOf(meta, ['acqApLfSy', 'snsApLfSy'], file);
  const type = Number(meta.get('imDatPrb_type') ?? 0);
  const isSecond = type === 21 || type === 24 || (type >= 2000 && type < 3000);
  const range = numberOf(meta, 'imAiRangeMax', file);
  const steps = Number(meta.get('imMaxInt')) || (isSecond ? SECOND_GENERATION.steps : PROBE_STEPS);
  const table = entriesOf(meta, 'imroTbl').map((entry) => entry.split(' ').map(Number));
  const gainOf = (channel: number, column: number, key: string): number => {
    const single = Number(meta.get(key));
    if (single > 0) return single;
    if (isSecond) return SECOND_GENERATION.gain;
    return table[channel]?.[column] ?? NaN;
  };
  return [
    ...Array.from({ length: ap }, (_, i) => input('AP', range / steps / gainOf(i, 3, 'imChan0apGain'))),
    ...Array.from({ length: lf }, (_, i) => input('LF', range / steps / gainOf(i, 4, 'imChan0lfGain'))),
    ...Array.from({ length: sync }, () => input('SY', null)),
  ];
}

/** Multiplexed neural and auxiliary inputs, analog ones, and words of digital lines. */
function niInputs(meta: Meta, file: string): SpikeGlxInput[] {
  const [mn = 0, ma = 0, xa = 0, dw = 0] = countsOf(meta, ['acqMnMaXaDw', 'snsMnMaXaDw'], file);
  const step = numberOf(meta, 'niAiRangeMax', file) / (Number(meta.get('niMaxInt')) || NI_STEPS);
  const gain = (key: string): number => Number(meta.get(key) ?? 1);
  return [
    ...Array.from({ length: mn }, () => input('MN', step / gain('niMNGain'))),
    ...Array.from({ length: ma }, () => input('MA', step / gain('niMAGain'))),
    ...Array.from({ length: xa }, () => input('XA', step)),
    ...Array.from({ length: dw }, () => input('XD', null)),
  ];
}

function oneboxInputs(meta: Meta, file: string): SpikeGlxInput[] {
  const [xa = 0, dw = 0, sync = 0] = countsOf(meta, ['acqXaDwSy', 'snsXaDwSy'], file);
  const step = numberOf(meta, 'obAiRangeMax', file) / (Number(meta.get('obMaxInt')) || NI_STEPS);
  return [
    ...Array.from({ length: xa }, () => input('XA', step)),
    ...Array.from({ length: dw }, () => input('XD', null)),
    ...Array.from({ length: sync }, () => input('SY', null)),
  ];
}

function input(kind: string, voltsPerStep: number | null): SpikeGlxInput {
  return { kind, voltsPerStep };
}
