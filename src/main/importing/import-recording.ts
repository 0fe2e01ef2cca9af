/**
 * A recording on its way into the service, so that doing it again does nothing. An import that was interrupted goes on
 * when it is started once more; one that was complete adds nothing.
 */
import { createHash } from 'node:crypto';
import type { Batch } from '../../core/signal/batch.ts';
import { bytesOf } from '../../core/numbers/dtype.ts';
import { VarveError, isVarveError } from '../../core/errors.ts';
import type { RecordedSeries, Recording } from '../../core/signal/recording.ts';
import type { NewAnnotation, NewSeries, RecordingWish, Tags } from '../../core/signal/series.ts';
import { recordBytes } from '../../formats/samples/batch-builder.ts';
import { packRecords } from '../../formats/binary/packed-records.ts';
import type { SeriesAnswer, VarveClient } from '../client/client.ts';
import { seriesToCreate, shapeText, type ImportPlace } from '../../flows/import/series-to-create.ts';
import type { RecordingSource } from '../../flows/import/source-files.ts';
import { VERSION } from '../process/version.ts';

/** Batches of a recording are gathered into requests of about this size: each costs a commit, whatever it holds. */
const REQUEST_BYTES = 8 * 1024 * 1024;

export interface ImportOptions {
  readonly project: string;
  /** Besides those the recording brings; these win. */
  readonly tags: Tags;
  /** The recording that the series are made in; undefined: in none. */
  readonly recording?: RecordingWish;
}

/** What is said of all series of an import from here. */
export function placeOf({ project, tags, recording }: ImportOptions): ImportPlace {
  return { project, tags, recording: recording ?? null, importer: `varve ${VERSION}` };
}

export interface ImportedSeries {
  /** As it was created now, or an earlier time. */
  readonly series: SeriesAnswer;
  /** Now. */
  readonly isCreated: boolean;
  readonly rows: number;
  readonly bytes: number;
  readonly annotations: number;
  /** How many of those rows were not there before; and of the annotations. */
  readonly addedRows: number;
  readonly addedAnnotations: number;
}

/** Bytes of a row as it travels. */
export function rowBytes({ spec: { dtype, channels, sampling } }: RecordedSeries): number {
  return recordBytes({ dtype, channelLabels: channels.map(({ label }) => label), kind: sampling.kind });
}

/**
 * Creates the series of a recording, appends their samples and posts their annotations, one series after the other.
 *
 * Every append has an Idempotency-Key, so that the service recognizes what it has. The key is made of the source's
 * checksum, the series' name and the number of the request. Annotations have no such key. Those that the series has
 * already, by start, end and label, are left out.
 * @param onBytes told of the bytes that each request brought
 * @throws conflict `name-taken` if a series of the name exists and does not come from the same source in the same shape
 */
export async function importRecording(
  client: VarveClient,
  recording: Recording,
  source: RecordingSource,
  options: ImportOptions,
  onBytes: (bytes: number) => void = () => {},
): Promise<ImportedSeries[]> {
  const imported: ImportedSeries[] = [];
  for (const recorded of recording.series) {
    const wanted = seriesToCreate(recorded, source, placeOf(options));
    const { series, isCreated, isOther } = await createOrFind(client, wanted, source);
    let [rows, addedRows, bytes, request] = [0, 0, 0, 0];
    for await (const { body, startNs } of requestsOf(recorded)) {
      const begins = isOther && request === 0 ? saidStart(wanted) : {};
      const idempotencyKey = requestKey(source, wanted.name, request++);
      const place = startNs === undefined ? begins : { startNs, isGap: true };
      const appended = await client
        .appendSamples(series.id, body, { idempotencyKey, ...place })
        .catch((error: unknown) => {
          throw otherOptions(error, wanted.name);
        });
      rows += appended.rows;
      if (!appended.replayed) addedRows += appended.rows;
      bytes += body.length;
      onBytes(body.length);
    }
    const missing = await missingAnnotations(client, series.id, recorded.annotations);
    await client.annotate(series.id, missing);
    imported.push({
      series,
      isCreated,
      rows,
      bytes,
      annotations: recorded.annotations.length,
      addedRows,
      addedAnnotations: missing.length,
    });
  }
  return imported;
}

/** Where rows begin that are appended to those of another file. */
function saidStart({ sampling }: NewSeries): { startNs?: bigint } {
  return sampling.kind === 'regular' && sampling.startNs !== null ? { startNs: sampling.startNs } : {};
}

/** @returns isOther: it came from another file, and is of the recording that is added to */
async function createOrFind(
  client: VarveClient,
  wanted: NewSeries,
  source: RecordingSource,
): Promise<{ series: SeriesAnswer; isCreated: boolean; isOther: boolean }> {
  try {
    return { series: await client.createSeries(wanted), isCreated: true, isOther: false };
  } catch (error) {
    if (!isVarveError(error) || error.code !== 'conflict') throw error;
    const found = await client.getSeries({ project: wanted.project, name: wanted.name }).catch((missing: unknown) => {
      // The name that is taken is that of the recording.
      throw isVarveError(missing) && missing.code === 'not-found' ? error : missing;
    });
    const from = found.provenance.source as { file?: string; sha256?: string } | undefined;
    const into = wanted.recording && 'id' in wanted.recording ? wanted.recording.id : null;
    const isOther = from?.sha256 !== source.sha256;
    if (isOther && (into === null || found.recording?.id !== into)) {
      const origin = from?.file === undefined ? 'was not imported' : `came from another ${from.file}`;
      throw taken(
        `a series named ${wanted.name} exists and ${origin}: choose another --name or --project, or add to its recording with --into`,
        error,
      );
    }
    if (shapeText(found) !== shapeText(wanted)) throw otherOptions(taken('', error), wanted.name);
    return { series: found, isCreated: false, isOther };
  }
}

function taken(message: string, cause: unknown): VarveError {
  return new VarveError('conflict', message, { slug: 'name-taken', cause });
}

/** The service's word that something was imported before, in the words of an import. */
function otherOptions(error: unknown, name: string): unknown {
  if (!isVarveError(error) || (error.slug !== 'key-reused' && error.slug !== 'name-taken')) return error;
  return taken(
    `${name} was imported from the same file with other options, or by another version: choose another --name, or delete the series first`,
    error,
  );
}

function requestKey(source: RecordingSource, name: string, request: number): string {
  const digest = createHash('sha256').update(`${source.sha256}\n${name}\n${request}`).digest('base64url');
  return `import-${digest}`;
}

interface SegmentBody {
  readonly body: Uint8Array;
  /** Where it begins a segment. */
  readonly startNs: bigint | undefined;
}

/**
 * The samples as bodies of requests; a segment begins one. Where one ends depends on the file alone, or a second import
 * would not be recognized.
 */
async function* requestsOf(recorded: RecordedSeries): AsyncGenerator<SegmentBody> {
  let parts: Uint8Array[] = [];
  let bytes = 0;
  let startNs: bigint | undefined;
  for await (const batch of recorded.batches()) {
    if (batch.startNs !== undefined && recorded.spec.sampling.kind === 'regular') {
      if (bytes > 0) yield { body: Buffer.concat(parts), startNs };
      ({ startNs } = batch);
      parts = [];
      bytes = 0;
    }
    const part = packed(batch);
    parts.push(part);
    bytes += part.length;
    if (bytes < REQUEST_BYTES) continue;
    yield { body: Buffer.concat(parts), startNs };
    startNs = undefined;
    parts = [];
    bytes = 0;
  }
  if (bytes > 0) yield { body: Buffer.concat(parts), startNs };
}

function packed({ times, values }: Batch): Uint8Array {
  return times ? packRecords(times, values) : bytesOf(values);
}

/** Those that the series lacks. Equal marks count: a file may have two of them. */
async function missingAnnotations(
  client: VarveClient,
  id: string,
  annotations: readonly NewAnnotation[],
): Promise<NewAnnotation[]> {
  if (annotations.length === 0) return [];
  const present = new Map<string, number>();
  for await (const { start, end, label } of client.annotations(id)) {
    const mark = `${start} ${end} ${label}`;
    present.set(mark, (present.get(mark) ?? 0) + 1);
  }
  return annotations.filter(({ startNs, endNs, label }) => {
    const mark = `${startNs} ${endNs} ${label}`;
    const count = present.get(mark) ?? 0;
    present.set(mark, count - 1);
    return count <= 0;
  });
}
