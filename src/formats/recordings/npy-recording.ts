/** An `.npy` file as a recording: one series. */
import type { SampleShape } from '../../core/signal/batch.ts';
import { invalidField, unprocessableField } from '../../core/errors.ts';
import { parseRate } from '../../core/signal/rate.ts';
import type { Recording } from '../../core/signal/recording.ts';
import type { Sampling } from '../../core/signal/series.ts';
import { joinBytes } from '../binary/block-cutter.ts';
import { importedSpec } from './imported-series.ts';
import { decodeNpy, readNpyHeader, type NpyHeader } from '../samples/npy.ts';

/** More columns than this are a sign of an array that lies the wrong way round. */
const MAX_CHANNELS = 65_536;

export interface NpyRecordingOptions {
  /** Name of the series. */
  readonly name: string;
  /** Samples a second, as a number or a text such as `30000/1001`; needed unless the array has times. */
  readonly rate?: number | string;
  /** UTC ns of the first row; without it times count from the start of the recording. */
  readonly startNs?: bigint;
  /** One a column; `channel_1` … by default. */
  readonly channelLabels?: readonly string[];
}

/**
 * A plain array with a rate becomes a regular series, a structured one of `time` and `values` an irregular one.
 * @param open reads the file from its start; called once for the header and once for each reading of the samples
 * @throws `invalid-input` naming `body` or the option; `unprocessable` for arrays that cannot be samples, and on `rate` if it is missing
 */
export async function readNpyRecording(
  open: () => AsyncIterable<Uint8Array>,
  options: NpyRecordingOptions,
): Promise<Recording> {
  const header = await headerOf(open());
  if (header.channels > MAX_CHANNELS) {
    throw unprocessableField(
      'body',
      `has ${header.channels} columns; rows × channels are expected, send the transposed array`,
    );
  }
  const labels = options.channelLabels ?? Array.from({ length: header.channels }, (_, i) => `channel_${i + 1}`);
  if (labels.length !== header.channels) {
    throw invalidField('channelLabels', `names ${labels.length} channels, the array has ${header.channels}`);
  }
  const notes: string[] = [];
  const sampling = samplingOf(header, options, notes);
  const shape: SampleShape = { dtype: header.dtype, channelLabels: labels, kind: sampling.kind };
  const spec = importedSpec({
    name: options.name,
    dtype: header.dtype,
    channels: labels.map((label) => ({ label })),
    sampling,
    timeReference: sampling.kind === 'regular' && options.startNs === undefined ? 'relative' : 'utc',
    provenance: { format: 'npy' },
  });
  return { series: [{ spec, rows: header.rows, batches: () => decodeNpy(open(), shape), annotations: [] }], notes };
}

async function headerOf(source: AsyncIterable<Uint8Array>): Promise<NpyHeader> {
  let head: Uint8Array = new Uint8Array(0);
  for await (const piece of source) {
    head = joinBytes([head, piece]);
    const header = readNpyHeader(head);
    if (header) return header;
  }
  throw invalidField('body', 'ends before its .npy header does');
}

function samplingOf(header: NpyHeader, options: NpyRecordingOptions, notes: string[]): Sampling {
  if (header.time) {
    if (options.rate !== undefined) notes.push('the array has a time for each row; the given rate was not used');
    return { kind: 'irregular' };
  }
  if (options.rate === undefined) {
    throw unprocessableField('rate', 'is missing: the array has no times, so its sampling rate must be given');
  }
  const rate = parseRate(options.rate);
  if (!rate) throw invalidField('rate', `${options.rate} is not a sampling rate in Hz`);
  if (options.startNs === undefined) notes.push('no start was given: times count from the start of the recording');
  return { kind: 'regular', rate, startNs: options.startNs ?? 0n };
}
