/** The SHA-256 of all that a reader sees of a series: planned page by page here, read and hashed in a codec thread. */
import type { Database } from '../../catalog/database.ts';
import { readSampleSnapshot } from '../../catalog/read/sample-snapshot.ts';
import { isVarveError, VarveError } from '../../core/errors.ts';
import type { ContentHash } from '../../core/signal/series.ts';
import { SHA256_BYTES } from './hash-rows.ts';
import type { Claim } from '../read/answer-room.ts';
import { planEnough, type Enough, type PlannedSelection, type PlannedRows } from '../read/plan-pages.ts';
import { chunksOf, rowBytesOf, type PlanDeps } from '../read/plan-samples.ts';
import type { RowsTask } from '../read/print-samples.ts';
import { onceMore, rowsTask } from '../read/read-samples.ts';
import type { SampleSelection } from '../read/read-service.ts';

export interface HashDeps extends PlanDeps {
  readonly db: Database;
}

/** Bytes of values that are planned at once. */
const PAGE_BYTES = 256 * 1024 * 1024;
/** How often hashing is tried. Samples of a sealed series change only by expiring, once a minute at most. */
const ATTEMPTS = 3;
const CHANGED = 'content-changed';

/**
 * Hashes a series as of one commit. If samples change meanwhile, the pages of the series do not fit together, and are
 * read again.
 * @param options pageBytes: of values that are planned at once; claim: that each page must fit in
 * @throws not-found; corrupt; conflict `content-changed` if the samples keep changing; an abort
 */
export async function hashContent(
  deps: HashDeps,
  seriesId: string,
  options: { readonly signal?: AbortSignal; readonly pageBytes?: number; readonly claim?: Claim } = {},
): Promise<ContentHash> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await onceMore(() => hashPages(deps, seriesId, options));
    } catch (error) {
      if (attempt === ATTEMPTS || !isVarveError(error) || error.slug !== CHANGED) throw error;
    }
  }
}

async function hashPages(
  deps: HashDeps,
  seriesId: string,
  { signal, pageBytes = PAGE_BYTES, claim }: NonNullable<Parameters<typeof hashContent>[2]>,
): Promise<ContentHash> {
  let rows = 0;
  let commit: bigint | null = null;
  async function* pages(): AsyncGenerator<RowsTask> {
    for (let selection: SampleSelection | null = { by: 'time' }; selection;) {
      signal?.throwIfAborted();
      const wanted: SampleSelection = selection;
      const read = async (enough: Enough): Promise<PlannedSelection> => {
        const snapshot = await readSampleSnapshot(deps.db, { id: seriesId }, { ...chunksOf(wanted), ...enough });
        const most = Math.max(1, Math.floor(pageBytes / rowBytesOf(snapshot.series)));
        return { snapshot, selection: wanted, most };
      };
      const planned: PlannedRows = await planEnough(deps, pageBytes, read, { claim });
      const { snapshot, plan } = planned;
      const { series } = snapshot;
      commit ??= series.commit;
      if (series.commit !== commit) {
        throw new VarveError('conflict', `the samples of series ${seriesId} have changed`, { slug: CHANGED });
      }
      yield rowsTask(deps, snapshot, plan, { selected: null, physical: false, next: null });
      rows += plan.rows;
      selection = plan.rest;
    }
  }
  const pieces: Uint8Array[] = [];
  for await (const piece of deps.codec.pipe('hash', {}, pages(), signal)) pieces.push(piece);
  const digests = Buffer.concat(pieces);
  const [values, times] = [0, SHA256_BYTES].map((at) => digests.toString('hex', at, at + SHA256_BYTES));
  return { values: named(values), times: times === '' ? null : named(times), rows, commit: commit! };
}

function named(hex: string): string {
  return `sha256:${hex}`;
}
