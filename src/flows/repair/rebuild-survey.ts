/**
 * What the files of a data folder say, when nothing else is left: what each shard says, and what it tells of each
 * series.
 */
import type { RebuiltShard } from '../../catalog/shards/rebuild-store.ts';
import type { Codec } from '../../core/signal/codec.ts';
import type { Dtype } from '../../core/numbers/dtype.ts';
import { lowestFirst, type ToldSeries } from '../../core/upkeep/rebuild-plan.ts';
import { listShardFiles, parseShardName } from '../../storage/folder/data-files.ts';
import { shardPath, type DataRoot } from '../../storage/folder/data-root.ts';
import type { Hdf5Reader } from '../../storage/survey/hdf5-reader.ts';
import type { ShardSurvey } from '../../storage/survey/shard-survey.ts';
import { finding, type Finding } from '../finding.ts';

export type FoundShard = Omit<RebuiltShard, 'madeAt'>;

/** One series in one shard. */
export interface FoundTold extends ToldSeries {
  readonly seriesId: string;
  readonly laneId: string;
  readonly path: string;
  /** Type of its datasets; null: it has none. */
  readonly dtype: Dtype | null;
  readonly channels: number | null;
  readonly chunkRows: number;
  readonly codec: Codec;
}

export interface FoundFiles {
  readonly shards: ReadonlyMap<string, FoundShard>;
  /** By series, in the order of files. */
  readonly told: ReadonlyMap<string, readonly FoundTold[]>;
  /** The highest commit that the name of a file tells. */
  readonly highestCommit: bigint;
}

export interface Remarks {
  /** What is lost, or has to be looked at. */
  readonly findings: Finding[];
  /** What was decided on the way. */
  readonly notes: Finding[];
}

/** What a file that is no shard yet has at its end. */
const SUFFIX = /\.tmp$/;

/** @param onProgress files looked at */
export async function surveyFiles(
  { root, hdf5 }: { readonly root: DataRoot; readonly hdf5: Pick<Hdf5Reader, 'survey'> },
  { findings, notes }: Remarks,
  onProgress: (done: number, total: number) => void,
): Promise<FoundFiles> {
  const files = await listShardFiles(root);
  const shards = new Map<string, FoundShard>();
  const told = new Map<string, FoundTold[]>();
  let highestCommit = 0n;
  for (const [done, { path, bytes }] of files.entries()) {
    onProgress(done, files.length);
    const name = parseShardName(path.replace(SUFFIX, ''));
    if (name && name.commit > highestCommit) highestCommit = name.commit;
    if (!name || path !== shardPath(name.shardId, name.commit)) {
      notes.push(finding('other-file', 'is no shard by its name and its place: left out', { path }));
      continue;
    }
    const survey = await hdf5.survey(root.resolve(path)).catch((error: Error) => {
      const message = `HDF5 cannot open it, so that rows which it alone has are missing: ${error.message}`;
      findings.push(finding('hdf5-unreadable', message, { path, shard: name.shardId }));
      return null;
    });
    if (!survey) continue;
    const { shardId, laneId, commit, firstCommit, level } = survey;
    if (shardId !== name.shardId || commit !== name.commit) {
      const message = `says of itself that it is shard ${shardId} as of commit ${commit}; left out`;
      findings.push(finding('shard-misnamed', message, { path, shard: name.shardId }));
      continue;
    }
    shards.set(shardId, { id: shardId, laneId, path, bytes, commit, firstCommit, level });
    for (const { seriesId, reason } of survey.damaged) {
      const message = `HDF5 cannot read its group: ${reason}`;
      findings.push(finding('hdf5-series', message, { path, shard: shardId, series: seriesId }));
    }
    for (const each of toldBy(survey, path)) {
      const known = told.get(each.seriesId);
      if (known) known.push(each);
      else told.set(each.seriesId, [each]);
    }
  }
  onProgress(files.length, files.length);
  for (const [seriesId, each] of told) told.set(seriesId, lowestFirst(each));
  return { shards, told, highestCommit };
}

function toldBy({ shardId, laneId, commit, level, series }: ShardSurvey, path: string): FoundTold[] {
  return series.map(({ seriesId, record, dtype, channels, chunkRows, codec }) => ({
    seriesId,
    record,
    dtype,
    channels,
    chunkRows,
    codec,
    shardId,
    laneId,
    commit,
    level,
    path,
  }));
}
