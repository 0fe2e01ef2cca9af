/** Replaces or removes a range of samples: at once, durable and readable by one commit. */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import {
  keepSpools,
  knownAppends,
  lockHead,
  prepareCommit,
  type CommitToMake,
  type CommitTrace,
  type FreshToInsert,
} from '../../catalog/appends/append-commit.ts';
import type { Database } from '../../catalog/database.ts';
import { addErasure, changeHoles, chunksSince, holesOf, readSegments } from '../../catalog/appends/edit-store.ts';
import { sessionOf, type Session } from '../../catalog/session.ts';
import { writeId } from '../../catalog/appends/write-store.ts';
import { viewAs } from '../../core/numbers/dtype.ts';
import { invalidField, notFound, unprocessableField, VarveError } from '../../core/errors.ts';
import { fieldOfKey } from '../../core/idempotency.ts';
import {
  appendKeyOf,
  refuseSealed,
  type AppendKey,
  type AppendPart,
  type Head,
  type SampleChange,
} from '../../core/rows/place-append.ts';
import { planIrregularEdit, planRegularEdit, type MeasuredRange } from '../../core/rows/plan-edit.ts';
import type { RowRange } from '../../core/signal/segment.ts';
import type { Series } from '../../core/signal/series.ts';
import type { TimeRange } from '../../core/signal/time-span.ts';
import { formatTime, INT64_MAX, INT64_MIN } from '../../core/time.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';
import { readSpooled } from '../../storage/folder/spool.ts';
import { commitTold } from './commit-told.ts';
import { measureErasure } from './measure-erasure.ts';
import { withUpload, type ReceiveDeps } from './receive-body.ts';
import type { ReceivedPayload } from './receive-payload.ts';
import { visibleSeries } from '../series/series-reach.ts';
import type { SeriesTurns } from '../series/series-turns.ts';
import type { AppendOutcome, EditRange, RemoveOutcome, RemoveRequest, ReplaceRequest } from './append-service.ts';

export interface EditDeps extends ReceiveDeps {
  readonly reads: Database;
  readonly turns: SeriesTurns;
}

/** How often an irregular series is measured that changes in the range each time; then it is given up. */
const MOST_MEASURES = 5;
const RETRY_AFTER_S = 1;

/**
 * Puts the rows of the body in the place of those in a range. A regular series takes the same number of rows, an
 * irregular one any number.
 * @throws what is wrong with the body, and what {@link planRegularEdit} refuses: nothing is stored then
 * @throws unprocessable naming `times[i]` for a time outside of the range; unavailable `series-busy`
 */
export async function replaceSamples(deps: EditDeps, request: ReplaceRequest): Promise<AppendOutcome> {
  const { principal, idempotencyKey } = request;
  const range = bounds(request);
  const series = await visibleSeries(deps.reads)(principal, request.ref);
  return withUpload(deps, request, async (upload) => {
    // The rows of the range say how far apart the times are.
    const received = await upload.receive(series, idempotencyKey !== null, 'any');
    await checkTimes(deps, received, range);
    const key = keyOf(idempotencyKey, 'replace', range, received.contentHash);
    const asked = { series, tokenId: principal.tokenId, range, key, received };
    const { commit, ordinal, rows, firstRow, replayed } = await edit(deps, asked);
    return { write: writeId(commit, ordinal), rows, firstRow, commit, replayed };
  });
}

/**
 * Takes away the rows of a range. Those that are left keep their numbers and times.
 * @throws as {@link replaceSamples}
 */
export async function removeSamples(deps: EditDeps, request: RemoveRequest): Promise<RemoveOutcome> {
  const { principal, idempotencyKey } = request;
  const range = bounds(request);
  const series = await visibleSeries(deps.reads)(principal, request.ref);
  const upload = await deps.backpressure.admit(0);
  upload.end();
  const key = keyOf(idempotencyKey, 'remove', range, null);
  const asked = { series, tokenId: principal.tokenId, range, key, received: null };
  const { commit, ordinal, rows, replayed } = await edit(deps, asked);
  return { write: writeId(commit, ordinal), removed: rows, commit, replayed };
}

interface SampleEdit {
  readonly series: Series;
  readonly tokenId: string | null;
  readonly range: TimeRange;
  readonly key: AppendKey | null;
  /** Null: nothing comes in the place of the range. */
  readonly received: ReceivedPayload | null;
}

type EditToMake = CommitToMake & { readonly changes: readonly SampleChange[] };

interface Edited {
  readonly commit: bigint;
  readonly ordinal: number;
  /** Rows that came, or that were removed. */
  readonly rows: number;
  readonly firstRow: number | null;
  readonly replayed: boolean;
}

async function edit(deps: EditDeps, asked: SampleEdit): Promise<Edited> {
  const { series, range } = asked;
  const isRegular = series.sampling.kind === 'regular';
  const { reads: db, root, codec } = deps;
  for (let tries = 0; tries < MOST_MEASURES; tries++) {
    // Times are read before the head is locked: a busy series is not held up.
    const measured = isRegular ? null : await measureErasure({ db, root, codec }, series, range.startNs, range.endNs);
    const edited = await deps.turns.take(series.id, () =>
      commitTold(deps.writes, (trx, told) => editWithin(sessionOf(trx), root, asked, measured, told)),
    );
    if (edited) return edited;
  }
  const message = 'the range changes faster than it can be looked at';
  throw new VarveError('unavailable', message, { slug: 'series-busy', retryAfterS: RETRY_AFTER_S });
}

/** @returns null if what was measured does not hold any more; nothing is changed then */
async function editWithin(
  session: Session,
  root: DataRoot,
  asked: SampleEdit,
  measured: MeasuredRange | null,
  told: (trace: CommitTrace) => void,
): Promise<Edited | null> {
  const { series, key, received } = asked;
  const head = await lockHead(session, series.id);
  if (!head) throw notFound('series', series.id);
  const earlier = key && (await earlierEdit(session, series.id, key));
  if (earlier) return earlier;
  refuseSealed(head);
  const spools = new Set(received?.parts.flatMap(({ place }) => (place.kind === 'spool' ? [place.spoolId] : [])));
  const kept = spools.size > 0 ? await keepSpools(session, [...spools]) : spools;
  if (kept.size < spools.size) {
    throw new VarveError('unavailable', 'the samples took so long to come that they were swept', {
      slug: 'payload-removed',
    });
  }
  const change = measured
    ? await changeIrregular(session, head, asked, measured)
    : await changeRegular(session, root, head, asked);
  if (!change) return null;
  const { commit, trace } = await prepareCommit(session, change);
  told(trace);
  const [{ rows, firstRow }] = change.changes;
  return {
    commit,
    ordinal: 0,
    rows,
    firstRow: received && series.sampling.kind === 'irregular' ? null : firstRow,
    replayed: false,
  };
}

/** Edits move no row in time. */
const SAME_TIMES = { closed: [], gone: [], marks: [] } as const;

async function changeRegular(
  session: Session,
  root: DataRoot,
  head: Head,
  { series, range, received, ...by }: SampleEdit,
): Promise<EditToMake> {
  const { sampling, id } = series;
  if (sampling.kind !== 'regular') throw new Error('the series is not regular');
  const known = { clock: sampling, segments: await readSegments(session, id), holes: await holesOf(session, id) };
  const plan = planRegularEdit(head, known, range, received);
  await changeHoles(session, id, plan);
  const { ranges, removed } = plan;
  // Rows that lie apart have no range of numbers.
  const firstRow = ranges.length === 1 ? ranges[0].from : null;
  return {
    ...SAME_TIMES,
    heads: [plan.head],
    fresh: received ? await freshOfRanges(root, head, received.parts, ranges, plan.head.edits) : [],
    changes: [
      changeOf(
        head,
        by,
        received ? { kind: 'replace', firstRow, rows: received.rows } : { kind: 'remove', firstRow, rows: removed },
      ),
    ],
  };
}

async function changeIrregular(
  session: Session,
  head: Head,
  { series, range, received, ...by }: SampleEdit,
  measured: MeasuredRange,
): Promise<EditToMake | null> {
  const later = head.rows > measured.rows ? await chunksSince(session, series.id, measured.rows) : [];
  const plan = planIrregularEdit(head, measured, later, range, received);
  if (!plan) return null;
  await addErasure(session, series.id, plan.erasure);
  return {
    ...SAME_TIMES,
    heads: [plan.head],
    fresh: received ? freshOf(head, received.parts, head.rows, 0) : [],
    changes: [
      changeOf(
        head,
        by,
        received
          ? { kind: 'replace', firstRow: null, rows: received.rows }
          : { kind: 'remove', firstRow: null, rows: plan.removed },
      ),
    ],
  };
}

function changeOf(
  { seriesId, projectId }: Head,
  { tokenId, key }: Pick<SampleEdit, 'tokenId' | 'key'>,
  what: Pick<SampleChange, 'kind' | 'firstRow' | 'rows'>,
): SampleChange {
  return { seriesId, projectId, tokenId, key, ...what };
}

function freshOf(head: Head, parts: readonly AppendPart[], firstRow: number, generation: number): FreshToInsert[] {
  let row = firstRow;
  return parts.map((part) => {
    const { place, rows } = part;
    const at = row;
    row += rows;
    return {
      ...part,
      head,
      firstRow: at,
      generation,
      inline: place.kind === 'memory' ? place : null,
      spool: place.kind === 'spool' ? { ...place, id: place.spoolId } : null,
    };
  });
}

/** Divides rows among ranges of rows that do not follow each other. */
async function freshOfRanges(
  root: DataRoot,
  head: Head,
  parts: readonly AppendPart[],
  ranges: readonly RowRange[],
  generation: number,
): Promise<FreshToInsert[]> {
  const fresh: FreshToInsert[] = [];
  const left = [...parts];
  for (const { from, to } of ranges) {
    const own: AppendPart[] = [];
    for (let rows = to - from; rows > 0; rows -= own.at(-1)!.rows) {
      const part = left.shift()!;
      if (part.rows <= rows) own.push(part);
      else {
        own.push(await slicePart(root, part, 0, rows));
        left.unshift(await slicePart(root, part, rows, part.rows));
      }
    }
    fresh.push(...freshOf(head, own, from, generation));
  }
  return fresh;
}

/** Some rows of a part of a regular series. */
async function slicePart(root: DataRoot, part: AppendPart, from: number, to: number): Promise<AppendPart> {
  const { place, rows, bytes } = part;
  const rowBytes = bytes / rows;
  const [offset, length] = [from * rowBytes, (to - from) * rowBytes];
  const known = { ...part, rows: to - from, bytes: length };
  if (place.kind === 'memory') {
    const values = place.values.subarray(offset, offset + length);
    return { ...known, valuesCrc: crc32(values), place: { ...place, values } };
  }
  const valuesOffset = place.valuesOffset + offset;
  const values = await readSpooled(root, place.spoolId, valuesOffset, length);
  return { ...known, valuesCrc: crc32(values), place: { ...place, valuesOffset } };
}

/** @throws unprocessable `key-reused` */
async function earlierEdit(session: Session, seriesId: string, { key, hash }: AppendKey): Promise<Edited | null> {
  const earlier = (await knownAppends(session, [{ seriesId, key }])).get(appendKeyOf(seriesId, key));
  if (!earlier) return null;
  if (Buffer.compare(earlier.hash, hash) !== 0) {
    throw unprocessableField(fieldOfKey(key), 'was used for a write with other content', 'key-reused');
  }
  const { commit, ordinal, rows, firstRow } = earlier;
  return { commit: commit!, ordinal, rows, firstRow, replayed: true };
}

/** @throws invalid-input naming `end` */
function bounds({ startNs, endNs }: EditRange): TimeRange {
  const range = { startNs: startNs ?? INT64_MIN, endNs: endNs ?? INT64_MAX };
  if (range.startNs >= range.endNs) throw invalidField('end', 'must be after start');
  return range;
}

/**
 * The key with a hash of what was asked, so that a key that comes back with another request is found out. An append of
 * the same rows is another request, too.
 */
function keyOf(
  key: string | null,
  what: 'replace' | 'remove',
  { startNs, endNs }: TimeRange,
  body: Uint8Array | null,
): AppendKey | null {
  if (key === null) return null;
  const hash = createHash('sha256').update(`${what}|${startNs}|${endNs}|`);
  return { key, hash: hash.update(body ?? '').digest() };
}

/**
 * Checks that the times of a body for an irregular series lie in the range. @throws unprocessable `outside-range`
 * naming the first that does not
 */
async function checkTimes(
  { root }: Pick<EditDeps, 'root'>,
  { firstNs, lastNs, parts }: ReceivedPayload,
  { startNs, endNs }: TimeRange,
): Promise<void> {
  if (firstNs === null || lastNs === null || (firstNs >= startNs && lastNs < endNs)) return;
  // Few bodies come here; the search ends with the first time that is wrong.
  let row = 0;
  for (const { place, rows, ...span } of parts) {
    if (span.firstNs! < startNs || span.lastNs! >= endNs) {
      const bytes =
        place.kind === 'memory' ? place.times! : await readSpooled(root, place.spoolId, place.timesOffset!, rows * 8);
      const times = viewAs('int64', bytes) as BigInt64Array;
      const at = times.findIndex((ns) => ns < startNs || ns >= endNs);
      const message = `${formatTime(times[at])} is outside of the range that is replaced`;
      throw unprocessableField(`times[${row + at}]`, message, 'outside-range');
    }
    row += rows;
  }
}
