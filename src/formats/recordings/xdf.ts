/**
 * XDF files of LabRecorder: streams with the time stamps as they came, clock offsets apart, markers as annotations.
 * @see https://github.com/sccn/xdf/wiki/Specifications
 */
import { invalidField, VarveError } from '../../core/errors.ts';
import type { Batch } from '../../core/signal/batch.ts';
import { DTYPES, viewAs, type Dtype } from '../../core/numbers/dtype.ts';
import type { RecordedSeries, Recording } from '../../core/signal/recording.ts';
import type { Channel, NewAnnotation } from '../../core/signal/series.ts';
import { isTime } from '../../core/time.ts';
import { fullBatchRows } from '../samples/batch-builder.ts';
import { distinctLabels } from './channel-labels.ts';
import { unitOfAll, labelText, oneLine, said } from './header-text.ts';
import { annotationSeries, importedSpec } from './imported-series.ts';
import type { FileOptions, RecordingFiles } from './recording-files.ts';
import { elementsIn, elementText, xdfChunks, XDF_TAGS, type XdfChunk } from './xdf-chunks.ts';

const FORMATS: Readonly<Record<string, Dtype>> = {
  int8: 'int8',
  int16: 'int16',
  int32: 'int32',
  int64: 'int64',
  float32: 'float32',
  double64: 'float64',
};
const MAX_CHANNELS = 65_536;
const MAX_MARKS = 2_000_000;
const MAX_LABEL_CHARS = 512;

/** What is known of a stream once the file has been looked through. */
interface XdfStream {
  readonly id: number;
  readonly xml: string;
  readonly name: string;
  /** Null of a stream of texts. */
  readonly dtype: Dtype | null;
  readonly channels: readonly Channel[];
  /** Seconds between samples that have no stamp. */
  readonly stepS: number;
  rows: number;
  /** Times that lie before the one in front. */
  backward: number;
  readonly marks: NewAnnotation[];
  readonly offsets: { readonly atNs: bigint; readonly offset: number }[];
  footer: string | null;
  lastS: number;
}

/** Samples of one chunk. */
interface XdfSamples {
  readonly times: bigint[];
  /** Numbers as they lie in the file, rows × channels; of a stream of texts, the texts. */
  readonly values: Uint8Array;
  readonly texts: string[][];
  /** Seconds of the last one. */
  readonly lastS: number;
  readonly isBroken: boolean;
}

/**
 * Makes one irregular series of each stream of numbers, with the times that the file has. Samples without a stamp come
 * one nominal period after the one before. Clock offsets are a series of their own and are not applied. A stream of
 * texts is a series without rows, which has them as annotations.
 *
 * Broken chunks are passed over, up to the next boundary; what is lost is said.
 * @throws `invalid-input` naming file and byte
 */
export async function readXdf(files: RecordingFiles, file: string, options: FileOptions): Promise<Recording> {
  const notes: string[] = [];
  const streams = new Map<number, XdfStream>();
  let head = '';
  let broken = 0;
  for await (const chunk of xdfChunks(files, file, (note) => notes.push(note))) {
    if (chunk.tag === XDF_TAGS.fileHeader) head = textOf(chunk);
    else if (chunk.tag === XDF_TAGS.streamHeader) addStream(streams, chunk, file);
    const stream = chunk.streamId === null ? undefined : streams.get(chunk.streamId);
    if (!stream) continue;
    if (chunk.tag === XDF_TAGS.streamFooter) stream.footer = textOf(chunk);
    else if (chunk.tag === XDF_TAGS.clockOffset) addOffset(stream, chunk);
    else if (chunk.tag === XDF_TAGS.samples) broken += Number(countSamples(stream, chunk, file));
  }
  if (broken > 0) notes.push(`${broken} chunks of samples end early: their samples up to there were read`);
  if (streams.size === 0) throw invalidField(file, 'has no stream');
  notes.push('times are those of the recording computers, as they came; clock offsets are series of their own');
  const all = [...streams.values()];
  const names = distinctLabels(all.map(({ name }) => name));
  const series = all.flatMap((stream, i) => {
    notesOn(stream, names[i], notes);
    const provenance = provenanceOf(stream, head);
    const name = `${options.name}/${names[i]}`;
    const own =
      stream.dtype === null
        ? annotationSeries({ name: name, timeReference: 'relative', provenance }, stream.marks)
        : dataSeries(stream, stream.dtype, name, provenance, files, file);
    return stream.offsets.length === 0 ? [own] : [own, offsetSeries(stream, name, provenance)];
  });
  return { series, notes, sources: [file] };
}

function textOf({ content }: XdfChunk): string {
  return new TextDecoder().decode(content);
}

function addStream(streams: Map<number, XdfStream>, chunk: XdfChunk, file: string): void {
  const id = chunk.streamId;
  if (id === null || streams.has(id)) return;
  const xml = textOf(chunk);
  const place = `stream ${id} at byte ${chunk.byte}`;
  const count = Number(elementText(xml, 'channel_count'));
  if (!Number.isInteger(count) || count < 1 || count > MAX_CHANNELS) {
    throw invalidField(file, `has ${oneLine(elementText(xml, 'channel_count'), 40)} channels in ${place}`);
  }
  const format = elementText(xml, 'channel_format');
  const dtype = FORMATS[format] as Dtype | undefined;
  if (!dtype && format !== 'string') throw invalidField(file, `has the format "${oneLine(format, 40)}" in ${place}`);
  const hz = Number(elementText(xml, 'nominal_srate') || 0);
  if (!Number.isFinite(hz) || hz < 0) throw invalidField(file, `has a nominal rate of ${hz} Hz in ${place}`);
  const infos = elementsIn(xml, 'channel');
  const labels = distinctLabels(
    Array.from({ length: count }, (_, c) =>
      labelText(elementText(infos[c] ?? '', 'label'), count === 1 ? 'value' : `ch${c}`),
    ),
  );
  streams.set(id, {
    id,
    xml,
    name: labelText(elementText(xml, 'name').replaceAll('/', '_'), `stream ${id}`),
    dtype: dtype ?? null,
    channels: labels.map((label, c) => ({ label, ...said('unit', oneLine(elementText(infos[c] ?? '', 'unit'), 100)) })),
    stepS: hz > 0 ? 1 / hz : 0,
    rows: 0,
    backward: 0,
    marks: [],
    offsets: [],
    footer: null,
    lastS: 0,
  });
}

function addOffset(stream: XdfStream, { content }: XdfChunk): void {
  if (content.length < 16) return;
  const view = new DataView(content.buffer, content.byteOffset);
  const [at, offset] = [view.getFloat64(0, true), view.getFloat64(8, true)];
  const atNs = nsOf(at);
  if (atNs !== undefined) stream.offsets.push({ atNs, offset });
}

/** @returns whether the chunk ends early */
function countSamples(stream: XdfStream, chunk: XdfChunk, file: string): boolean {
  const samples = samplesOf(stream, chunk, stream.lastS, file);
  let before = stream.rows > 0 ? (nsOf(stream.lastS) ?? 0n) : (samples.times[0] ?? 0n);
  samples.times.forEach((ns, i) => {
    if (ns < before) stream.backward++;
    before = ns;
    if (stream.dtype !== null) return;
    if (stream.marks.length === MAX_MARKS)
      throw new VarveError('limit-exceeded', `${file} has more than ${MAX_MARKS} markers in a stream`);
    const [first, ...others] = samples.texts[i];
    const label = oneLine(first, MAX_LABEL_CHARS) || '(empty)';
    const isWhole = others.length === 0 && label === first;
    stream.marks.push({ startNs: ns, endNs: ns, label, payload: isWhole ? {} : { values: samples.texts[i] } });
  });
  stream.rows += samples.times.length;
  stream.lastS = samples.lastS;
  return samples.isBroken;
}

/** @param lastS seconds of the sample before */
function samplesOf(stream: XdfStream, { content, byte }: XdfChunk, lastS: number, file: string): XdfSamples {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const { dtype, stepS, channels } = stream;
  const rowBytes = dtype === null ? 0 : channels.length * DTYPES[dtype].bytes;
  const counted = lengthAt(view, 0);
  const times: bigint[] = [];
  const texts: string[][] = [];
  const rows: Uint8Array[] = [];
  let at = counted?.end ?? content.length;
  const count = counted?.length ?? 0;
  let seconds = lastS;
  for (let i = 0; i < count; i++) {
    const begin = at;
    if (begin >= content.length) break;
    const isStamped = content[begin] === 8;
    at += isStamped ? 9 : 1;
    if ((content[begin] !== 8 && content[begin] !== 0) || at + rowBytes > content.length) break;
    const stamp = isStamped ? view.getFloat64(begin + 1, true) : seconds + stepS;
    const ns = nsOf(stamp);
    if (ns === undefined) throw invalidField(file, `has the time stamp ${stamp} in the chunk at byte ${byte}`);
    if (dtype === null) {
      const read = textsAt(content, view, at, channels.length);
      if (!read) break;
      texts.push(read.texts);
      at = read.end;
    } else {
      rows.push(content.subarray(at, at + rowBytes));
      at += rowBytes;
    }
    times.push(ns);
    seconds = stamp;
  }
  return { times, values: Buffer.concat(rows), texts, lastS: seconds, isBroken: !counted || times.length < count };
}

/** A length of 1, 4 or 8 bytes, behind a byte that says which. */
function lengthAt(view: DataView, at: number): { length: number; end: number } | null {
  const bytes = at < view.byteLength ? view.getUint8(at) : 0;
  if (![1, 4, 8].includes(bytes) || at + 1 + bytes > view.byteLength) return null;
  const from = at + 1;
  const length =
    bytes === 1
      ? view.getUint8(from)
      : bytes === 4
        ? view.getUint32(from, true)
        : Number(view.getBigUint64(from, true));
  return { length, end: from + bytes };
}

function textsAt(
  content: Uint8Array,
  view: DataView,
  from: number,
  count: number,
): { texts: string[]; end: number } | null {
  const texts: string[] = [];
  let at = from;
  for (let c = 0; c < count; c++) {
    const sized = lengthAt(view, at);
    if (!sized || sized.end + sized.length > content.length) return null;
    texts.push(new TextDecoder().decode(content.subarray(sized.end, sized.end + sized.length)));
    at = sized.end + sized.length;
  }
  return { texts, end: at };
}

function nsOf(seconds: number): bigint | undefined {
  if (!Number.isFinite(seconds)) return undefined;
  const whole = Math.floor(seconds);
  const ns = BigInt(whole) * 1_000_000_000n + BigInt(Math.round((seconds - whole) * 1e9));
  return isTime(ns) ? ns : undefined;
}

function notesOn(stream: XdfStream, name: string, notes: string[]): void {
  if (stream.backward > 0) {
    notes.push(`${name}: ${stream.backward} times lie before the one in front: its clock was reset or set back`);
  }
  if (stream.footer === null) {
    notes.push(
      `${name} has no footer: the recording was not closed; all ${stream.rows} samples that are there were read`,
    );
    return;
  }
  const promised = Number(elementText(stream.footer, 'sample_count') || stream.rows);
  if (promised !== stream.rows)
    notes.push(`${name}: its footer promises ${promised} samples, the file has ${stream.rows}`);
}

function provenanceOf({ id, xml, footer }: XdfStream, head: string): Record<string, unknown> {
  const of = (text: string, names: readonly string[]): Record<string, string> =>
    Object.assign({}, ...names.map((name) => said(name, oneLine(elementText(text, name))))) as Record<string, string>;
  return {
    format: 'XDF',
    stream: id,
    ...said('recorded', oneLine(elementText(head, 'datetime'))),
    ...of(xml, ['name', 'type', 'nominal_srate', 'channel_format', 'source_id', 'hostname', 'created_at', 'uid']),
    ...of(footer ?? '', ['first_timestamp', 'last_timestamp', 'sample_count']),
  };
}

function dataSeries(
  stream: XdfStream,
  dtype: Dtype,
  name: string,
  provenance: Record<string, unknown>,
  files: RecordingFiles,
  file: string,
): RecordedSeries {
  return {
    spec: importedSpec({
      name,
      dtype,
      channels: stream.channels,
      unit: unitOfAll(stream.channels),
      sampling: { kind: 'irregular' },
      timeReference: 'relative',
      provenance,
    }),
    rows: stream.rows,
    batches: () => batchesOf(stream, dtype, files, file),
    annotations: [],
  };
}

async function* batchesOf(stream: XdfStream, dtype: Dtype, files: RecordingFiles, file: string): AsyncGenerator<Batch> {
  const channels = stream.channels.length;
  const full = fullBatchRows(channels * DTYPES[dtype].bytes + 8);
  let lastS = 0;
  for await (const chunk of xdfChunks(files, file, () => {})) {
    if (chunk.tag !== XDF_TAGS.samples || chunk.streamId !== stream.id) continue;
    const samples = samplesOf(stream, chunk, lastS, file);
    lastS = samples.lastS;
    const values = viewAs(dtype, samples.values);
    const times = BigInt64Array.from(samples.times);
    for (let from = 0; from < times.length; from += full) {
      const upTo = Math.min(times.length, from + full);
      yield {
        rows: upTo - from,
        values: values.subarray(from * channels, upTo * channels),
        times: times.subarray(from, upTo),
      };
    }
  }
}

/** Seconds to add to the stamps of a stream, at the times when they were measured. */
function offsetSeries(stream: XdfStream, name: string, provenance: Record<string, unknown>): RecordedSeries {
  const { offsets } = stream;
  const full = fullBatchRows(16);
  function* batches(): Generator<Batch> {
    for (let from = 0; from < offsets.length; from += full) {
      const part = offsets.slice(from, from + full);
      yield {
        rows: part.length,
        values: Float64Array.from(part, ({ offset }) => offset),
        times: BigInt64Array.from(part, ({ atNs }) => atNs),
      };
    }
  }
  return {
    spec: importedSpec({
      name: `${name}/clock offsets`,
      dtype: 'float64',
      channels: [{ label: 'offset', unit: 's' }],
      unit: 's',
      sampling: { kind: 'irregular' },
      timeReference: 'relative',
      provenance,
    }),
    rows: offsets.length,
    batches,
    annotations: [],
  };
}
