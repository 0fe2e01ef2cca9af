/** Reads the files of a recording into rows, in a thread of its own: what a hostile file does, it does there. */
import { realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isVarveError } from '../../core/errors.ts';
import type { AppendPart } from '../../core/rows/place-append.ts';
import type { Run } from '../../core/signal/place-run.ts';
import type { Batch } from '../../core/signal/batch.ts';
import type { RecordedSeries } from '../../core/signal/recording.ts';
import type { NewAnnotation, RecordingSource } from '../../core/signal/series.ts';
import { shapeOf } from '../append/receive-body.ts';
import { PayloadSpool, receiveBatches } from '../append/receive-payload.ts';
import { openRecording } from './open-recording.ts';
import type { RecordingOptions } from './recording-options.ts';

export interface DecodeTask {
  readonly dataRoot: string;
  /** The file for what is too large for memory, whose row is in the catalog. Null: samples are not read. */
  readonly spoolId: string | null;
  readonly path: string;
  readonly options: RecordingOptions;
  /** Bytes that have been looked through, all that will be, and rows that were read: three float64, written as it goes. */
  readonly progress: SharedArrayBuffer;
}

export interface DecodedSeries {
  readonly spec: RecordedSeries['spec'];
  /** Null: the file does not say, and samples were not read. */
  readonly rows: number | null;
  readonly bytes: number;
  readonly parts: readonly AppendPart[];
  /** Regular series: rows that follow each other. */
  readonly runs: readonly Run[];
  readonly annotations: readonly NewAnnotation[];
}

export interface DecodedFile {
  readonly source: RecordingSource;
  readonly format: string;
  readonly notes: readonly string[];
  readonly series: readonly DecodedSeries[];
  /** Real paths of all that was read. */
  readonly paths: readonly string[];
}

/** @throws what the format's reader throws, and what rows are refused for. No spool file is left then */
export async function decodeFiles({ dataRoot, spoolId, path, options, progress }: DecodeTask): Promise<DecodedFile> {
  const told = new Float64Array(progress);
  const opened = await openRecording(path, options, (bytes, total) => {
    told[0] = bytes;
    told[1] = total;
  });
  const spool = spoolId === null ? null : new PayloadSpool(dataRoot, spoolId);
  try {
    const { recording, source, format } = opened;
    const series: DecodedSeries[] = [];
    for (const recorded of recording.series) {
      series.push(spool ? await readSeries(recorded, spool, (rows) => (told[2] += rows)) : unread(recorded));
    }
    await spool?.finish();
    const names = source.files ?? [];
    const paths = await Promise.all(
      [path, ...names.map((name) => join(dirname(path), name))].map((each) => realOf(each)),
    );
    return { source, format, notes: recording.notes, series, paths };
  } catch (error) {
    await spool?.discard();
    throw error;
  } finally {
    await opened.close();
  }
}

/** A WFDB record may go without its extension. */
async function realOf(path: string): Promise<string> {
  return realpath(path).catch(() => path);
}

function unread({ spec, rows, annotations }: RecordedSeries): DecodedSeries {
  return { spec, rows, bytes: 0, parts: [], runs: [], annotations };
}

async function readSeries(
  recorded: RecordedSeries,
  spool: PayloadSpool,
  onRows: (rows: number) => void,
): Promise<DecodedSeries> {
  const { spec, annotations } = recorded;
  const runs: { rows: number; startNs: bigint | null }[] = [];
  async function* followed(): AsyncGenerator<Batch> {
    for await (const { rows, values, times, startNs } of recorded.batches()) {
      if (rows === 0) continue;
      onRows(rows);
      if (spec.sampling.kind === 'regular') {
        if (runs.length === 0 || startNs !== undefined) runs.push({ rows: 0, startNs: startNs ?? null });
        runs.at(-1)!.rows += rows;
      }
      yield { rows, values, times };
    }
  }
  const task = { shape: shapeOf(spec), duplicates: spec.duplicates, hash: false };
  try {
    const { rows, bytes, parts } = await receiveBatches(task, followed(), spool);
    return { spec, rows, bytes, parts: parts.map(compact), runs: runs.map(asRun), annotations };
  } catch (error) {
    if (!isVarveError(error) || error.slug !== 'empty') throw error;
    return { spec, rows: 0, bytes: 0, parts: [], runs: [], annotations };
  }
}

/** A start within a file opens a gap, however small. */
function asRun({ rows, startNs }: { rows: number; startNs: bigint | null }): Run {
  return { rows, startNs, marks: [], field: 'start', ...(startNs !== null && { gaps: 'exact' as const }) };
}

/** Bytes that have a buffer of their own: a view takes all that it is a view of along to the other thread. */
function compact(part: AppendPart): AppendPart {
  if (part.place.kind !== 'memory') return part;
  const own = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);
  const { values, times } = part.place;
  return { ...part, place: { kind: 'memory', values: own(values), times: times && own(times) } };
}
