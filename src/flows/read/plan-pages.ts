/**
 * Plans without all chunks of a series in memory: only as many as the first rows need. A long range of a regular series
 * is planned page by page, while the rows before are on their way.
 */
import type { Database } from '../../catalog/database.ts';
import { readSampleSnapshot, type ChunkSelection, type SampleSnapshot } from '../../catalog/read/sample-snapshot.ts';
import { isVarveError, VarveError } from '../../core/errors.ts';
import type { Piece } from '../../core/rows/read-plan.ts';
import type { RowRange } from '../../core/signal/segment.ts';
import type { Series } from '../../core/signal/series.ts';
import { visibleSlices } from '../../core/rows/visible-rows.ts';
import {
  ORDER_BYTES,
  planSamples,
  planSeries,
  splitRows,
  type PlanDeps,
  type PlanLimits,
  type ReadPlan,
} from './plan-samples.ts';
import { STREAM_BYTES } from './answer-room.ts';
import { sectionRows, type Section } from './print-samples.ts';
import type { SampleSelection } from './read-service.ts';
import { needLargerPlan, planSizeOf, snapshotBytes, type PlanClaim } from './read-weight.ts';

export interface ChunkLimits {
  /** Chunks of a page of a plan: some megabytes in memory. */
  readonly page: number;
  /** Chunks that are asked for first where not all rows are wanted … */
  readonly first: number;
}
export const DEFAULT_CHUNK_LIMITS: ChunkLimits = { page: 1024, first: 256 };
/** … and so many times as many each time that they are not enough. */
const MORE_CHUNKS = 16;
/** Bytes of fresh chunks that come with a page that is planned later. */
const PAGE_HELD_BYTES = 512 * 1024;

/** What is known to be enough of a snapshot. */
export type Enough = Pick<ChunkSelection, 'most' | 'mostChunks' | 'atMost' | 'mostHeldBytes'>;

export interface PlannedSelection {
  readonly snapshot: SampleSnapshot;
  readonly selection: SampleSelection;
  /** Rows of the answer. */
  readonly most: number;
  readonly limits?: PlanLimits;
}

export type PlannedRows = PlannedSelection & { readonly plan: ReadPlan };

/**
 * Plans a selection.
 * @param most rows that are answered at most, as far as is known before the series is
 * @param read of one instant
 * @param isPaged of a regular series, rows behind the chunks of a page may be planned later
 * @param claim that the plan must fit in; undefined: it may be of any size
 * @throws what {@link planSamples} and `read` throw; limit-exceeded `too-many-chunks`
 */
export async function planEnough<P extends PlannedSelection>(
  deps: PlanDeps,
  most: number,
  read: (enough: Enough) => Promise<P>,
  {
    isPaged = false,
    chunkLimits = DEFAULT_CHUNK_LIMITS,
    claim,
  }: { readonly isPaged?: boolean; readonly chunkLimits?: ChunkLimits; readonly claim?: PlanClaim } = {},
): Promise<P & { readonly plan: ReadPlan }> {
  const isLimited = Number.isFinite(most);
  const { first, page } = chunkLimits;
  const size = claim && planSizeOf(claim);
  for (let more = 1; ; more *= MORE_CHUNKS) {
    const wanted = isLimited ? first * more : isPaged ? page : Infinity;
    const mostChunks = Math.min(wanted, size?.chunks ?? Infinity);
    const planned = await read({
      ...(isLimited && { most: Math.min(most * more, Number.MAX_SAFE_INTEGER) }),
      ...(mostChunks < Infinity && { mostChunks }),
      ...(size && { atMost: size.chunks, mostHeldBytes: size.heldBytes }),
    });
    if (claim) {
      if (planned.snapshot.isCut) needLargerPlan(claim);
      claim.need(STREAM_BYTES + snapshotBytes(planned.snapshot, planned.limits?.orderBytes ?? ORDER_BYTES));
    }
    const plan = await planSamples(deps, planned.snapshot, planned.selection, planned.most, planned.limits);
    if (!plan.isCut && (isPaged || plan.later.length === 0)) return { ...planned, plan };
    if (claim && (mostChunks < wanted || planned.snapshot.hasMoreHeld)) needLargerPlan(claim);
  }
}

/** The sections of rows of an answer that are planned later. @param rows counted from the first of the answer */
export type LaterRows = (rows: RowRange) => AsyncGenerator<Section>;

/** @returns null if nothing is planned later */
export function laterRows(
  { db, chunkLimits = DEFAULT_CHUNK_LIMITS }: { readonly db: Database; readonly chunkLimits?: ChunkLimits },
  snapshot: SampleSnapshot,
  { sections, later }: ReadPlan,
): LaterRows | null {
  if (later.length === 0) return null;
  const before = sections.reduce((sum, section) => sum + sectionRows(section), 0);
  return ({ from, to }) =>
    planLater(
      db,
      chunkLimits,
      snapshot,
      partOfRanges(later, { from: Math.max(0, from - before), to: Math.max(0, to - before) }),
    );
}

/** @param rows counted from the first of the ranges */
function partOfRanges(ranges: readonly RowRange[], rows: RowRange): RowRange[] {
  let end = 0;
  return ranges.flatMap(({ from, to }) => {
    const begin = end;
    end += to - from;
    const [first, last] = [Math.max(rows.from, begin), Math.min(rows.to, end)];
    return first < last ? { from: from + first - begin, to: from + last - begin } : [];
  });
}

/**
 * Plans rows as of the edits that the first page knows, though they are found where they lie now.
 * @throws conflict `content-changed` if what was edited meanwhile has taken the place of rows that are wanted
 */
async function* planLater(
  db: Database,
  { page: pageChunks }: ChunkLimits,
  { series, edits }: SampleSnapshot,
  ranges: readonly RowRange[],
): AsyncGenerator<Section> {
  let left = ranges;
  for (let more = 1; left.length > 0;) {
    const ascending = left.findIndex(({ from }, i) => i > 0 && from < left[i - 1].to);
    const run = ascending < 0 ? left : left.slice(0, ascending);
    const [{ from }, { to }] = [run[0], run[run.length - 1]];
    const enough = { mostChunks: more * pageChunks, mostHeldBytes: more * PAGE_HELD_BYTES };
    const page = await readSampleSnapshot(db, { id: series.id }, { by: 'rows', from, to, ...enough });
    const { completeTo } = page;
    const { before, after } = splitRows(run, completeTo && 'row' in completeTo ? completeTo.row : Infinity);
    if (before.length === 0) {
      more *= MORE_CHUNKS; // all begin with the same row, and cover each other
      continue;
    }
    const chunks = page.chunks.filter(({ generation }) => generation <= edits);
    yield { kind: 'stored', pieces: piecesOf(series, page.series, before, chunks) };
    left = [...after, ...left.slice(run.length)];
    more = 1;
  }
}

/** @param now the series as of the page */
function piecesOf(
  series: Series,
  now: Series,
  ranges: readonly RowRange[],
  chunks: SampleSnapshot['chunks'],
): readonly Piece[] {
  try {
    return planSeries(series, ranges, visibleSlices(chunks));
  } catch (error) {
    const isMissing = isVarveError(error) && error.slug === 'chunk-missing';
    if (!isMissing || now.commit === series.commit) throw error;
    throw new VarveError('conflict', `samples of series ${series.id} were changed while they were read`, {
      slug: 'content-changed',
    });
  }
}
