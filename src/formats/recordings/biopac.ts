/** BIOPAC AcqKnowledge files: a series for each sampling rate and kind of number, markers as annotations. */
import type { Batch } from '../../core/signal/batch.ts';
import { invalidField } from '../../core/errors.ts';
import { DTYPES } from '../../core/numbers/dtype.ts';
import { nsOfRow, parseRate, rateHz, type Rate } from '../../core/signal/rate.ts';
import type { RecordedSeries, Recording } from '../../core/signal/recording.ts';
import type { Channel } from '../../core/signal/series.ts';
import { fullBatchRows } from '../samples/batch-builder.ts';
import { BlockCutter, joinBytes } from '../binary/block-cutter.ts';
import { biopacMarkers, readBiopacHeader, type BiopacChannel, type BiopacHeader } from './biopac-header.ts';
import { distinctLabels } from './channel-labels.ts';
import { commonUnit, labelText, said } from './header-text.ts';
import { importedSpec } from './imported-series.ts';
import { startAt } from './local-start.ts';
import { neededSize, type FileOptions, type RecordingFiles } from './recording-files.ts';

const BLOCK_BYTES = 1024 * 1024;

/**
 * Makes one regular series of all channels of one rate and length: int16 with scale and offset, or float64. Markers
 * belong to the first. Files that are compressed are not read. A file that ends early is read to its last whole sample.
 * @throws `invalid-input` or `unprocessable` naming file and byte
 */
export async function readBiopac(files: RecordingFiles, file: string, options: FileOptions): Promise<Recording> {
  const size = await neededSize(files, file, file);
  const header = await readBiopacHeader(files, file, size);
  const notes: string[] = [];
  const start = startAt(null, options, notes);
  const baseRate = rateOf(header.sampleTimeMs, 1, file);
  const promised = header.channels.reduce((sum, { samples, dtype }) => sum + samples * DTYPES[dtype].bytes, 0);
  const isCut = header.dataByte + promised > size;
  if (isCut) {
    notes.push(
      `the file was cut off: ${Math.max(0, size - header.dataByte)} of ${promised} bytes of samples are there`,
    );
  }
  const { markers, isBroken } = isCut
    ? { markers: [], isBroken: true }
    : await biopacMarkers(files, file, size, header, promised);
  if (isBroken) notes.push('markers could not be read');
  const marks = markers.map(({ sample, text, style }) => {
    const ns = start.startNs + nsOfRow(baseRate, sample);
    return { startNs: ns, endNs: ns, label: text || style || 'marker', payload: { sample, ...said('style', style) } };
  });
  const groups = groupsOf(header.channels);
  if (groups.length === 0) throw invalidField(file, 'has no samples');
  const series = groups.map((members, g): RecordedSeries => {
    const [{ divider, dtype, samples }] = members.map((c) => header.channels[c]);
    const rate = rateOf(header.sampleTimeMs, divider, file);
    const channels = channelsOf(members.map((c) => header.channels[c]));
    return {
      spec: importedSpec({
        name: nameOf(options.name, groups, g, header, file),
        dtype,
        channels,
        unit: commonUnit(channels),
        sampling: { kind: 'regular', rate, startNs: start.startNs },
        timeReference: start.timeReference,
        timeZone: start.timeZone,
        provenance: { format: 'BIOPAC AcqKnowledge', revision: header.revision, sample_time_ms: header.sampleTimeMs },
      }),
      rows: isCut ? null : samples,
      batches: () => batchesOf(files, file, size, header, members),
      annotations: g === 0 ? marks : [],
    };
  });
  if (marks.length > 0 && series.length > 1) notes.push('markers belong to the first series');
  return { series, notes, sources: [file] };
}

function rateOf(sampleTimeMs: number, divider: number, file: string): Rate {
  const period = parseRate(sampleTimeMs);
  const rate = period && parseRate(`${1000n * period.den}/${period.num * BigInt(divider)}`);
  if (!rate) throw invalidField(file, `has ${sampleTimeMs} ms between samples (byte 16)`);
  return rate;
}

/** Channels of one rate, length and kind of number, by place. */
function groupsOf(channels: readonly BiopacChannel[]): number[][] {
  const groups = new Map<string, number[]>();
  channels.forEach(({ divider, dtype, samples }, c) => {
    const key = `${divider} ${dtype} ${samples}`;
    if (samples > 0) groups.set(key, [...(groups.get(key) ?? []), c]);
  });
  return [...groups.values()];
}

function nameOf(name: string, groups: readonly number[][], g: number, header: BiopacHeader, file: string): string {
  if (groups.length === 1) return name;
  const firsts = groups.map(([c]) => header.channels[c]);
  const rates = firsts.map(({ divider }) => `${rateHz(rateOf(header.sampleTimeMs, divider, file))}Hz`);
  const isTold = new Set(rates).size === groups.length;
  return `${name}/${isTold ? rates[g] : distinctLabels(firsts.map(({ label }, i) => labelText(label.replaceAll('/', '_'), `channel ${i}`)))[g]}`;
}

function channelsOf(channels: readonly BiopacChannel[]): Channel[] {
  const labels = distinctLabels(channels.map(({ label, number }) => labelText(label, `channel ${number}`)));
  return channels.map(({ unit, scale, offset, dtype, number }, i) => ({
    label: labels[i],
    ...said('unit', unit),
    // Numbers with a fraction are physical as they are.
    ...(dtype === 'int16' && Number.isFinite(scale) && scale !== 0 && Number.isFinite(offset) && { scale, offset }),
    info: { number },
  }));
}

/**
 * Rows of the channels of one group. Channel after channel has a sample at every tick that its divider divides, until it
 * has all of its samples.
 */
async function* batchesOf(
  files: RecordingFiles,
  file: string,
  size: number,
  header: BiopacHeader,
  members: readonly number[],
): AsyncGenerator<Batch> {
  const { channels, dataByte, isLittle } = header;
  const { dtype } = channels[members[0]];
  const place = channels.map((_, c) => members.indexOf(c));
  const full = fullBatchRows(members.length * DTYPES[dtype].bytes);
  const left = channels.map(({ samples }) => samples);
  const cutter = new BlockCutter(BLOCK_BYTES);
  let values = new DTYPES[dtype].array(full * members.length) as Int16Array | Float64Array;
  let rows = 0;
  let filled = 0;
  let tick = 0;
  let channel = 0;
  let rest: Uint8Array = new Uint8Array(0);

  function* decoded(block: Uint8Array): Generator<Batch> {
    const bytes = rest.length === 0 ? block : joinBytes([rest, block]);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 0;
    for (;;) {
      if (channel === channels.length) {
        channel = 0;
        tick++;
        if (left.every((count) => count <= 0)) break;
      }
      const { divider, dtype: own } = channels[channel];
      if (tick % divider !== 0 || left[channel] <= 0) {
        channel++;
        continue;
      }
      const bytesOfOne = DTYPES[own].bytes;
      if (at + bytesOfOne > bytes.length) break;
      if (place[channel] >= 0) {
        values[rows * members.length + place[channel]] =
          own === 'int16' ? view.getInt16(at, isLittle) : view.getFloat64(at, isLittle);
        filled++;
      }
      at += bytesOfOne;
      left[channel]--;
      channel++;
      if (filled < members.length) continue;
      filled = 0;
      rows++;
      if (rows < full) continue;
      yield { rows, values, times: null };
      values = new DTYPES[dtype].array(full * members.length) as Int16Array | Float64Array;
      rows = 0;
    }
    rest = bytes.subarray(at);
  }

  if (dataByte >= size) return;
  for await (const piece of files.open(file, dataByte)) {
    for (const block of cutter.push(piece)) yield* decoded(block);
    if (left.every((count) => count <= 0)) break;
  }
  yield* decoded(cutter.rest());
  if (rows > 0) yield { rows, values: values.subarray(0, rows * members.length), times: null };
}
